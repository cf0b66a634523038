//! The kernel's calls that the standard library lacks, each as a safe function.
//!
//! Nothing here knows what a dyno is. The shim is single-threaded, which [`fork`] and [`clone`]
//! rely on.
#![expect(
    unsafe_code,
    reason = "system calls without a wrapper in the standard library"
)]

use std::{
    ffi::{CStr, CString, OsStr},
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    ptr,
};

use libc::{c_int, c_long, c_uint, c_ulong};

/// `CLONE_INTO_CGROUP` of `linux/sched.h`.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
/// `OPEN_TREE_CLONE` of `linux/mount.h`.
const OPEN_TREE_CLONE: c_uint = 1;
/// `MOVE_MOUNT_F_EMPTY_PATH` of `linux/mount.h`.
const MOVE_MOUNT_F_EMPTY_PATH: c_uint = 0x4;
/// `MOVE_MOUNT_T_EMPTY_PATH` of `linux/mount.h`.
const MOVE_MOUNT_T_EMPTY_PATH: c_uint = 0x40;
/// `CAP_KILL` of `linux/capability.h`.
pub(crate) const CAP_KILL: u32 = 5;

/// `MOUNT_ATTR_RDONLY` of `linux/mount.h`.
pub(crate) const ATTR_READ_ONLY: u64 = 0x1;
/// `MOUNT_ATTR_NOSUID`.
pub(crate) const ATTR_NO_SUID: u64 = 0x2;
/// `MOUNT_ATTR_NODEV`.
pub(crate) const ATTR_NO_DEV: u64 = 0x4;
/// `MOUNT_ATTR_IDMAP`.
const ATTR_ID_MAP: u64 = 0x0010_0000;

fn check(result: c_long) -> io::Result<c_long> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

fn check_int(result: c_int) -> io::Result<c_int> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

fn c_path(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

/// Which side of a fork this is.
#[derive(Debug)]
pub(crate) enum Fork {
    /// The new process.
    Child,
    /// The old one.
    Parent {
        /// The new process's id.
        child: i32,
        /// A handle to it, from [`clone`].
        pidfd: Option<OwnedFd>,
    },
}

/// `fork(2)`.
pub(crate) fn fork() -> io::Result<Fork> {
    // SAFETY: the process is single-threaded, so the child may go on as it likes.
    let child = check_int(unsafe { libc::fork() })?;
    Ok(if child == 0 {
        Fork::Child
    } else {
        Fork::Parent { child, pidfd: None }
    })
}

/// `clone3(2)` without a new stack: a fork into new namespaces (`CLONE_NEW…` in `flags`) and, if
/// given, into the version 2 cgroup whose directory `cgroup` is.
pub(crate) fn clone(flags: c_int, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Fork> {
    let mut pidfd: RawFd = -1;
    // SAFETY: `clone_args` is plain numbers, for which zero is valid.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = u64::from((flags | libc::CLONE_PIDFD).cast_unsigned());
    arguments.pidfd = ptr::from_mut(&mut pidfd) as u64;
    arguments.exit_signal = u64::from(libc::SIGCHLD.cast_unsigned());
    if let Some(cgroup) = cgroup {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = u64::from(cgroup.as_raw_fd().cast_unsigned());
    }
    // SAFETY: without CLONE_VM and a stack this behaves as fork does; the arguments live on.
    let child = check(unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw mut arguments,
            size_of::<libc::clone_args>(),
        )
    })?;
    if child == 0 {
        return Ok(Fork::Child);
    }
    // SAFETY: the kernel has just made this descriptor for us.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    let child = i32::try_from(child).map_err(io::Error::other)?;
    Ok(Fork::Parent {
        child,
        pidfd: Some(pidfd),
    })
}

/// Ends the process without running anything more of it.
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: always allowed; open files are flushed before by their owners.
    unsafe { libc::_exit(status) }
}

/// What `wait4(2)` tells of an ended child.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    /// Its process id.
    pub(crate) process: i32,
    /// As `waitpid` gives it.
    pub(crate) status: i32,
    /// Processor time in user mode, microseconds, of it and the children it waited for.
    pub(crate) user_micros: i64,
    /// Processor time in the kernel, microseconds.
    pub(crate) system_micros: i64,
}

