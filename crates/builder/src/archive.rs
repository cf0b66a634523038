//! Unpacks a source archive that nobody has looked at yet.
//!
//! It trusts nothing in it: only files, directories and links below the target are made, by a tree
//! of its own memory, so that no link in the archive is ever followed. It must not know what the
//! files mean. Read [`unpack`] first.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, BufReader, Read, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, symlink},
    path::{Component, Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use api::clock::Time;
use sha2::{Digest as _, Sha256};
use tar::EntryType;
use thiserror::Error;

/// Most entries in one archive.
pub const MAX_ENTRIES: usize = 200_000;
/// Most bytes that the files of one archive may come to.
pub const MAX_TOTAL_BYTES: u64 = 2 * 1024 * 1024 * 1024;
/// Most bytes of an archive without its compression. Headers and padding count too: a bomb may
/// consist of them alone.
const MAX_ARCHIVE_BYTES: u64 = MAX_TOTAL_BYTES + MAX_ENTRIES as u64 * 2048;
/// Largest extension header: the longest path or link many times over.
const MAX_HEADER_BYTES: u64 = 64 * 1024;
/// Longest path below the app's root, in bytes.
pub const MAX_PATH_BYTES: usize = 1024;
/// Deepest path below the app's root, in parts.
pub const MAX_DEPTH: usize = 64;
/// 1980-01-01: zip files, which Python's tools make of sources, know no earlier time.
const EARLIEST_MTIME_SECONDS: u64 = 315_532_800;

/// Why an archive was refused.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// Its first bytes are those of no known kind.
    #[error("the source is not a tar archive (plain, gzip or zstd)")]
    UnknownKind,
    /// An absolute path, one with `..`, or one too long or deep.
    #[error("the source archive holds an unsafe path: {0}")]
    UnsafePath(String),
    /// A device, a pipe or something else that sources do not have.
    #[error("the source archive holds {path}, which is neither a file, a directory nor a link")]
    UnsafeKind {
        /// Where in the archive.
        path: String,
    },
    /// Something below a file or a link, or a directory in the place of another thing.
    #[error("the source archive contradicts itself at {path}")]
    Contradiction {
        /// Where in the archive.
        path: String,
    },
    /// A hard link to something that is not an earlier file of the archive.
    #[error("the source archive links {path} to something that it does not hold")]
    UnsafeLink {
        /// The link.
        path: String,
    },
    /// More than [`MAX_ENTRIES`].
    #[error("the source archive holds more than {MAX_ENTRIES} files")]
    TooMany,
    /// More than [`MAX_TOTAL_BYTES`].
    #[error("the source is larger than {} MB", MAX_TOTAL_BYTES / 1_048_576)]
    TooLarge,
    /// A path or an extension header longer than any honest one.
    #[error("the source archive has a header of more than {MAX_HEADER_BYTES} bytes")]
    LargeHeader,
    /// The archive cannot be read, or its files cannot be written.
    #[error("could not unpack the source")]
    Io(#[from] io::Error),
}

/// What was unpacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpacked {
    /// SHA-256 (hex) of all paths, kinds, modes and contents; times and owners do not count.
    pub digest: String,
    /// What the files come to.
    pub size_bytes: u64,
}

/// Who shall own what is unpacked, and the latest time a file may claim.
#[derive(Clone, Copy, Debug)]
pub struct Ownership {
    /// User and group id.
    pub owner: u32,
    /// No file gets a later time than this.
    pub now: Time,
}

/// Unpacks the archive at `archive` into the empty directory `target`.
///
/// Modes become 0755 or 0644 (0755 for directories), and every file gets the time of the newest:
/// `git archive` gives all one time as well, so a new commit makes all of them newer, which is
/// what caches of static files want.
pub fn unpack(
    archive: &Path,
    target: &Path,
    ownership: Ownership,
) -> Result<Unpacked, ArchiveError> {
    refuse_large_headers(open(archive)?)?;
    let reader = open(archive)?;
    let mut tree = Tree::new(target.to_owned(), ownership.owner);
    let mut tar = tar::Archive::new(reader.take(MAX_ARCHIVE_BYTES));
    for entry in tar.entries()? {
        tree.add(&mut entry?)?;
    }
    tree.finish(ownership.now)
}

/// Reads the archive once without heeding its extension headers, which the library otherwise holds
/// in memory whole, whatever size they claim. Other entries may not claim too much either.
fn refuse_large_headers(reader: Box<dyn Read>) -> Result<(), ArchiveError> {
    let mut tar = tar::Archive::new(reader.take(MAX_ARCHIVE_BYTES));
    for entry in tar.entries()?.raw(true) {
        let entry = entry?;
        // Said before anything is written, and before the rest is read to skip it.
        if entry.header().entry_size()? > MAX_TOTAL_BYTES {
            return Err(ArchiveError::TooLarge);
        }
        let is_extension = matches!(
            entry.header().entry_type(),
            EntryType::XGlobalHeader
                | EntryType::XHeader
                | EntryType::GNULongName
                | EntryType::GNULongLink
        );
        if is_extension && entry.header().entry_size()? > MAX_HEADER_BYTES {
            return Err(ArchiveError::LargeHeader);
        }
    }
    Ok(())
}

