//! A directory as an image's layer: a tar whose bytes depend on names, modes and contents alone.
//!
//! Entries are sorted, times are one, owners are those of the image; what a union mount marks as
//! removed becomes what OCI marks so. It must not know what a layer holds. Read [`write_tar`].

use std::{
    collections::BTreeMap,
    fs::{self, File, Metadata},
    io::{self, Read, Write},
    os::unix::{
        ffi::{OsStrExt as _, OsStringExt as _},
        fs::{FileTypeExt as _, MetadataExt as _},
    },
    path::{Path, PathBuf},
};

use tar::{Builder, EntryType, Header};

use super::{ImageError, bytecode};

/// 1980-01-01, the time of every file: zip files, which Python's and Java's tools make of files,
/// know no earlier one.
pub(super) const MTIME_SECONDS: u32 = 315_532_800;
/// The same as configurations write it.
pub(super) const MTIME_TEXT: &str = "1980-01-01T00:00:00Z";
/// The user and group that the app runs as inside, who is in the stack's list of users.
pub(super) const DYNO_ID: u32 = 1000;
/// The last id that Debian gives to its own parts; from here on ids are the host's.
const FIRST_HOST_ID: u32 = 1000;
/// Debian's `nobody`.
const NOBODY: u32 = 65_534;

/// How OCI marks a removed file: this, before its name.
const WHITEOUT: &[u8] = b".wh.";
/// How OCI marks a directory that hides the one below it.
const OPAQUE: &str = ".wh..wh..opq";
/// How overlayfs marks such a directory, as root and as an ordinary user.
const OPAQUE_ATTRIBUTES: [&str; 2] = ["trusted.overlay.opaque", "user.overlay.opaque"];

/// What kind of tree a layer is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tree {
    /// A stack's root filesystem: owners and modes are Debian's.
    Stack,
    /// What belongs below `/app`: all of it is the app's.
    App,
}

/// Of a stack, places whose content is the machine's, of a moment, or said elsewhere. The
/// directories themselves stay.
const LEFT_OUT: [&str; 10] = [
    "dev",
    "etc/landfall-stack.json",
    "proc",
    "run",
    "sys",
    "tmp",
    "var/cache",
    "var/lib/apt/lists",
    "var/log",
    "var/tmp",
];

/// Writes the tree at `root` as a tar.
///
/// # Errors
/// `ReservedName` for a file that OCI would take for a mark.
pub(super) fn write_tar(root: &Path, tree: Tree, output: impl Write) -> Result<(), ImageError> {
    let mut tar = Builder::new(output);
    let mut writer = TreeWriter {
        root,
        tree,
        tar: &mut tar,
        names: BTreeMap::new(),
    };
    if tree == Tree::App {
        let metadata = metadata(root)?;
        writer.directory(Path::new(""), &metadata)?;
    }
    writer.descend(Path::new(""))?;
    let ended = tar.finish();
    ended.map_err(ImageError::file("pack", root))
}

struct TreeWriter<'writer, W: Write> {
    root: &'writer Path,
    tree: Tree,
    tar: &'writer mut Builder<W>,
    /// Device and number of files with several names → the first of them.
    names: BTreeMap<(u64, u64), PathBuf>,
}

