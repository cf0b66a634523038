//! Finding a file in a slug's layers as the dyno would see it, without being led out of them.
//!
//! The second wall: the kernel resolves every path below one layer's directory, without links,
//! mounts or `..` (openat2), and what is opened must be an ordinary file that everybody may read. A
//! layer hides what is below it as the dyno's union mount does: by a file in the place of a folder,
//! by the mark of a removed file, by a folder that is marked opaque.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
};

use rustix::{
    fs::{FileType, Mode, OFlags, ResolveFlags, Stat, fgetxattr, fstat, open, openat2},
    io::Errno,
};

/// Where to look.
#[derive(Clone, Debug)]
pub(super) struct Layers {
    /// Topmost first.
    pub(super) directories: Vec<PathBuf>,
}

/// What a path names.
#[derive(Debug)]
pub(super) enum Found {
    File(File),
    Folder,
    Nothing,
}

/// An opened file.
#[derive(Debug)]
pub(super) struct File {
    pub(super) handle: OwnedFd,
    pub(super) bytes: u64,
    /// Seconds of the Unix epoch.
    pub(super) modified: i64,
    /// Differs for files that differ.
    pub(super) identity: [u64; 4],
}

/// How long a look may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// Only what the kernel has in memory.
    None,
    Disk,
}

/// What one layer has at a path.
enum Layer {
    Has(OwnedFd, Stat),
    /// Those below are not to be asked.
    Hides,
    Lacks,
}

impl Layers {
    /// Errors with `WouldBlock` when it takes more patience.
    pub(super) fn find(&self, path: &str, patience: Patience) -> io::Result<Found> {
        for directory in &self.directories {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let root = open(directory, flags, Mode::empty())?;
            match look(root.as_fd(), path, patience)? {
                Layer::Has(file, stat) => return Ok(found(file, &stat)),
                Layer::Hides => return Ok(Found::Nothing),
                Layer::Lacks => {}
            }
        }
        Ok(Found::Nothing)
    }
}

fn found(file: OwnedFd, stat: &Stat) -> Found {
    const READABLE_BY_ALL: u32 = 0o004;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile if stat.st_mode & READABLE_BY_ALL != 0 => Found::File(File {
            handle: file,
            bytes: u64::try_from(stat.st_size).unwrap_or(0),
            modified: stat.st_mtime,
            identity: [
                stat.st_ino,
                stat.st_size.unsigned_abs(),
                stat.st_mtime.unsigned_abs(),
                stat.st_mtime_nsec,
            ],
        }),
        FileType::Directory => Found::Folder,
        _ => Found::Nothing,
    }
}

fn look(root: BorrowedFd<'_>, path: &str, patience: Patience) -> io::Result<Layer> {
    match open_below(root, path, patience) {
        Ok(file) => {
            let stat = fstat(&file)?;
            Ok(Layer::Has(file, stat))
        }
        Err(Errno::NOENT) => look_above(root, path, patience),
        Err(Errno::AGAIN) => Err(io::ErrorKind::WouldBlock.into()),
        // A link, a device that marks a removed file, a file where a folder should be, or what we
        // may not read: the dyno may know what to do.
        Err(_) => Ok(Layer::Hides),
    }
}

/// Whether a layer that lacks the path hides it in those below: by one of the folders above it.
fn look_above(root: BorrowedFd<'_>, path: &str, patience: Patience) -> io::Result<Layer> {
    for (end, _) in path.match_indices('/') {
        let folder = path.get(..end).unwrap_or_default();
        match open_below(root, folder, patience) {
            Ok(folder) => {
                let kind = FileType::from_raw_mode(fstat(&folder)?.st_mode);
                if kind != FileType::Directory || is_opaque(&folder) {
                    return Ok(Layer::Hides);
                }
            }
            Err(Errno::NOENT) => return Ok(Layer::Lacks),
            Err(Errno::AGAIN) => return Err(io::ErrorKind::WouldBlock.into()),
            Err(_) => return Ok(Layer::Hides),
        }
    }
    Ok(Layer::Lacks)
}

/// Opening what is no ordinary file waits for nobody.
fn open_below(root: BorrowedFd<'_>, path: &str, patience: Patience) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let mut resolve = ResolveFlags::BENEATH
        | ResolveFlags::NO_SYMLINKS
        | ResolveFlags::NO_MAGICLINKS
        | ResolveFlags::NO_XDEV;
    if patience == Patience::None {
        resolve |= ResolveFlags::CACHED;
    }
    openat2(root, path, flags, Mode::empty(), resolve)
}

