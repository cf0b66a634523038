//! Unpacks one layer of an image that somebody pushed, to be mounted above those below it.
//!
//! Nothing in it is trusted: each layer gets a directory of its own, so that no link of another layer
//! is ever walked, and within it a tree of its own memory says what may stand where. What was removed
//! from lower layers becomes what a union mount takes for that. It must not know what the layers make
//! up. Read [`unpack`] first.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, BufReader, Read, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, lchown, symlink},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustix::fs::{CWD, FileType, Mode, XattrFlags};
use tar::EntryType;
use thiserror::Error;

use crate::{
    archive::{self, ArchiveError, MAX_ENTRIES},
    layers::MAX_LAYER_BYTES,
};

/// Begins the name of what is removed, or of other notes of that kind.
const REMOVED: &[u8] = b".wh.";
/// Says that nothing of the directory is seen in lower layers.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Begins the other notes, which only one file system ever needed.
const NOTES: &[u8] = b".wh..wh.";
/// How a union mount is told the same.
const OPAQUE_ATTRIBUTE: &str = "trusted.overlay.opaque";
/// Highest id of an owner that dynos know; those above are nobody's.
const MAX_OWNER: u64 = 2_000;
const NOBODY: u32 = 65_534;
/// Whom a dyno runs as.
const DYNO_ID: u64 = 1000;
/// Longest target of a link.
const MAX_LINK_BYTES: usize = 4095;

/// Why a layer was refused.
#[derive(Debug, Error)]
pub enum LayerFault {
    /// Its first bytes are those of no known kind.
    #[error("it is not a tar archive (plain, gzip or zstd)")]
    UnknownKind,
    /// An absolute path, one with `..`, or one too long or deep.
    #[error("it holds an unsafe path: {0}")]
    UnsafePath(String),
    /// Something below a file or a link, or a directory in the place of another thing.
    #[error("it contradicts itself at {0}")]
    Contradiction(String),
    /// A link without a target, or a hard link to something that the layer does not hold.
    #[error("it links {0} to something that it does not hold")]
    UnsafeLink(String),
    /// More files than anybody needs.
    #[error("it holds more than {MAX_ENTRIES} files")]
    TooMany,
    /// More bytes than a layer may have.
    #[error("its files come to more than {} MB", MAX_LAYER_BYTES >> 20)]
    TooLarge,
    /// An extension header longer than any honest one.
    #[error("it has an extension header that is too long")]
    LargeHeader,
    /// It cannot be read, or its files cannot be written.
    #[error("could not unpack it")]
    Io(#[from] io::Error),
}

impl From<ArchiveError> for LayerFault {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::UnknownKind => Self::UnknownKind,
            ArchiveError::UnsafePath(path) => Self::UnsafePath(path),
            ArchiveError::UnsafeKind { path } | ArchiveError::Contradiction { path } => {
                Self::Contradiction(path)
            }
            ArchiveError::UnsafeLink { path } => Self::UnsafeLink(path),
            ArchiveError::TooMany => Self::TooMany,
            ArchiveError::TooLarge => Self::TooLarge,
            ArchiveError::LargeHeader => Self::LargeHeader,
            ArchiveError::Io(error) => Self::Io(error),
        }
    }
}

/// Unpacks the layer at `blob` into the empty directory `target`; what its files come to, in bytes.
///
/// Owners up to [`MAX_OWNER`] are kept, [`DYNO_ID`] as `owner`. Modes are kept without setuid and
/// setgid, times are kept. Devices, pipes and extended attributes are left out: a dyno gets its
/// devices elsewhere, and may have no capabilities.
pub(super) fn unpack(blob: &Path, target: &Path, owner: u32) -> Result<u64, LayerFault> {
    let limit = MAX_LAYER_BYTES;
    archive::refuse_large_headers(archive::open(blob)?, limit)?;
    let reader = BufReader::new(archive::open(blob)?);
    let mut tar = tar::Archive::new(reader.take(archive::whole_bytes(limit)));
    let mut tree = Tree {
        root: target.to_owned(),
        owner,
        nodes: BTreeMap::from([(PathBuf::new(), Node::Directory)]),
        times: BTreeMap::new(),
        entries: 0,
        size_bytes: 0,
    };
    for entry in tar.entries()? {
        tree.add(&mut entry?)?;
    }
    tree.finish()
}