impl<W: Write> TreeWriter<'_, W> {
    fn descend(&mut self, below: &Path) -> Result<(), ImageError> {
        let folder = self.root.join(below);
        let read = || -> io::Result<Vec<Vec<u8>>> {
            let entries = fs::read_dir(&folder)?;
            let mut names = entries
                .map(|entry| Ok(entry?.file_name().into_vec()))
                .collect::<io::Result<Vec<_>>>()?;
            names.sort_unstable();
            Ok(names)
        };
        for name in read().map_err(ImageError::file("read", &folder))? {
            let name = std::ffi::OsString::from_vec(name);
            let path = below.join(&name);
            if name.as_bytes().starts_with(WHITEOUT) {
                return Err(ImageError::ReservedName(path));
            }
            self.entry(&path)?;
        }
        Ok(())
    }

    fn entry(&mut self, path: &Path) -> Result<(), ImageError> {
        let metadata = metadata(&self.root.join(path))?;
        let kind = metadata.file_type();
        let is_left_out =
            self.tree == Tree::Stack && LEFT_OUT.iter().any(|place| path == Path::new(place));
        if kind.is_dir() {
            self.directory(path, &metadata)?;
            if is_left_out {
                return Ok(());
            }
            return self.descend(path);
        }
        if is_left_out {
            return Ok(());
        }
        let packed = if kind.is_symlink() {
            self.symlink(path, &metadata)
        } else if kind.is_file() {
            self.file(path, &metadata)
        } else if kind.is_char_device() && metadata.rdev() == 0 {
            self.mark(path, &metadata)
        } else {
            // Sockets and pipes are of a moment; there are no devices in a layer.
            Ok(())
        };
        packed.map_err(ImageError::file("pack", &self.root.join(path)))
    }

    fn directory(&mut self, path: &Path, metadata: &Metadata) -> Result<(), ImageError> {
        let full = self.root.join(path);
        let mut pack = || -> io::Result<()> {
            let mut header = self.header(EntryType::Directory, metadata);
            let place = self.place(path);
            self.tar.append_data(&mut header, &place, io::empty())?;
            if is_opaque(&full)? {
                let mut header = self.header(EntryType::Regular, metadata);
                header.set_mode(0o644);
                let mark = place.join(OPAQUE);
                self.tar.append_data(&mut header, mark, io::empty())?;
            }
            Ok(())
        };
        pack().map_err(ImageError::file("pack", &full))
    }

    fn symlink(&mut self, path: &Path, metadata: &Metadata) -> io::Result<()> {
        let target = fs::read_link(self.root.join(path))?;
        let mut header = self.header(EntryType::Symlink, metadata);
        self.tar.append_link(&mut header, self.place(path), target)
    }

    /// The mark of a removed file.
    fn mark(&mut self, path: &Path, metadata: &Metadata) -> io::Result<()> {
        let mut name = std::ffi::OsString::from_vec(WHITEOUT.to_vec());
        name.push(path.file_name().unwrap_or_default());
        let mut header = self.header(EntryType::Regular, metadata);
        header.set_mode(0o644);
        let place = self.place(&path.with_file_name(name));
        self.tar.append_data(&mut header, place, io::empty())
    }

    fn file(&mut self, path: &Path, metadata: &Metadata) -> io::Result<()> {
        let place = self.place(path);
        if metadata.nlink() > 1 {
            let identity = (metadata.dev(), metadata.ino());
            if let Some(first) = self.names.get(&identity) {
                let mut header = self.header(EntryType::Link, metadata);
                return self.tar.append_link(&mut header, &place, first);
            }
            self.names.insert(identity, place.clone());
        }
        let mut header = self.header(EntryType::Regular, metadata);
        header.set_size(metadata.len());
        let mut file = File::open(self.root.join(path))?;
        let name = path.as_os_str().as_bytes();
        let mut head = [0; 16];
        if bytecode::is_named_so(name) && metadata.len() >= head.len() as u64 {
            file.read_exact(&mut head)?;
            let head = bytecode::with_time(head, MTIME_SECONDS);
            let rest = file.take(metadata.len() - head.len() as u64);
            return self
                .tar
                .append_data(&mut header, place, head.as_slice().chain(rest));
        }
        let content = file.take(metadata.len());
        self.tar.append_data(&mut header, place, content)
    }

    fn place(&self, path: &Path) -> PathBuf {
        match self.tree {
            Tree::Stack => path.to_owned(),
            Tree::App => Path::new("app").join(path),
        }
    }

    fn header(&self, kind: EntryType, metadata: &Metadata) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(0);
        header.set_mtime(MTIME_SECONDS.into());
        let (owner, group) = match self.tree {
            Tree::App => (DYNO_ID, DYNO_ID),
            Tree::Stack => (debian_id(metadata.uid()), debian_id(metadata.gid())),
        };
        header.set_uid(owner.into());
        header.set_gid(group.into());
        header.set_mode(mode(self.tree, kind, metadata.mode()));
        header
    }
}

/// An id of Debian's as it is; what an ordinary user has unpacked is root's.
fn debian_id(id: u32) -> u32 {
    if id < FIRST_HOST_ID || id == NOBODY {
        id
    } else {
        0
    }
}

/// No file of an image gives anybody more rights than they have.
fn mode(tree: Tree, kind: EntryType, mode: u32) -> u32 {
    match (tree, kind) {
        (_, EntryType::Symlink) => 0o777,
        (Tree::Stack, _) => mode & 0o1777,
        (Tree::App, EntryType::Directory) => 0o755,
        (Tree::App, _) if mode & 0o111 != 0 => 0o755,
        (Tree::App, _) => 0o644,
    }
}

fn is_opaque(folder: &Path) -> io::Result<bool> {
    use rustix::io::Errno;
    for name in OPAQUE_ATTRIBUTES {
        let mut value = [0_u8; 8];
        match rustix::fs::lgetxattr(folder, name, value.as_mut_slice()) {
            Ok(length) if value.get(..length) == Some(b"y") => return Ok(true),
            Ok(_) | Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::PERM | Errno::RANGE) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(false)
}

fn metadata(path: &Path) -> Result<Metadata, ImageError> {
    fs::symlink_metadata(path).map_err(ImageError::file("read", path))
}