/// Union mounts of ordinary users keep their marks under another name.
fn is_opaque(folder: &OwnedFd) -> bool {
    ["trusted.overlay.opaque", "user.overlay.opaque"]
        .iter()
        .any(|name| {
            let mut value = [0; 4];
            fgetxattr(folder, *name, &mut value[..])
                .is_ok_and(|length| length > 0 && value.first() == Some(&b'y'))
        })
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{PermissionsExt as _, symlink},
        path::Path,
    };

    use rustix::fs::{CWD, XattrFlags, mkfifoat, mknodat, setxattr};

    use super::*;

    /// A lower layer with some files, and an upper one.
    fn layers() -> (tempfile::TempDir, Layers) {
        let root = tempfile::tempdir().unwrap();
        let directories = vec![root.path().join("upper"), root.path().join("lower")];
        write(&directories[1], "public/a.txt", "lower a");
        write(&directories[1], "public/deep/b.txt", "lower b");
        write(&directories[1], "secret", "not to be shown");
        write(root.path(), "outside", "not of the slug");
        fs::create_dir_all(directories[0].join("public")).unwrap();
        (root, Layers { directories })
    }

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn shown(layers: &Layers, path: &str) -> Option<String> {
        match layers.find(path, Patience::Disk).unwrap() {
            Found::File(found) => {
                let mut text = vec![0; usize::try_from(found.bytes).unwrap()];
                rustix::io::pread(&found.handle, &mut text[..], 0).unwrap();
                Some(String::from_utf8(text).unwrap())
            }
            Found::Folder => Some("a folder".to_owned()),
            Found::Nothing => None,
        }
    }

    #[test]
    fn layers_hide_what_is_below_them() {
        let (_root, layers) = layers();
        let upper = &layers.directories[0];
        assert_eq!(shown(&layers, "public/a.txt").as_deref(), Some("lower a"));
        assert_eq!(shown(&layers, "public/deep").as_deref(), Some("a folder"));
        write(upper, "public/a.txt", "upper a");
        assert_eq!(shown(&layers, "public/a.txt").as_deref(), Some("upper a"));
        // A file in the place of a folder.
        write(upper, "public/deep", "a file");
        assert_eq!(shown(&layers, "public/deep/b.txt"), None);
        fs::remove_file(upper.join("public/deep")).unwrap();
        assert_eq!(
            shown(&layers, "public/deep/b.txt").as_deref(),
            Some("lower b")
        );
        // Marks of removed files and folders.
        let mark = |path: &str| {
            mknodat(
                CWD,
                upper.join(path),
                FileType::CharacterDevice,
                Mode::empty(),
                0,
            )
            .unwrap();
        };
        mark("public/deep");
        assert_eq!(shown(&layers, "public/deep/b.txt"), None);
        assert_eq!(shown(&layers, "public/deep"), None);
        fs::remove_file(upper.join("public/a.txt")).unwrap();
        mark("public/a.txt");
        assert_eq!(shown(&layers, "public/a.txt"), None);
    }

    #[test]
    fn an_opaque_folder_hides_all_of_its_name() {
        let (_root, layers) = layers();
        let folder = layers.directories[0].join("public");
        let marked = setxattr(&folder, "user.overlay.opaque", b"y", XattrFlags::empty());
        // Not every file system keeps attributes.
        if marked.is_ok() {
            assert_eq!(shown(&layers, "public/a.txt"), None);
            assert_eq!(shown(&layers, "public/deep/b.txt"), None);
            assert!(shown(&layers, "secret").is_some());
        }
    }

    #[test]
    fn nothing_leads_out_and_only_plain_files_are_shown() {
        let (root, layers) = layers();
        let upper = layers.directories[0].join("public");
        symlink("../../outside", upper.join("link")).unwrap();
        symlink(root.path(), upper.join("folder-link")).unwrap();
        symlink("a.txt", upper.join("inner-link")).unwrap();
        symlink("/proc/self/root/etc/passwd", upper.join("magic")).unwrap();
        mkfifoat(CWD, upper.join("fifo"), Mode::from_raw_mode(0o644)).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(upper.join("socket")).unwrap();
        write(&upper, "private", "for the owner");
        fs::set_permissions(upper.join("private"), fs::Permissions::from_mode(0o640)).unwrap();
        for path in [
            "public/link",
            "public/folder-link/outside",
            "public/inner-link",
            "public/magic",
            "public/fifo",
            "public/socket",
            "public/private",
            "public/../../outside",
            "../outside",
            "/etc/passwd",
        ] {
            assert_eq!(shown(&layers, path), None, "{path}");
        }
    }
}