/// Looks at the first bytes to find out how the archive is compressed.
fn open(path: &Path) -> Result<Box<dyn Read>, ArchiveError> {
    let mut start = [0_u8; 512];
    let mut file = fs::File::open(path)?;
    let mut length = 0;
    while length < start.len() {
        match file.read(&mut start[length..])? {
            0 => break,
            count => length += count,
        }
    }
    let reader = BufReader::with_capacity(1 << 16, fs::File::open(path)?);
    if start.starts_with(&[0x1f, 0x8b]) {
        Ok(Box::new(flate2::bufread::MultiGzDecoder::new(reader)))
    } else if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Ok(Box::new(zstd::Decoder::with_buffer(reader)?))
    } else if &start[257..262] == b"ustar" || (length == 512 && start.iter().all(|b| *b == 0)) {
        Ok(Box::new(reader))
    } else {
        Err(ArchiveError::UnknownKind)
    }
}

/// What stands at a path; the target was empty, so this is all there is.
enum Node {
    Directory,
    File {
        is_executable: bool,
        digest: [u8; 32],
    },
    Link(PathBuf),
}

struct Tree {
    root: PathBuf,
    owner: u32,
    nodes: BTreeMap<PathBuf, Node>,
    entries: usize,
    size_bytes: u64,
    newest: u64,
}

