//! Unpacks a source archive that nobody has looked at yet.
//!
//! It trusts nothing in it: only files, directories and links below the target are made, by a tree
//! of its own memory, so that no link in the archive is ever followed. It must not know what the
//! files mean. Read [`unpack`] first.

mod tree;

use std::{
    fs,
    io::{self, BufReader, Read},
    path::Path,
};

use api::clock::Time;
use tar::EntryType;
use thiserror::Error;

pub(crate) use self::tree::{Tree, safe_path, shown};

/// Most entries in one archive.
pub const MAX_ENTRIES: usize = 200_000;
/// Most bytes that the files of one archive may come to.
pub const MAX_TOTAL_BYTES: u64 = 2 * 1024 * 1024 * 1024;
/// Largest extension header: the longest path or link many times over.
const MAX_HEADER_BYTES: u64 = 64 * 1024;
/// Longest path below the app's root, in bytes.
pub const MAX_PATH_BYTES: usize = 1024;
/// Deepest path below the app's root, in parts.
pub const MAX_DEPTH: usize = 64;

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
    read(archive, target, ownership.owner)?.finish(ownership.now)
}

/// Unpacks as [`unpack`] does, up to where the tree may still be changed.
pub(crate) fn read(archive: &Path, target: &Path, owner: u32) -> Result<Tree, ArchiveError> {
    refuse_large_headers(open(archive)?, MAX_TOTAL_BYTES)?;
    let reader = open(archive)?;
    let mut tree = Tree::new(target.to_owned(), owner);
    let mut tar = tar::Archive::new(reader.take(whole_bytes(MAX_TOTAL_BYTES)));
    for entry in tar.entries()? {
        tree.add(&mut entry?)?;
    }
    Ok(tree)
}

/// Most bytes of an archive without its compression whose files may come to `limit`. Headers and
/// padding count too: a bomb may consist of them alone.
pub(crate) const fn whole_bytes(limit: u64) -> u64 {
    limit + MAX_ENTRIES as u64 * 2048
}

/// Reads the archive once without heeding its extension headers, which the library otherwise holds
/// in memory whole, whatever size they claim. Other entries may not claim more than `limit` either.
pub(crate) fn refuse_large_headers(reader: Box<dyn Read>, limit: u64) -> Result<(), ArchiveError> {
    let mut tar = tar::Archive::new(reader.take(whole_bytes(limit)));
    for entry in tar.entries()?.raw(true) {
        let entry = entry?;
        // Said before anything is written, and before the rest is read to skip it.
        if entry.header().entry_size()? > limit {
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
pub(crate) fn open(path: &Path) -> Result<Box<dyn Read>, ArchiveError> {
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

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

#[cfg(test)]
pub(crate) mod tests;