/// What stands at a path; the target was empty, so this is all there is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Node {
    Directory,
    /// A file or a link.
    Other,
    /// The mark that what lower layers have here is removed.
    Removed,
}

/// Who owns an entry, and what may be done with it.
struct Attributes {
    user: u32,
    group: u32,
    mode: u32,
    time: SystemTime,
}

struct Tree {
    root: PathBuf,
    owner: u32,
    nodes: BTreeMap<PathBuf, Node>,
    /// Of directories, to be set when nothing is put into them any more.
    times: BTreeMap<PathBuf, SystemTime>,
    entries: usize,
    size_bytes: u64,
}

impl Tree {
    fn add<R: Read>(&mut self, entry: &mut tar::Entry<'_, R>) -> Result<(), LayerFault> {
        self.entries += 1;
        if self.entries > MAX_ENTRIES {
            return Err(LayerFault::TooMany);
        }
        let kind = entry.header().entry_type();
        if matches!(kind, EntryType::XGlobalHeader | EntryType::XHeader) {
            return Ok(());
        }
        let path = archive::safe_path(&entry.path()?)?;
        let Some(name) = path.file_name() else {
            // The root belongs to the system, whatever a layer says of it.
            return Ok(());
        };
        if name.as_encoded_bytes().starts_with(REMOVED) {
            return self.remove(&path);
        }
        let attributes = self.attributes(entry.header());
        match kind {
            EntryType::Directory => self.add_directory(&path, &attributes),
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                if entry.path_bytes().ends_with(b"/") {
                    return self.add_directory(&path, &attributes);
                }
                self.add_file(&path, &attributes, entry)
            }
            EntryType::Symlink => {
                let to = entry.link_name()?.unwrap_or_default().into_owned();
                self.add_link(&path, &attributes, &to)
            }
            EntryType::Link => {
                let to = archive::safe_path(&entry.link_name()?.unwrap_or_default())?;
                self.add_hard_link(&path, &to)
            }
            _ => Ok(()),
        }
    }

    fn attributes(&self, header: &tar::Header) -> Attributes {
        let owner = |id: io::Result<u64>| match id.unwrap_or(0) {
            DYNO_ID => self.owner,
            id if id <= MAX_OWNER => u32::try_from(id).unwrap_or(NOBODY),
            _ => NOBODY,
        };
        // Later than this no file system here can say.
        let seconds = header.mtime().unwrap_or(0).min(u64::from(u32::MAX));
        Attributes {
            user: owner(header.uid()),
            group: owner(header.gid()),
            mode: header.mode().unwrap_or(0o644) & 0o1777,
            time: UNIX_EPOCH + Duration::from_secs(seconds),
        }
    }

    /// Notes that lower layers have nothing here, or nothing in this directory.
    fn remove(&mut self, path: &Path) -> Result<(), LayerFault> {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        let parent = path.parent().unwrap_or(Path::new("")).to_owned();
        if name == OPAQUE {
            self.make_directory(&parent)?;
            return self.hide_below(&parent);
        }
        if name.starts_with(NOTES) {
            return Ok(());
        }
        let unsafe_path = || LayerFault::UnsafePath(archive::shown(path));
        // Cut at a character's end, since the mark is ASCII.
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name
            .and_then(|name| name.strip_prefix(".wh."))
            .ok_or_else(unsafe_path)?;
        if matches!(name, "" | "." | "..") {
            return Err(unsafe_path());
        }
        let removed = parent.join(name);
        match self.nodes.get(&removed) {
            // The layer puts something new there.
            Some(Node::Directory) => return self.hide_below(&removed),
            Some(_) => return Ok(()),
            None => {}
        }
        self.make_directory(&parent)?;
        let full = self.root.join(&removed);
        rustix::fs::mknodat(CWD, &full, FileType::CharacterDevice, Mode::empty(), 0)
            .map_err(io::Error::from)?;
        self.nodes.insert(removed, Node::Removed);
        Ok(())
    }

    /// Has a union mount show nothing that lower layers have in this directory.
    fn hide_below(&self, path: &Path) -> Result<(), LayerFault> {
        let full = self.root.join(path);
        rustix::fs::lsetxattr(&full, OPAQUE_ATTRIBUTE, b"y", XattrFlags::empty())
            .map_err(io::Error::from)?;
        Ok(())
    }

    /// Makes a directory that the layer says nothing of, or not yet.
    fn make_directory(&mut self, path: &Path) -> Result<(), LayerFault> {
        let is_new_in_place = match self.nodes.get(path) {
            Some(Node::Directory) => return Ok(()),
            Some(Node::Other) => return Err(LayerFault::Contradiction(archive::shown(path))),
            Some(Node::Removed) => true,
            None => false,
        };
        if let Some(parent) = path.parent() {
            self.make_directory(parent)?;
        }
        let full = self.root.join(path);
        if is_new_in_place {
            fs::remove_file(&full)?;
        }
        fs::DirBuilder::new().mode(0o755).create(&full)?;
        if is_new_in_place {
            self.hide_below(path)?;
        }
        self.nodes.insert(path.to_owned(), Node::Directory);
        Ok(())
    }

    fn add_directory(&mut self, path: &Path, attributes: &Attributes) -> Result<(), LayerFault> {
        self.make_directory(path)?;
        let full = self.root.join(path);
        lchown(&full, Some(attributes.user), Some(attributes.group))?;
        fs::set_permissions(&full, fs::Permissions::from_mode(attributes.mode))?;
        self.times.insert(path.to_owned(), attributes.time);
        Ok(())
    }

    /// Makes the directories above `path`, and clears the place itself of an earlier file or link.
    fn prepare(&mut self, path: &Path) -> Result<PathBuf, LayerFault> {
        if let Some(parent) = path.parent() {
            self.make_directory(parent)?;
        }
        let full = self.root.join(path);
        match self.nodes.get(path) {
            None => {}
            Some(Node::Directory) => {
                return Err(LayerFault::Contradiction(archive::shown(path)));
            }
            Some(Node::Other | Node::Removed) => fs::remove_file(&full)?,
        }
        self.nodes.insert(path.to_owned(), Node::Other);
        Ok(full)
    }

    fn add_file<R: Read>(
        &mut self,
        path: &Path,
        attributes: &Attributes,
        entry: &mut tar::Entry<'_, R>,
    ) -> Result<(), LayerFault> {
        let full = self.prepare(path)?;
        let mut options = fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&full)?;
        let mut buffer = vec![0_u8; 1 << 16];
        loop {
            let count = entry.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            self.size_bytes += count as u64;
            if self.size_bytes > MAX_LAYER_BYTES {
                return Err(LayerFault::TooLarge);
            }
            file.write_all(buffer.get(..count).unwrap_or_default())?;
        }
        lchown(&full, Some(attributes.user), Some(attributes.group))?;
        file.set_permissions(fs::Permissions::from_mode(attributes.mode))?;
        file.set_modified(attributes.time)?;
        Ok(())
    }

    fn add_link(
        &mut self,
        path: &Path,
        attributes: &Attributes,
        to: &Path,
    ) -> Result<(), LayerFault> {
        if to.as_os_str().is_empty() || to.as_os_str().len() > MAX_LINK_BYTES {
            return Err(LayerFault::UnsafeLink(archive::shown(path)));
        }
        let full = self.prepare(path)?;
        symlink(to, &full)?;
        lchown(&full, Some(attributes.user), Some(attributes.group))?;
        Ok(())
    }

    fn add_hard_link(&mut self, path: &Path, to: &Path) -> Result<(), LayerFault> {
        if self.nodes.get(to) != Some(&Node::Other) {
            return Err(LayerFault::UnsafeLink(archive::shown(path)));
        }
        if path == to {
            return Ok(());
        }
        let full = self.prepare(path)?;
        fs::hard_link(self.root.join(to), &full)?;
        Ok(())
    }

    fn finish(self) -> Result<u64, LayerFault> {
        for (path, time) in self.times.iter().rev() {
            fs::File::open(self.root.join(path))?.set_modified(*time)?;
        }
        Ok(self.size_bytes)
    }
}

#[cfg(test)]
mod tests;