impl Tree {
    fn new(root: PathBuf, owner: u32) -> Self {
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

    fn add<R: Read>(&mut self, entry: &mut tar::Entry<'_, R>) -> Result<(), ArchiveError> {
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

    fn finish(self, now: Time) -> Result<Unpacked, ArchiveError> {
        let latest = u64::try_from(now.as_micros() / 1_000_000).unwrap_or(EARLIEST_MTIME_SECONDS);
        let seconds = self
            .newest
            .clamp(EARLIEST_MTIME_SECONDS, latest.max(EARLIEST_MTIME_SECONDS));
        let time = UNIX_EPOCH + Duration::from_secs(seconds);
        let mut hash = Sha256::new();
        // From the deepest up, since making a file changes the time of its directory.
        for (path, node) in self.nodes.iter().rev() {
            set_time(&self.root.join(path), node, time)?;
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
        Ok(Unpacked {
            digest: hex(&hash.finalize()),
            size_bytes: self.size_bytes,
        })
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
fn safe_path(path: &Path) -> Result<PathBuf, ArchiveError> {
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

fn shown(path: &Path) -> String {
    path.to_string_lossy()
        .chars()
        .take(200)
        .collect::<String>()
        .escape_debug()
        .to_string()
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use tar::{Builder, Header};

    use super::*;

    /// One entry of a test archive: path, kind, mode, content or link target.
    type Entry<'a> = (&'a str, EntryType, u32, &'a str);

    use EntryType::{Block, Char, Directory, Fifo, Link, Regular, Symlink};

    /// Writes headers by hand: the tar crate refuses to make the archives that matter here.
    fn tar_of(entries: &[Entry<'_>]) -> Vec<u8> {
        let mut tar = Builder::new(Vec::new());
        for (path, kind, mode, content) in entries {
            let mut header = Header::new_ustar();
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_entry_type(*kind);
            header.set_mode(*mode);
            header.set_mtime(1_600_000_000);
            let is_link = matches!(kind, Symlink | Link);
            if is_link {
                header.as_old_mut().linkname[..content.len()].copy_from_slice(content.as_bytes());
            }
            header.set_size(if is_link { 0 } else { content.len() as u64 });
            header.set_cksum();
            tar.append(&header, if is_link { &[][..] } else { content.as_bytes() })
                .unwrap();
        }
        tar.into_inner().unwrap()
    }

    fn unpack_bytes(bytes: &[u8]) -> (tempfile::TempDir, Result<Unpacked, ArchiveError>) {
        let folder = tempfile::tempdir().unwrap();
        let (archive, target) = (folder.path().join("a"), folder.path().join("t"));
        fs::write(&archive, bytes).unwrap();
        fs::create_dir(&target).unwrap();
        let owner = fs::metadata(&target).unwrap().uid();
        let now = Time::from_micros(1_700_000_000_000_000);
        let result = unpack(&archive, &target, Ownership { owner, now });
        (folder, result)
    }

    fn check_refused(entries: &[Entry<'_>], expected: &str) {
        let (folder, result) = unpack_bytes(&tar_of(entries));
        let message = result.unwrap_err().to_string();
        assert!(
            message.contains(expected),
            "{message:?} should contain {expected:?}"
        );
        let beside: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(beside.len(), 2, "nothing was made beside the target");
    }

    #[test]
    fn hostile_archives_are_refused() {
        check_refused(&[("/etc/passwd", Regular, 0o644, "x")], "unsafe path");
        check_refused(&[("../x", Regular, 0o644, "x")], "unsafe path");
        check_refused(&[("a/../../x", Regular, 0o644, "x")], "unsafe path");
        check_refused(
            &[("d", Symlink, 0o777, "/tmp"), ("d/x", Regular, 0o644, "x")],
            "contradicts",
        );
        check_refused(
            &[("d", Symlink, 0o777, ".."), ("d/x", Directory, 0o755, "")],
            "contradicts",
        );
        check_refused(
            &[("d", Symlink, 0o777, ".."), ("d/x", Symlink, 0o777, "y")],
            "contradicts",
        );
        check_refused(
            &[("f", Regular, 0o644, "x"), ("f/g", Regular, 0o644, "x")],
            "contradicts",
        );
        check_refused(
            &[("d", Directory, 0o755, ""), ("d", Symlink, 0o777, "/")],
            "contradicts",
        );
        check_refused(&[("h", Link, 0o644, "/etc/shadow")], "unsafe path");
        check_refused(&[("h", Link, 0o644, "../t2")], "unsafe path");
        check_refused(
            &[
                ("s", Symlink, 0o777, "/etc/shadow"),
                ("h", Link, 0o644, "s"),
            ],
            "does not hold",
        );
        check_refused(&[("c", Char, 0o644, "")], "neither a file");
        check_refused(&[("b", Block, 0o644, "")], "neither a file");
        check_refused(&[("p", Fifo, 0o644, "")], "neither a file");
        check_refused(&[(".", Regular, 0o644, "x")], "contradicts");
    }

    #[test]
    fn a_header_that_claims_much_is_not_believed() {
        for kind in [EntryType::XHeader, EntryType::GNULongName] {
            let mut tar = Builder::new(Vec::new());
            let mut header = Header::new_gnu();
            header.set_entry_type(kind);
            header.set_size(MAX_HEADER_BYTES + 1);
            header.set_cksum();
            let length = usize::try_from(MAX_HEADER_BYTES + 1).unwrap();
            tar.append(&header, vec![b'a'; length].as_slice()).unwrap();
            let (_directory, unpacked) = unpack_bytes(&tar.into_inner().unwrap());
            assert!(
                matches!(unpacked, Err(ArchiveError::LargeHeader)),
                "{unpacked:?}"
            );
        }
    }

    #[test]
    fn a_link_may_be_replaced_but_is_not_written_through() {
        let (folder, result) = unpack_bytes(&tar_of(&[
            ("s", Symlink, 0o777, "../victim"),
            ("s", Regular, 0o644, "mine"),
        ]));
        result.unwrap();
        assert!(!folder.path().join("victim").exists());
        assert_eq!(
            fs::read_to_string(folder.path().join("t/s")).unwrap(),
            "mine"
        );
    }

    #[test]
    fn modes_times_and_links_are_made_plain() {
        let (folder, result) = unpack_bytes(&tar_of(&[
            ("bin/run", Regular, 0o6777, "#!"),
            ("./readme", Regular, 0o600, "hello"),
            ("same", Link, 0o644, "readme"),
            ("abs", Symlink, 0o777, "/app/readme"),
        ]));
        assert_eq!(result.unwrap().size_bytes, 7);
        let at = |path: &str| fs::symlink_metadata(folder.path().join("t").join(path)).unwrap();
        assert_eq!(at("bin/run").permissions().mode() & 0o7777, 0o755);
        assert_eq!(at("readme").permissions().mode() & 0o7777, 0o644);
        assert_eq!(at("bin").mtime(), 1_600_000_000);
        assert_eq!(at("readme").ino(), at("same").ino());
        assert!(at("abs").is_symlink());
    }

    #[test]
    fn the_digest_tells_contents_and_kinds_apart_but_not_times() {
        let digest = |entries: &[Entry<'_>]| unpack_bytes(&tar_of(entries)).1.unwrap().digest;
        let one = digest(&[("a", Regular, 0o644, "x")]);
        assert_eq!(one, digest(&[("./a", Regular, 0o600, "x")]));
        for other in [
            digest(&[("a", Regular, 0o644, "y")]),
            digest(&[("b", Regular, 0o644, "x")]),
            digest(&[("a", Regular, 0o755, "x")]),
            digest(&[("a", Symlink, 0o777, "x")]),
        ] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn compressed_archives_are_known_by_their_first_bytes() {
        let plain = tar_of(&[("a", Regular, 0o644, "x")]);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&plain).unwrap();
        let zstd = zstd::encode_all(&plain[..], 1).unwrap();
        let expected = unpack_bytes(&plain).1.unwrap();
        assert_eq!(unpack_bytes(&gzip.finish().unwrap()).1.unwrap(), expected);
        assert_eq!(unpack_bytes(&zstd).1.unwrap(), expected);
        assert!(matches!(
            unpack_bytes(b"PK\x03\x04").1,
            Err(ArchiveError::UnknownKind)
        ));
        assert!(matches!(
            unpack_bytes(b"").1,
            Err(ArchiveError::UnknownKind)
        ));
    }
}
