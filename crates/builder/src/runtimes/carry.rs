//! Runtimes carried from one machine to another, as for one without a way out: a directory of
//! archives and the index of their checksums, in the form of `sha256sum`.
//!
//! Nothing in such a directory is believed: an archive is what its name and its line say, or is not
//! taken. Read [`write()`] and [`fetch`].

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use super::{AddError, BESIDE, copy, directory, list, runtime_of};

/// The index: a line per archive, its SHA-256 and its name.
pub const INDEX: &str = "SHA256SUMS";
/// Longest index that is read, in bytes.
const MAX_INDEX_BYTES: u64 = 1024 * 1024;

/// Writes the mirror directory of `cache` into `target`, with its index; the names of the archives.
///
/// # Errors
/// Also for an archive that is not what it is pinned to. What was written before stays.
pub fn write(cache: &Path, target: &Path) -> Result<Vec<String>, AddError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| AddError::Io { path, source }
    };
    let folder = directory(cache);
    fs::create_dir_all(target).map_err(io(target))?;
    let mut sums = BTreeMap::new();
    for (name, pinned) in list(cache).map_err(io(&folder))? {
        let from = folder.join(&name);
        let actual = placed(&from, &target.join(&name), pinned.as_deref())?;
        sums.insert(name, actual);
    }
    let lines: Vec<String> = sums
        .iter()
        .map(|(name, sum)| format!("{sum}  {name}\n"))
        .collect();
    let path = target.join(INDEX);
    fs::write(&path, lines.concat()).map_err(io(&path))?;
    Ok(sums.into_keys().collect())
}

/// Takes archives of such a directory into the mirror directory of `cache`: those of a language, or
/// all; the names of those that were not there.
///
/// # Errors
/// For an index that is none, and for an archive that is not what it says. What was taken before
/// stays.
pub fn fetch(cache: &Path, source: &Path, language: Option<&str>) -> Result<Vec<String>, AddError> {
    let sums = index(source)?;
    let folder = directory(cache);
    let io = |source| AddError::Io {
        path: folder.clone(),
        source,
    };
    fs::create_dir_all(&folder).map_err(io)?;
    let mut fetched = Vec::new();
    for (name, sum) in sums {
        let of = runtime_of(&name).ok_or_else(|| AddError::Index {
            path: source.join(INDEX),
            line: name.clone(),
        })?;
        if language.is_some_and(|wanted| wanted != of) || folder.join(&name).exists() {
            continue;
        }
        placed(&source.join(&name), &folder.join(&name), Some(&sum))?;
        let beside = folder.join(format!("{name}{BESIDE}"));
        fs::write(&beside, format!("{sum}  {name}\n")).map_err(io)?;
        fetched.push(name);
    }
    Ok(fetched)
}

/// Name → checksum.
fn index(source: &Path) -> Result<BTreeMap<String, String>, AddError> {
    let path = source.join(INDEX);
    let io = |source| AddError::Io {
        path: path.clone(),
        source,
    };
    if fs::metadata(&path).map_err(io)?.len() > MAX_INDEX_BYTES {
        return Err(io(std::io::ErrorKind::FileTooLarge.into()));
    }
    let text = fs::read_to_string(&path).map_err(io)?;
    let mut sums = BTreeMap::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let malformed = || AddError::Index {
            path: path.clone(),
            line: line.chars().take(120).collect(),
        };
        let (sum, name) = line.split_once("  ").ok_or_else(malformed)?;
        let is_sum = sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_sum || runtime_of(name).is_none() {
            return Err(malformed());
        }
        sums.insert(name.to_owned(), sum.to_ascii_lowercase());
    }
    Ok(sums)
}

/// Copies an archive, which appears under its name only whole and with the right checksum.
fn placed(from: &Path, to: &Path, pinned: Option<&str>) -> Result<String, AddError> {
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    let partial: PathBuf = to.with_file_name(format!(".{name}.{}", std::process::id()));
    let io = |source| AddError::Io {
        path: from.to_owned(),
        source,
    };
    let result = copy(from, &partial).map_err(io).and_then(|actual| {
        if pinned.is_some_and(|pinned| !pinned.eq_ignore_ascii_case(&actual)) {
            let path = from.to_owned();
            return Err(AddError::Checksum { path, actual });
        }
        fs::rename(&partial, to).map_err(io)?;
        Ok(actual)
    });
    if result.is_err()
        && let Err(error) = fs::remove_file(&partial)
    {
        tracing::debug!(path = %partial.display(), %error, "no partial copy to remove");
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtimes::{Runtime, add};

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn mirror() -> (tempfile::TempDir, Vec<String>) {
        let cache = tempfile::tempdir().unwrap();
        let archive = cache.path().join("x.tar.gz");
        fs::write(&archive, "abc").unwrap();
        let names = ["java", "python"].map(|language| {
            let runtime = Runtime {
                language: language.to_owned(),
                version: "3.1".to_owned(),
                stack: "landfall-13".parse().unwrap(),
            };
            let added = add(cache.path(), &runtime, &archive, ABC).unwrap();
            added.file_name().unwrap().to_string_lossy().into_owned()
        });
        (cache, names.to_vec())
    }

    #[test]
    fn what_one_machine_writes_another_takes_once() {
        let (cache, names) = mirror();
        let (carried, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        assert_eq!(write(cache.path(), carried.path()).unwrap(), names);
        let index = fs::read_to_string(carried.path().join(INDEX)).unwrap();
        assert_eq!(index, format!("{ABC}  {}\n{ABC}  {}\n", names[0], names[1]));
        let take = |language| fetch(other.path(), carried.path(), language).unwrap();
        assert_eq!(take(Some("python")), [names[1].clone()]);
        assert_eq!(take(None), [names[0].clone()]);
        assert!(take(None).is_empty());
        assert_eq!(list(other.path()).unwrap(), list(cache.path()).unwrap());
    }

    #[test]
    fn what_is_not_what_it_says_is_not_taken() {
        let (cache, names) = mirror();
        let (carried, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write(cache.path(), carried.path()).unwrap();
        fs::write(carried.path().join(&names[0]), "abd").unwrap();
        let error = fetch(other.path(), carried.path(), None).unwrap_err();
        assert!(matches!(error, AddError::Checksum { .. }), "{error}");
        assert_eq!(list(other.path()).unwrap(), []);
        assert_eq!(fs::read_dir(directory(other.path())).unwrap().count(), 0);
        for line in [
            format!("{ABC}  ../{}", names[0]),
            format!("{ABC}  java-1/../x-landfall-13-x86_64.tar.gz"),
            format!("{ABC}  cobol-1-landfall-13-x86_64.tar.gz"),
            format!("00  {}", names[0]),
            "nothing".to_owned(),
        ] {
            fs::write(carried.path().join(INDEX), &line).unwrap();
            let error = fetch(other.path(), carried.path(), None).unwrap_err();
            assert!(matches!(error, AddError::Index { .. }), "{line}: {error}");
        }
        fs::write(cache.path().join("runtimes").join(&names[0]), "abd").unwrap();
        let error = write(cache.path(), carried.path()).unwrap_err();
        assert!(matches!(error, AddError::Checksum { .. }), "{error}");
    }
}