/// An ended child; `None` if there is none, or none yet and `may_wait` is unset.
pub(crate) fn wait(process: i32, may_wait: bool) -> io::Result<Option<Ended>> {
    let mut status = 0;
    // SAFETY: `rusage` is plain numbers, for which zero is valid.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    let options = if may_wait { 0 } else { libc::WNOHANG };
    loop {
        // SAFETY: both pointers are valid for writes.
        let found = unsafe { libc::wait4(process, &raw mut status, options, &raw mut usage) };
        match check_int(found) {
            Ok(0) => return Ok(None),
            Ok(process) => {
                let micros = |time: libc::timeval| time.tv_sec * 1_000_000 + time.tv_usec;
                return Ok(Some(Ended {
                    process,
                    status,
                    user_micros: micros(usage.ru_utime),
                    system_micros: micros(usage.ru_stime),
                }));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.raw_os_error() == Some(libc::ECHILD) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
}

/// The exit code of a wait status, if the process exited.
pub(crate) fn exit_code(status: i32) -> Option<i32> {
    libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status))
}

/// The signal of a wait status, if one ended the process.
pub(crate) fn exit_signal(status: i32) -> Option<i32> {
    libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status))
}

/// `kill(2)`.
pub(crate) fn kill(process: i32, signal: i32) -> io::Result<()> {
    // SAFETY: takes numbers only.
    check_int(unsafe { libc::kill(process, signal) }).map(drop)
}

/// `pidfd_send_signal(2)`.
pub(crate) fn signal_process(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    // SAFETY: takes a descriptor and numbers; no siginfo.
    check(unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            ptr::null::<libc::siginfo_t>(),
            0,
        )
    })
    .map(drop)
}

/// Sets what `signal` does: `SIG_DFL` or `SIG_IGN`.
pub(crate) fn set_signal(signal: i32, action: libc::sighandler_t) -> io::Result<()> {
    // SAFETY: the two predefined actions run no code of ours.
    let old = unsafe { libc::signal(signal, action) };
    if old == libc::SIG_ERR {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

fn all_signals() -> libc::sigset_t {
    // SAFETY: `sigfillset` initialises the whole set.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigfillset(&raw mut set);
        set
    }
}

/// Blocks (or unblocks) every signal that can be.
pub(crate) fn block_signals(is_blocked: bool) -> io::Result<()> {
    let how = if is_blocked {
        libc::SIG_BLOCK
    } else {
        libc::SIG_UNBLOCK
    };
    let set = all_signals();
    // SAFETY: the set is initialised, and the old one is not asked for.
    check_int(unsafe { libc::sigprocmask(how, &raw const set, ptr::null_mut()) }).map(drop)
}

/// The next of the blocked signals.
pub(crate) fn next_signal() -> io::Result<i32> {
    let set = all_signals();
    let mut signal = 0;
    // SAFETY: both pointers are valid for the call.
    match unsafe { libc::sigwait(&raw const set, &raw mut signal) } {
        0 => Ok(signal),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// `unshare(2)`.
pub(crate) fn unshare(flags: c_int) -> io::Result<()> {
    // SAFETY: the process is single-threaded; its files stay shared with nobody.
    check_int(unsafe { libc::unshare(flags) }).map(drop)
}

/// `setns(2)`.
pub(crate) fn join_namespace(namespace: BorrowedFd<'_>, kind: c_int) -> io::Result<()> {
    // SAFETY: takes a descriptor and a number.
    check_int(unsafe { libc::setns(namespace.as_raw_fd(), kind) }).map(drop)
}

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
    let flags = libc::AT_EMPTY_PATH | libc::AT_RECURSIVE;
    // SAFETY: the string is terminated, the request lives on and its size is given.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const request,
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

/// `sethostname(2)`.
pub(crate) fn set_hostname(name: &str) -> io::Result<()> {
    // SAFETY: pointer and length are of one string.
    check_int(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) }).map(drop)
}

/// `setsid(2)`.
pub(crate) fn new_session() -> io::Result<()> {
    // SAFETY: takes nothing.
    check_int(unsafe { libc::setsid() }).map(drop)
}

/// All three user ids and group ids become `id`, without further groups.
pub(crate) fn become_id(id: u32) -> io::Result<()> {
    // SAFETY: numbers, and an empty list whose pointer is not read.
    unsafe {
        check_int(libc::setgroups(0, ptr::null()))?;
        check_int(libc::setresgid(id, id, id))?;
        check_int(libc::setresuid(id, id, id))?;
    }
    Ok(())
}

/// `prctl(2)` with one number.
pub(crate) fn process_option(option: c_int, value: c_ulong) -> io::Result<()> {
    // SAFETY: the options used here take numbers.
    check_int(unsafe { libc::prctl(option, value, 0, 0, 0) }).map(drop)
}

/// Drops every capability from the bounding set.
pub(crate) fn drop_bounding_set() -> io::Result<()> {
    for capability in 0..64 {
        match process_option(libc::PR_CAPBSET_DROP, capability) {
            // The first one that this kernel does not know.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => return Ok(()),
            other => other?,
        }
    }
    Ok(())
}

/// Keeps only the capabilities in `keep`, a mask.
pub(crate) fn set_capabilities(keep: u32) -> io::Result<()> {
    /// `_LINUX_CAPABILITY_VERSION_3`.
    const VERSION_3: u32 = 0x2008_0522;
    let header: [u32; 2] = [VERSION_3, 0];
    // Low words of effective, permitted and inheritable, then the high ones.
    let sets: [u32; 6] = [keep, keep, 0, 0, 0, 0];
    // SAFETY: both arrays have the kernel's layout and live on.
    check(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) }).map(drop)
}

