//! What is unpacked so far, by memory: so that no link of an archive is ever followed.
//!
//! It must not know where archives come from. Read [`Tree::add`] first.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, Read, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, symlink},
    path::{Component, Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use api::clock::Time;
use sha2::{Digest as _, Sha256};
use tar::EntryType;

use super::{ArchiveError, MAX_DEPTH, MAX_ENTRIES, MAX_PATH_BYTES, MAX_TOTAL_BYTES, Unpacked, hex};

/// 1980-01-01: zip files, which Python's tools make of sources, know no earlier time.
const EARLIEST_MTIME_SECONDS: u64 = 315_532_800;

/// What stands at a path; the target was empty, so this is all there is.
enum Node {
    Directory,
    File {
        is_executable: bool,
        digest: [u8; 32],
    },
    Link(PathBuf),
}

pub(crate) struct Tree {
    root: PathBuf,
    owner: u32,
    nodes: BTreeMap<PathBuf, Node>,
    entries: usize,
    size_bytes: u64,
    newest: u64,
}

impl Tree {
    pub(super) fn new(root: PathBuf, owner: u32) -> Self {
        let nodes = BTreeMap::from([(PathBuf::new(), Node::Directory)]);
        Self {
            root,
            owner,
            nodes,
            entries: 0,
            size_bytes: 0,
            newest: EARLIEST_MTIME_SECONDS,
        }
    }

    pub(super) fn add<R: Read>(
        &mut self,
        entry: &mut tar::Entry<'_, R>,
    ) -> Result<(), ArchiveError> {
        self.entries += 1;
        if self.entries > MAX_ENTRIES {
            return Err(ArchiveError::TooMany);
        }
        let kind = entry.header().entry_type();
        if matches!(kind, EntryType::XGlobalHeader | EntryType::XHeader) {
            return Ok(());
        }
        let path = safe_path(&entry.path()?)?;
        self.newest = self.newest.max(entry.header().mtime().unwrap_or(0));
        match kind {
            EntryType::Directory => self.make_directory(&path),
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                // Old archives mark a directory by a slash alone.
                if entry.path_bytes().ends_with(b"/") {
                    return self.make_directory(&path);
                }
                self.make_file(&path, entry)
            }
            EntryType::Symlink => {
                let to = entry
                    .link_name()?
                    .map(std::borrow::Cow::into_owned)
                    .unwrap_or_default();
                self.make_symlink(&path, to)
            }
            EntryType::Link => {
                let to = safe_path(&entry.link_name()?.unwrap_or_default())?;
                self.make_hard_link(&path, &to)
            }
            _ => Err(ArchiveError::UnsafeKind { path: shown(&path) }),
        }
    }

    /// Makes the directories above `path`, and clears the place itself of an earlier file or link.
    fn prepare(&mut self, path: &Path) -> Result<PathBuf, ArchiveError> {
        let contradiction = || ArchiveError::Contradiction { path: shown(path) };
        if path.as_os_str().is_empty() {
            return Err(contradiction());
        }
        if let Some(parent) = path.parent() {
            self.make_directory(parent)?;
        }
        let full = self.root.join(path);
        match self.nodes.remove(path) {
            None => {}
            Some(Node::Directory) => return Err(contradiction()),
            Some(Node::File { .. } | Node::Link(_)) => fs::remove_file(&full)?,
        }
        Ok(full)
    }

    fn make_directory(&mut self, path: &Path) -> Result<(), ArchiveError> {
        match self.nodes.get(path) {
            Some(Node::Directory) => return Ok(()),
            Some(_) => return Err(ArchiveError::Contradiction { path: shown(path) }),
            None => {}
        }
        if let Some(parent) = path.parent() {
            self.make_directory(parent)?;
        }
        let full = self.root.join(path);
        fs::DirBuilder::new().mode(0o755).create(&full)?;
        crate::owner::give(&full, self.owner)?;
        self.nodes.insert(path.to_owned(), Node::Directory);
        Ok(())
    }

    fn make_file<R: Read>(
        &mut self,
        path: &Path,
        entry: &mut tar::Entry<'_, R>,
    ) -> Result<(), ArchiveError> {
        let is_executable = entry.header().mode().unwrap_or(0) & 0o111 != 0;
        let full = self.prepare(path)?;
        let mode = if is_executable { 0o755 } else { 0o644 };
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&full)?;
        let mut hash = Sha256::new();
        let mut buffer = vec![0_u8; 1 << 16];
        loop {
            let count = entry.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            self.size_bytes += count as u64;
            if self.size_bytes > MAX_TOTAL_BYTES {
                return Err(ArchiveError::TooLarge);
            }
            hash.update(&buffer[..count]);
            file.write_all(&buffer[..count])?;
        }
        fs::set_permissions(&full, std::os::unix::fs::PermissionsExt::from_mode(mode))?;
        crate::owner::give(&full, self.owner)?;
        let node = Node::File {
            is_executable,
            digest: hash.finalize().into(),
        };
        self.nodes.insert(path.to_owned(), node);
        Ok(())
    }

    fn make_symlink(&mut self, path: &Path, to: PathBuf) -> Result<(), ArchiveError> {
        if to.as_os_str().is_empty() || to.as_os_str().len() > 4095 {
            return Err(ArchiveError::UnsafeLink { path: shown(path) });
        }
        let full = self.prepare(path)?;
        symlink(&to, &full)?;
        crate::owner::give(&full, self.owner)?;
        self.nodes.insert(path.to_owned(), Node::Link(to));
        Ok(())
    }

    fn make_hard_link(&mut self, path: &Path, to: &Path) -> Result<(), ArchiveError> {
        let Some(Node::File {
            is_executable,
            digest,
        }) = self.nodes.get(to)
        else {
            return Err(ArchiveError::UnsafeLink { path: shown(path) });
        };
        let node = Node::File {
            is_executable: *is_executable,
            digest: *digest,
        };
        if path == to {
            return Ok(());
        }
        let full = self.prepare(path)?;
        fs::hard_link(self.root.join(to), &full)?;
        self.nodes.insert(path.to_owned(), node);
        Ok(())
    }

    /// Sets times, and says what it all is.
    pub(crate) fn finish(self, now: Time) -> Result<Unpacked, ArchiveError> {
        let latest = u64::try_from(now.as_micros() / 1_000_000).unwrap_or(EARLIEST_MTIME_SECONDS);
        let seconds = self
            .newest
            .clamp(EARLIEST_MTIME_SECONDS, latest.max(EARLIEST_MTIME_SECONDS));
        let time = UNIX_EPOCH + Duration::from_secs(seconds);
        // From the deepest up, since making a file changes the time of its directory.
        for (path, node) in self.nodes.iter().rev() {
            set_time(&self.root.join(path), node, time)?;
        }
        Ok(Unpacked {
            digest: self.digest_of(|_, _| true),
            size_bytes: self.size_bytes,
        })
    }

    /// SHA-256 (hex) of the paths that are wanted, with their kinds, modes and contents. `is_wanted`
    /// is asked with each path and whether it is a directory.
    pub(crate) fn digest_of(&self, is_wanted: impl Fn(&Path, bool) -> bool) -> String {
        let mut hash = Sha256::new();
        for (path, node) in self.nodes.iter().rev() {
            if is_wanted(path, matches!(node, Node::Directory)) {
                add_to(&mut hash, path, node);
            }
        }
        hex(&hash.finalize())
    }

    /// All paths, each with whether it is a directory; a directory comes before what is in it.
    pub(crate) fn paths(&self) -> impl Iterator<Item = (&Path, bool)> {
        self.nodes
            .iter()
            .map(|(path, node)| (path.as_path(), matches!(node, Node::Directory)))
    }

    /// The text of a file at most so long; a link is none.
    pub(crate) fn text(&self, path: &Path, limit: u64) -> io::Result<Option<String>> {
        if !matches!(self.nodes.get(path), Some(Node::File { .. })) {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        let file = fs::File::open(self.root.join(path))?;
        file.take(limit + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let text = String::from_utf8_lossy(&bytes);
        Ok(Some(
            text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned(),
        ))
    }

    /// Takes paths away, each with all that is below it.
    pub(crate) fn remove(&mut self, paths: &BTreeSet<PathBuf>) -> io::Result<()> {
        for path in paths {
            let full = self.root.join(path);
            match self.nodes.get(path) {
                None => {}
                // What is below is ours: no link is followed to take it away.
                Some(Node::Directory) => fs::remove_dir_all(full)?,
                Some(Node::File { .. } | Node::Link(_)) => fs::remove_file(full)?,
            }
        }
        let is_gone = |path: &Path| path.ancestors().any(|above| paths.contains(above));
        self.nodes.retain(|path, _| !is_gone(path));
        Ok(())
    }

    /// Makes a directory the root and takes all else away; whether there is such a directory. A link
    /// is none, wherever it leads.
    pub(crate) fn raise(&mut self, folder: &Path) -> io::Result<bool> {
        if folder.as_os_str().is_empty() {
            return Ok(true);
        }
        if !matches!(self.nodes.get(folder), Some(Node::Directory)) {
            return Ok(false);
        }
        let aside = self.root.with_extension("root");
        fs::rename(self.root.join(folder), &aside)?;
        fs::remove_dir_all(&self.root)?;
        fs::rename(&aside, &self.root)?;
        let nodes = std::mem::take(&mut self.nodes);
        self.nodes = nodes
            .into_iter()
            .filter_map(|(path, node)| Some((path.strip_prefix(folder).ok()?.to_owned(), node)))
            .collect();
        Ok(true)
    }

    /// Links whose target, by its name, is above the root.
    pub(crate) fn links_out(&self) -> impl Iterator<Item = &Path> {
        self.nodes.iter().filter_map(|(path, node)| match node {
            Node::Link(to) if leads_out(path, to) => Some(path.as_path()),
            _ => None,
        })
    }
}

/// Whether a relative link leads above the root.
fn leads_out(path: &Path, to: &Path) -> bool {
    let mut depth = path.components().count().saturating_sub(1);
    for component in to.components() {
        match component {
            Component::ParentDir => match depth.checked_sub(1) {
                Some(above) => depth = above,
                None => return true,
            },
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            // At run time the root is `/app`, and the rest is the stack's.
            Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    false
}

fn add_to(hash: &mut Sha256, path: &Path, node: &Node) {
    let bytes = path.as_os_str().as_encoded_bytes();
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
    match node {
        Node::Directory => hash.update(b"d"),
        Node::File {
            is_executable,
            digest,
        } => {
            hash.update(if *is_executable { b"x" } else { b"f" });
            hash.update(digest);
        }
        Node::Link(to) => {
            let to = to.as_os_str().as_encoded_bytes();
            hash.update(b"l");
            hash.update((to.len() as u64).to_le_bytes());
            hash.update(to);
        }
    }
}

fn set_time(path: &Path, node: &Node, time: SystemTime) -> io::Result<()> {
    match node {
        // A link's own time is seen by nobody.
        Node::Link(_) => Ok(()),
        Node::File { .. } | Node::Directory => fs::File::open(path)?.set_modified(time),
    }
}

/// The path below the root that an archive means, if it is one.
pub(crate) fn safe_path(path: &Path) -> Result<PathBuf, ArchiveError> {
    let refused = || ArchiveError::UnsafePath(shown(path));
    let bytes = path.as_os_str().as_encoded_bytes();
    if bytes.len() > MAX_PATH_BYTES || bytes.contains(&0) {
        return Err(refused());
    }
    let mut safe = PathBuf::new();
    let mut depth = 0;
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::Normal(part) if part.len() <= 255 => {
                depth += 1;
                safe.push(part);
            }
            _ => return Err(refused()),
        }
    }
    if depth > MAX_DEPTH {
        Err(refused())
    } else {
        Ok(safe)
    }
}

/// A path for a message.
pub(crate) fn shown(path: &Path) -> String {
    path.to_string_lossy()
        .chars()
        .take(200)
        .collect::<String>()
        .escape_debug()
        .to_string()
}
