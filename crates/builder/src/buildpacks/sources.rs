//! Where runtimes come from besides their languages' own registries: the machine's mirror
//! directory, and packages of Debian's suites.
//!
//! It must not know a language: those read the versions and choose. Read [`mirrored`] and
//! [`packages_of`] first.

use std::path::{Path, PathBuf};

use semver::Version;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    archive::hex,
    buildpacks::{Context, base_env, script},
    error::BuildError,
    execute::{CATALOGUE_FILE, CATALOGUE_TTL, Execution, Question},
    plan::Step,
};

/// Finds packages of a suite of the stack's archive; put before scripts that do.
pub(super) const APT: &str = include_str!("scripts/apt.py");
const VERSIONS: &str = include_str!("scripts/debian_versions.py");
const UNPACK: &str = include_str!("scripts/mirror.sh");

/// An archive in the mirror directory: `java-21.0.5-landfall-13-x86_64.tar.gz`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mirrored {
    /// `21.0.5`
    pub(super) version: String,
    pub(super) path: PathBuf,
}

/// A package of a suite, as [`packages_of`] lists them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Package {
    /// `openjdk-21-jdk-headless`
    pub(super) name: String,
    /// `21.0.5+11-1`
    pub(super) version: String,
    /// `trixie`
    pub(super) suite: String,
}

/// Which packages are looked for, and where.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    /// `java`; names the list for people and on disk.
    pub(super) language: &'a str,
    /// Of the names, a regular expression.
    pub(super) pattern: &'a str,
    /// `stack` is the stack's own.
    pub(super) suites: &'a [&'a str],
}

/// The language's archives in the mirror directory, by name.
pub(super) fn mirrored(runtimes: &Path, language: &str, stack: &str) -> Vec<Mirrored> {
    let suffix = format!("-{stack}-{}", std::env::consts::ARCH);
    let Ok(entries) = std::fs::read_dir(runtimes) else {
        return Vec::new();
    };
    let mut found: Vec<Mirrored> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let name = path.file_name()?.to_str()?;
            let (version, ending) = name
                .strip_prefix(language)?
                .strip_prefix('-')?
                .split_once(&suffix)?;
            let version = version.to_owned();
            crate::runtimes::ENDINGS
                .contains(&ending)
                .then_some(Mirrored { version, path })
        })
        .collect();
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

/// The same with versions of three numbers, for languages that have no others.
pub(super) fn mirrored_versions(
    runtimes: &Path,
    language: &str,
    stack: &str,
) -> Vec<(Version, PathBuf)> {
    let archives = mirrored(runtimes, language, stack).into_iter();
    archives
        .filter_map(|archive| Some((Version::parse(&archive.version).ok()?, archive.path)))
        .collect()
}

/// A step that unpacks an archive of the mirror directory at `prefix`, where `program` must be.
///
/// # Errors
/// When the archive cannot be read, or is not what the file with its checksum says.
pub(super) fn mirror_step(
    name: &str,
    (prefix, program): (&str, &str),
    archive: &Path,
) -> Result<Step, BuildError> {
    let digest = pinned_digest(archive)?;
    let mut step = Step::run(name, script("bash", UNPACK, &[prefix, &digest, program]));
    step.mirror = Some(archive.to_owned());
    Ok(step)
}

/// The archive's SHA-256; it must be the one in `ARCHIVE.sha256`, where there is such a file.
pub(super) fn pinned_digest(archive: &Path) -> Result<String, BuildError> {
    let read = || -> std::io::Result<String> {
        let mut hash = Sha256::new();
        std::io::copy(&mut std::fs::File::open(archive)?, &mut hash)?;
        let digest = hex(&hash.finalize());
        let mut beside = archive.as_os_str().to_owned();
        beside.push(".sha256");
        let pinned = std::fs::read_to_string(&beside).unwrap_or_default();
        match pinned.split_whitespace().next() {
            Some(pinned) if !pinned.eq_ignore_ascii_case(&digest) => Err(std::io::Error::other(
                format!("{} has another checksum: {digest}", archive.display()),
            )),
            _ => Ok(digest),
        }
    };
    read().map_err(BuildError::host("read a runtime of the mirror directory"))
}

/// Lists the packages that suites have, in the order of the suites.
pub(super) async fn packages_of(
    context: &Context<'_>,
    execution: &mut Execution,
    wanted: Wanted<'_>,
) -> Result<Vec<Package>, BuildError> {
    let stack = &context.request.stack;
    let name = format!("{}-{stack}-{}", wanted.language, wanted.suites.join("-"));
    let question = Question {
        name: &name,
        now: context.now,
        ttl: CATALOGUE_TTL,
    };
    execution
        .catalogue(question, &packages_step(context, wanted))
        .await
}

fn packages_step(context: &Context<'_>, wanted: Wanted<'_>) -> Step {
    let output = format!("/app/{CATALOGUE_FILE}");
    let mut arguments = vec![output.as_str(), wanted.pattern];
    arguments.extend(wanted.suites);
    let program = format!("{APT}\n{VERSIONS}");
    let name = format!("{}-versions", wanted.language.to_lowercase());
    let mut step = Step::run(&name, script("python3", &program, &arguments));
    step.heading = vec![format!(
        "Looking up available versions: {}, in Debian's packages ({})",
        wanted.language,
        wanted.suites.join(", ")
    )];
    step.env = base_env(context.request.stack.as_str());
    step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_of_the_language_and_this_machine_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let arch = std::env::consts::ARCH;
        for name in [
            format!("java-21.0.5-landfall-13-{arch}.tar.gz"),
            format!("java-21.0.5-landfall-13-{arch}.tar.gz.sha256"),
            format!("java-17-landfall-13-{arch}.tar.zst"),
            format!("java-8-landfall-12-{arch}.tar.gz"),
            format!("java-11-landfall-13-{arch}.zip"),
            "java-8-landfall-13-sparc.tar.gz".to_owned(),
            format!("javascript-8-landfall-13-{arch}.tar.gz"),
            "catalogue-java.json".to_owned(),
        ] {
            std::fs::write(folder.path().join(name), "x").unwrap();
        }
        let found = mirrored(folder.path(), "java", "landfall-13");
        let versions: Vec<_> = found.iter().map(|found| found.version.as_str()).collect();
        assert_eq!(versions, ["11", "17", "21.0.5"]);
    }

    #[test]
    fn a_written_checksum_must_be_met() {
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("a.tar.gz");
        std::fs::write(&archive, "abc").unwrap();
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(pinned_digest(&archive).unwrap(), digest);
        let beside = folder.path().join("a.tar.gz.sha256");
        std::fs::write(&beside, format!("{digest}  a.tar.gz\n")).unwrap();
        assert_eq!(pinned_digest(&archive).unwrap(), digest);
        std::fs::write(&beside, "00").unwrap();
        assert!(pinned_digest(&archive).is_err());
    }
}