/// Sets a limit, not above the present hard one.
pub(crate) fn limit(resource: libc::__rlimit_resource_t, value: u64) -> io::Result<()> {
    let mut present = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointers are valid for the calls.
    unsafe {
        check_int(libc::getrlimit(resource, &raw mut present))?;
        let value = value.min(present.rlim_max);
        let wanted = libc::rlimit {
            rlim_cur: value,
            rlim_max: value,
        };
        check_int(libc::setrlimit(resource, &raw const wanted))?;
    }
    Ok(())
}

/// Installs a seccomp filter of packed instructions (see `shim::start::StartRequest::seccomp`).
pub(crate) fn install_filter(packed: &[u64]) -> io::Result<()> {
    let mut filter: Vec<libc::sock_filter> = packed.iter().map(|word| unpack(*word)).collect();
    let length = libc::c_ushort::try_from(filter.len()).map_err(io::Error::other)?;
    let program = libc::sock_fprog {
        len: length,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: program and instructions live on; the kernel copies and verifies them.
    check(unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0,
            &raw const program,
        )
    })
    .map(drop)
}

fn unpack(word: u64) -> libc::sock_filter {
    let [k @ .., jf, jt, code_low, code_high] = word.to_le_bytes();
    libc::sock_filter {
        code: u16::from_le_bytes([code_low, code_high]),
        jt,
        jf,
        k: u32::from_le_bytes(k),
    }
}

/// Yields input/output to others: the lowest best-effort priority.
pub(crate) fn yield_input_output() -> io::Result<()> {
    const WHO_PROCESS: c_int = 1;
    const BEST_EFFORT_LOWEST: c_int = (2 << 13) | 7;
    // SAFETY: takes numbers.
    check(unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, BEST_EFFORT_LOWEST) })
        .map(drop)
}

/// Adds to the process's nice value.
pub(crate) fn set_nice(nice: i32) -> io::Result<()> {
    // SAFETY: takes numbers.
    check_int(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) }).map(drop)
}

/// Closes every descriptor from `first` on, now or when a program is run.
pub(crate) fn close_from(first: c_uint, on_exec: bool) -> io::Result<()> {
    const CLOSE_RANGE_CLOEXEC: c_uint = 4;
    let flags = if on_exec { CLOSE_RANGE_CLOEXEC } else { 0 };
    // SAFETY: called before anything above `first` is owned, or just before the process's end.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, c_uint::MAX, flags) }).map(drop)
}

/// Makes `target`, a low number, a copy of `descriptor`.
pub(crate) fn copy_onto(descriptor: BorrowedFd<'_>, target: RawFd) -> io::Result<()> {
    // SAFETY: the standard three are owned by nobody, and a process that puts something onto 3
    // goes on with nothing else.
    check_int(unsafe { libc::dup2(descriptor.as_raw_fd(), target) }).map(drop)
}

/// Leads standard input, output and error to nothing.
pub(crate) fn silence() -> io::Result<()> {
    let null = std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/null")?;
    (0..3).try_for_each(|number| copy_onto(null.as_fd(), number))
}

/// Reads and writes on it no longer wait.
pub(crate) fn set_nonblocking(descriptor: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: takes a descriptor and numbers.
    unsafe {
        let flags = check_int(libc::fcntl(descriptor.as_raw_fd(), libc::F_GETFL))?;
        check_int(libc::fcntl(
            descriptor.as_raw_fd(),
            libc::F_SETFL,
            flags | libc::O_NONBLOCK,
        ))?;
    }
    Ok(())
}

