//! The machine's mirror directory of language runtimes: what is in it, and how something gets in.
//!
//! An archive's name says what it is (`java-21.0.5-landfall-13-x86_64.tar.gz`), the file beside it
//! (`….sha256`) what it must be; builds refuse one that is something else. Read [`add`] first.

pub mod carry;
mod reachable;

use std::{
    fs,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use api::names::StackName;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

pub use self::reachable::{Reachable, reachable};
use crate::archive::hex;

/// Languages whose builds look into the mirror directory.
pub const LANGUAGES: [&str; 9] = [
    "bun", "deno", "dotnet", "elixir", "gradle", "java", "python", "ruby", "rust",
];
/// Ends of names, which say how an archive is packed.
pub(crate) const ENDINGS: [&str; 4] = [".tar.gz", ".tar.xz", ".tar.zst", ".zip"];
const BESIDE: &str = ".sha256";

/// What an archive holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runtime {
    /// One of [`LANGUAGES`].
    pub language: String,
    /// `21.0.5`
    pub version: String,
    /// The stack that it runs on.
    pub stack: StackName,
}

/// Why an archive was not added.
#[derive(Debug, Error)]
pub enum AddError {
    /// Builds would not look for it.
    #[error("no build looks for {0}")]
    UnknownLanguage(String),
    /// It would not be found by its name.
    #[error("`{0}` is no version")]
    InvalidVersion(String),
    /// Not packed in a way that builds unpack.
    #[error("{} is no archive of a known kind", .0.display())]
    UnknownKind(PathBuf),
    /// Something else than it should be.
    #[error("the checksum of {} is {actual}", .path.display())]
    Checksum {
        /// What was read.
        path: PathBuf,
        /// Its SHA-256.
        actual: String,
    },
    /// Not a line of an index of archives.
    #[error("{} is no index of runtimes: {line}", .path.display())]
    Index {
        /// The index.
        path: PathBuf,
        /// What was read, shortened.
        line: String,
    },
    /// The file or the directory.
    #[error("cannot copy {}", .path.display())]
    Io {
        /// What was read.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// Names of the archives in `cache`, each with the SHA-256 that it is pinned to, if it is.
pub fn list(cache: &Path) -> io::Result<Vec<(String, Option<String>)>> {
    let folder = directory(cache);
    let mut found = Vec::new();
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        entries => entries?,
    };
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if runtime_of(&name).is_none() {
            continue;
        }
        let pinned = fs::read_to_string(folder.join(format!("{name}{BESIDE}"))).ok();
        let pinned = pinned.and_then(|text| text.split_whitespace().next().map(str::to_owned));
        found.push((name, pinned));
    }
    found.sort();
    Ok(found)
}

/// Copies an archive into the mirror directory of `cache`, if its SHA-256 is the one given.
///
/// # Errors
/// Then nothing was added.
pub fn add(
    cache: &Path,
    runtime: &Runtime,
    archive: &Path,
    sha256: &str,
) -> Result<PathBuf, AddError> {
    let name = name_of(runtime, archive)?;
    let folder = directory(cache);
    let target = folder.join(&name);
    let partial = folder.join(format!(".{name}.{}", std::process::id()));
    let copied = fs::create_dir_all(&folder).and_then(|()| copy(archive, &partial));
    let result = copied
        .map_err(|source| AddError::Io {
            path: archive.to_owned(),
            source,
        })
        .and_then(|actual| {
            if !actual.eq_ignore_ascii_case(sha256.trim()) {
                let path = archive.to_owned();
                return Err(AddError::Checksum { path, actual });
            }
            let beside = folder.join(format!("{name}{BESIDE}"));
            fs::write(beside, format!("{actual}  {name}\n"))
                .and_then(|()| fs::rename(&partial, &target))
                .map_err(|source| AddError::Io {
                    path: archive.to_owned(),
                    source,
                })
        });
    if result.is_err()
        && let Err(error) = fs::remove_file(&partial)
    {
        tracing::debug!(path = %partial.display(), %error, "no partial copy to remove");
    }
    result.map(|()| target)
}

fn directory(cache: &Path) -> PathBuf {
    cache.join("runtimes")
}

fn name_of(runtime: &Runtime, archive: &Path) -> Result<String, AddError> {
    let Runtime {
        language,
        version,
        stack,
    } = runtime;
    if !LANGUAGES.contains(&language.as_str()) {
        return Err(AddError::UnknownLanguage(language.clone()));
    }
    let is_version = version.starts_with(|c: char| c.is_ascii_digit())
        && version
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || ".+_".contains(c));
    if !is_version {
        return Err(AddError::InvalidVersion(version.clone()));
    }
    let known = archive.to_string_lossy();
    let ending = ENDINGS.iter().find(|ending| known.ends_with(*ending));
    let ending = ending.ok_or_else(|| AddError::UnknownKind(archive.to_owned()))?;
    let arch = std::env::consts::ARCH;
    Ok(format!("{language}-{version}-{stack}-{arch}{ending}"))
}

/// The language of an archive by its name; none for what is no archive that builds would look for.
fn runtime_of(name: &str) -> Option<&'static str> {
    let is_plain = name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "._+-".contains(c));
    let is_archive = ENDINGS.iter().any(|ending| name.ends_with(ending));
    let (language, _) = name.split_once('-')?;
    let known = LANGUAGES.iter().find(|known| **known == language);
    known.copied().filter(|_| is_plain && is_archive)
}

/// Copies a file and gives its SHA-256.
fn copy(from: &Path, to: &Path) -> io::Result<String> {
    let mut source = fs::File::open(from)?;
    let mut target = fs::File::create(to)?;
    let mut hash = Sha256::new();
    let mut piece = vec![0; 1 << 16];
    loop {
        let length = source.read(&mut piece)?;
        let Some(read) = piece.get(..length).filter(|read| !read.is_empty()) else {
            break;
        };
        hash.update(read);
        target.write_all(read)?;
    }
    target.sync_all()?;
    Ok(hex(&hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn runtime(language: &str, version: &str) -> Runtime {
        Runtime {
            language: language.to_owned(),
            version: version.to_owned(),
            stack: "landfall-13".parse().unwrap(),
        }
    }

    #[test]
    fn only_what_has_its_checksum_gets_in() {
        let cache = tempfile::tempdir().unwrap();
        let archive = cache.path().join("jdk.tar.gz");
        fs::write(&archive, "abc").unwrap();
        let add = |language: &str, version: &str, sha256: &str| {
            add(cache.path(), &runtime(language, version), &archive, sha256)
        };
        assert!(matches!(
            add("java", "21.0.5", "00"),
            Err(AddError::Checksum { .. })
        ));
        assert!(matches!(
            add("cobol", "1", ABC),
            Err(AddError::UnknownLanguage(_))
        ));
        assert!(matches!(
            add("java", "../21", ABC),
            Err(AddError::InvalidVersion(_))
        ));
        assert_eq!(list(cache.path()).unwrap(), []);
        let added = add("java", "21.0.5", &ABC.to_uppercase()).unwrap();
        assert_eq!(fs::read(&added).unwrap(), b"abc");
        let name = added.file_name().unwrap().to_string_lossy().into_owned();
        assert_eq!(list(cache.path()).unwrap(), [(name, Some(ABC.to_owned()))]);
        let left = fs::read_dir(cache.path().join("runtimes")).unwrap();
        assert_eq!(left.count(), 2);
    }
}
