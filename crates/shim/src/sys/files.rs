//! Mounts and entries of directories.
#![expect(
    unsafe_code,
    reason = "system calls without a wrapper in the standard library"
)]

use std::{
    ffi::{CString, OsStr},
    io,
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    ptr,
};

use libc::{c_uint, c_ulong};

use super::{c_path, check, check_int};

/// `OPEN_TREE_CLONE` of `linux/mount.h`.
const OPEN_TREE_CLONE: c_uint = 1;
/// `MOVE_MOUNT_F_EMPTY_PATH` of `linux/mount.h`.
const MOVE_MOUNT_F_EMPTY_PATH: c_uint = 0x4;
/// `MOVE_MOUNT_T_EMPTY_PATH` of `linux/mount.h`.
const MOVE_MOUNT_T_EMPTY_PATH: c_uint = 0x40;
/// `MOUNT_ATTR_RDONLY` of `linux/mount.h`.
pub(crate) const ATTR_READ_ONLY: u64 = 0x1;
/// `MOUNT_ATTR_NOSUID`.
pub(crate) const ATTR_NO_SUID: u64 = 0x2;
/// `MOUNT_ATTR_NODEV`.
pub(crate) const ATTR_NO_DEV: u64 = 0x4;
/// `MOUNT_ATTR_NOEXEC`.
pub(crate) const ATTR_NO_EXEC: u64 = 0x8;
/// `MOUNT_ATTR_IDMAP`.
const ATTR_ID_MAP: u64 = 0x0010_0000;

/// `mount(2)`.
pub(crate) fn mount(
    source: &str,
    target: &Path,
    kind: &str,
    flags: c_ulong,
    options: &str,
) -> io::Result<()> {
    let source = CString::new(source)?;
    let target = c_path(target)?;
    let kind = CString::new(kind)?;
    let options = CString::new(options)?;
    // SAFETY: all strings are terminated and live on.
    check_int(unsafe {
        libc::mount(
            source.as_ptr(),
            target.as_ptr(),
            kind.as_ptr(),
            flags,
            options.as_ptr().cast(),
        )
    })
    .map(drop)
}

/// `umount2(2)` with `MNT_DETACH`.
pub(crate) fn detach(target: &Path) -> io::Result<()> {
    let target = c_path(target)?;
    // SAFETY: the string is terminated and lives on.
    check_int(unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) }).map(drop)
}

/// `fchdir(2)`.
pub(crate) fn enter_directory(directory: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: takes a descriptor.
    check_int(unsafe { libc::fchdir(directory.as_raw_fd()) }).map(drop)
}

/// `pivot_root(".", ".")`: the working directory becomes the root, the old one lies over it.
pub(crate) fn pivot_root_here() -> io::Result<()> {
    // SAFETY: the strings are terminated and static.
    check(unsafe { libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) }).map(drop)
}

/// A detached copy of the mount at `path`; with `is_recursive`, of the mounts below it, too.
pub(crate) fn open_tree(path: &Path, is_recursive: bool) -> io::Result<OwnedFd> {
    let path = c_path(path)?;
    let recursive = if is_recursive {
        libc::AT_RECURSIVE.cast_unsigned()
    } else {
        0
    };
    let flags = OPEN_TREE_CLONE | libc::O_CLOEXEC.cast_unsigned() | recursive;
    // SAFETY: the string is terminated; a result other than -1 is a new descriptor.
    unsafe {
        let tree = libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags);
        let tree = RawFd::try_from(check(tree)?).map_err(io::Error::other)?;
        Ok(OwnedFd::from_raw_fd(tree))
    }
}

/// Sets attributes (`ATTR_…`) of a detached mount, and maps its owners through a user namespace.
pub(crate) fn set_mount_attributes(
    tree: BorrowedFd<'_>,
    attributes: u64,
    ids: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let request = libc::mount_attr {
        attr_set: attributes | if ids.is_some() { ATTR_ID_MAP } else { 0 },
        attr_clr: 0,
        propagation: libc::MS_PRIVATE,
        userns_fd: ids.map_or(0, |ids| u64::from(ids.as_raw_fd().cast_unsigned())),
    };
    change_mount(tree, &request)
}

/// Has devices on a detached mount be devices.
pub(crate) fn allow_devices(tree: BorrowedFd<'_>) -> io::Result<()> {
    let request = libc::mount_attr {
        attr_set: 0,
        attr_clr: ATTR_NO_DEV,
        propagation: 0,
        userns_fd: 0,
    };
    change_mount(tree, &request)
}

fn change_mount(tree: BorrowedFd<'_>, request: &libc::mount_attr) -> io::Result<()> {
    let flags = libc::AT_EMPTY_PATH | libc::AT_RECURSIVE;
    // SAFETY: the string is terminated, the request lives on and its size is given.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            flags,
            ptr::from_ref(request),
            size_of::<libc::mount_attr>(),
        )
    })
    .map(drop)
}

/// Attaches a detached mount onto an open file or directory.
pub(crate) fn move_mount(tree: BorrowedFd<'_>, target: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the strings are terminated and static.
    check(unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            tree.as_raw_fd(),
            c"".as_ptr(),
            target.as_raw_fd(),
            c"".as_ptr(),
            MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH,
        )
    })
    .map(drop)
}

/// A handle (`O_PATH`) to the entry `name` of a directory, which must not be a symbolic link.
pub(crate) fn open_entry(directory: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
    let name = CString::new(name.as_bytes())?;
    // SAFETY: `open_how` is plain numbers, for which zero is valid.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = u64::from((libc::O_PATH | libc::O_CLOEXEC).cast_unsigned());
    how.resolve = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS | libc::RESOLVE_NO_MAGICLINKS;
    // SAFETY: the string is terminated; a result other than -1 is a new descriptor.
    unsafe {
        let entry = libc::syscall(
            libc::SYS_openat2,
            directory.as_raw_fd(),
            name.as_ptr(),
            &raw const how,
            size_of::<libc::open_how>(),
        );
        let entry = RawFd::try_from(check(entry)?).map_err(io::Error::other)?;
        Ok(OwnedFd::from_raw_fd(entry))
    }
}

/// Makes the directory `name` in a directory.
pub(crate) fn make_directory(directory: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    let name = CString::new(name.as_bytes())?;
    // SAFETY: the string is terminated and lives on.
    check_int(unsafe { libc::mkdirat(directory.as_raw_fd(), name.as_ptr(), 0o755) }).map(drop)
}

/// Makes the empty file `name` in a directory.
pub(crate) fn make_file(directory: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    let name = CString::new(name.as_bytes())?;
    let mode = libc::S_IFREG | 0o644;
    // SAFETY: the string is terminated and lives on.
    check_int(unsafe { libc::mknodat(directory.as_raw_fd(), name.as_ptr(), mode, 0) }).map(drop)
}

/// Makes a character device.
pub(crate) fn make_device(path: &Path, major: c_uint, minor: c_uint) -> io::Result<()> {
    let path = c_path(path)?;
    let device = libc::makedev(major, minor);
    // SAFETY: the string is terminated and lives on.
    check_int(unsafe { libc::mknod(path.as_ptr(), libc::S_IFCHR | 0o666, device) }).map(drop)
}

/// `umask(2)`.
pub(crate) fn set_umask(mask: libc::mode_t) {
    // SAFETY: takes a number and cannot fail.
    unsafe { libc::umask(mask) };
}