/// One descriptor of a poll.
#[derive(Debug)]
pub(crate) struct Watched<'fd> {
    /// What to look at.
    pub(crate) descriptor: BorrowedFd<'fd>,
    /// `POLL…` to wait for.
    pub(crate) wanted: i16,
    /// `POLL…` found.
    pub(crate) found: i16,
}

/// `poll(2)`; without `timeout_ms` for ever.
pub(crate) fn poll(watched: &mut [Watched<'_>], timeout_ms: Option<i64>) -> io::Result<()> {
    let mut list: Vec<libc::pollfd> = watched
        .iter()
        .map(|one| libc::pollfd {
            fd: one.descriptor.as_raw_fd(),
            events: one.wanted,
            revents: 0,
        })
        .collect();
    let timeout = timeout_ms.map_or(-1, |timeout| {
        c_int::try_from(timeout.max(0)).unwrap_or(c_int::MAX)
    });
    let length = list.len() as libc::nfds_t;
    // SAFETY: pointer and length are of one list.
    match check_int(unsafe { libc::poll(list.as_mut_ptr(), length, timeout) }) {
        Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
        _ => {}
    }
    for (one, polled) in watched.iter_mut().zip(list) {
        one.found = polled.revents;
    }
    Ok(())
}

/// Unlocks the other side of a pseudo-terminal and tells its number.
pub(crate) fn unlock_terminal(keeper: BorrowedFd<'_>) -> io::Result<u32> {
    let unlocked: c_int = 0;
    let mut number: c_uint = 0;
    // SAFETY: both requests take a pointer to an int.
    unsafe {
        check_int(libc::ioctl(
            keeper.as_raw_fd(),
            libc::TIOCSPTLCK,
            &raw const unlocked,
        ))?;
        check_int(libc::ioctl(
            keeper.as_raw_fd(),
            libc::TIOCGPTN,
            &raw mut number,
        ))?;
    }
    Ok(number)
}

/// Sets a terminal's size.
pub(crate) fn set_terminal_size(
    terminal: BorrowedFd<'_>,
    columns: u16,
    lines: u16,
) -> io::Result<()> {
    let size = libc::winsize {
        ws_row: lines,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: the request takes a pointer to a size.
    check_int(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) })
        .map(drop)
}

/// Makes a terminal the session's own.
pub(crate) fn take_terminal(terminal: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the request takes a number.
    check_int(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSCTTY, 0) }).map(drop)
}

/// Runs a program in this process's place; returns only if it cannot.
pub(crate) fn execute(program: &CStr, arguments: &[CString], environment: &[CString]) -> io::Error {
    let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
        strings
            .iter()
            .map(|text| text.as_ptr())
            .chain([ptr::null()])
            .collect()
    };
    let (arguments, environment) = (pointers(arguments), pointers(environment));
    // SAFETY: both lists end with null, and their strings live on.
    unsafe { libc::execve(program.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    io::Error::last_os_error()
}

fn clock_micros(clock: libc::clockid_t) -> i64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is valid; these clocks always exist.
    unsafe { libc::clock_gettime(clock, &raw mut now) };
    now.tv_sec * 1_000_000 + now.tv_nsec / 1000
}

/// Microseconds since the epoch.
pub(crate) fn wall_micros() -> i64 {
    clock_micros(libc::CLOCK_REALTIME)
}

/// Milliseconds on a clock that never jumps.
pub(crate) fn steady_millis() -> i64 {
    clock_micros(libc::CLOCK_MONOTONIC) / 1000
}

/// A descriptor known by its number: standard input, output, error, or one put there for good by
/// [`copy_onto`].
pub(crate) fn standard(number: RawFd) -> BorrowedFd<'static> {
    // SAFETY: such descriptors stay open for the life of the process.
    unsafe { BorrowedFd::borrow_raw(number) }
}

/// Joins the cgroups of `tasks` files by moving the calling thread.
pub(crate) fn join_cgroups(tasks: &[std::fs::File]) -> io::Result<()> {
    for mut file in tasks {
        io::Write::write_all(&mut file, b"0")?;
    }
    Ok(())
}

/// Whether the other end of a pipe is closed.
pub(crate) fn is_deserted(pipe: impl AsFd) -> bool {
    let mut watched = [Watched {
        descriptor: pipe.as_fd(),
        wanted: 0,
        found: 0,
    }];
    poll(&mut watched, Some(0)).is_ok() && watched[0].found & (libc::POLLERR | libc::POLLHUP) != 0
}
