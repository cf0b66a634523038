//! What of an unpacked source is built: the root directory, without what `.slugignore` and
//! `project.toml` leave out; and whether what is watched has changed.
//!
//! All of it works on the memory of what was unpacked, so that no link is followed. It must not know
//! buildpacks. Read [`unpack`] first.

pub(crate) mod app_json;
pub(crate) mod config;
pub(crate) mod manifest;
mod patterns;

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
};

use api::build_settings::BuildSettings;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use self::{
    manifest::{Manifest, ManifestError, Selection},
    patterns::{Patterns, PatternsError},
};
use crate::archive::{self, ArchiveError, Ownership, Tree, Unpacked, hex};

/// What Heroku leaves out of slugs, in the form of a `.gitignore`.
const SLUG_IGNORE: &str = ".slugignore";
/// Longest of the files that say what is built, in bytes.
const MAX_FILE_BYTES: u64 = 256 * 1024;
/// So many links that lead out of the root directory are named.
const NAMED_LINKS: usize = 5;

/// Why a source cannot be brought into shape.
#[derive(Debug, Error)]
pub enum ShapeError {
    /// It was refused before that.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// There is no such directory in it; a link is none.
    #[error("The source has no directory {root}, which is set as the app's root directory")]
    NoRoot {
        /// As it was set.
        root: String,
    },
    /// A file that says what is built is longer than any honest one.
    #[error("{file} is longer than {MAX_FILE_BYTES} bytes")]
    TooLong {
        /// Which.
        file: &'static str,
    },
    /// Patterns that cannot be read, or too many.
    #[error("{file}: {source}")]
    Patterns {
        /// Where they are.
        file: &'static str,
        /// What is wrong.
        source: PatternsError,
    },
    /// `project.toml`.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

/// A source in the shape it is built in.
#[derive(Debug)]
pub(crate) struct Shaped {
    pub(crate) unpacked: Unpacked,
    /// Of the files that are watched, if any are.
    pub(crate) watch_digest: Option<String>,
    /// What to say of it.
    pub(crate) notes: Vec<Note>,
}

/// Something to say of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    Heading(String),
    Warning(String),
}

/// What a source's shape depends on beside itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wishes<'a> {
    pub(crate) settings: &'a BuildSettings,
    /// What else a build depends on and a push may have changed: stack, buildpacks.
    pub(crate) build: &'a str,
}

/// Whether these can be an app's watch paths.
///
/// # Errors
/// With the pattern that is none.
pub fn check_watch_paths(paths: &[String]) -> Result<(), PatternsError> {
    Patterns::new(paths.iter().map(String::as_str)).map(drop)
}

/// Unpacks an archive into the empty directory `target`, and leaves there what is built.
pub(crate) fn unpack(
    archive: &Path,
    target: &Path,
    ownership: Ownership,
    wishes: Wishes<'_>,
) -> Result<Shaped, ShapeError> {
    let mut tree = archive::read(archive, target, ownership.owner)?;
    let watch_digest = watch_digest(&tree, wishes)?;
    let mut notes = Vec::new();
    if let Some(root) = &wishes.settings.root_directory {
        if !tree.raise(Path::new(root.as_str()))? {
            let root = root.to_string();
            return Err(ShapeError::NoRoot { root });
        }
        notes.push(Note::Heading(format!("Building the directory {root}")));
        notes.extend(links_out(&tree));
    }
    notes.extend(slug_ignore(&mut tree)?);
    notes.extend(project_files(&mut tree)?);
    let unpacked = tree.finish(ownership.now)?;
    Ok(Shaped {
        unpacked,
        watch_digest,
        notes,
    })
}

impl From<io::Error> for ShapeError {
    fn from(error: io::Error) -> Self {
        Self::Archive(ArchiveError::Io(error))
    }
}

/// Of the files that are watched, and of what else would make another slug of them.
fn watch_digest(tree: &Tree, wishes: Wishes<'_>) -> Result<Option<String>, ShapeError> {
    let BuildSettings {
        config_vars,
        root_directory,
        watch_paths,
    } = wishes.settings;
    if watch_paths.is_empty() {
        return Ok(None);
    }
    let patterns = Patterns::new(watch_paths.iter().map(String::as_str));
    let patterns = patterns.map_err(|source| ShapeError::Patterns {
        file: "watch paths",
        source,
    })?;
    let files = tree.digest_of(|path, is_folder| !is_folder && patterns.include(path));
    let whole = serde_json::to_vec(&(
        files,
        config_vars,
        root_directory,
        watch_paths,
        wishes.build,
    ));
    Ok(Some(hex(&Sha256::digest(whole.unwrap_or_default()))))
}

/// What links that lead out of the root directory will be: broken.
fn links_out(tree: &Tree) -> Vec<Note> {
    let links: Vec<String> = tree
        .links_out()
        .take(NAMED_LINKS)
        .map(|path| path.display().to_string())
        .collect();
    if links.is_empty() {
        return Vec::new();
    }
    let text = format!(
        "These links lead out of the root directory and are broken: {}",
        links.join(", ")
    );
    vec![Note::Warning(text)]
}

/// Takes away what `.slugignore` names: patterns as in a `.gitignore`, but without `!`.
///
/// Source: <https://devcenter.heroku.com/articles/slug-compiler>.
fn slug_ignore(tree: &mut Tree) -> Result<Vec<Note>, ShapeError> {
    let Some(text) = text(tree, SLUG_IGNORE)? else {
        return Ok(Vec::new());
    };
    // As comments, they leave the other lines their numbers.
    let lines = text
        .lines()
        .map(|line| if line.starts_with('!') { "#" } else { line });
    let (patterns, malformed) = Patterns::read(lines).map_err(|source| ShapeError::Patterns {
        file: SLUG_IGNORE,
        source,
    })?;
    let gone = left_out(tree, &patterns);
    let heading = format!(
        "Deleting {} files matching .slugignore patterns.",
        gone.len()
    );
    tree.remove(&gone)?;
    let malformed = malformed
        .iter()
        .map(|error| Note::Warning(format!("{SLUG_IGNORE}: {error}")));
    Ok(std::iter::once(Note::Heading(heading))
        .chain(malformed)
        .collect())
}

/// Leaves what `project.toml` says, and the file itself.
fn project_files(tree: &mut Tree) -> Result<Vec<Note>, ShapeError> {
    let Some(text) = text(tree, manifest::FILE)? else {
        return Ok(Vec::new());
    };
    let manifest = Manifest::parse(&text)?;
    let patterns = |lines: &[String]| {
        let patterns = Patterns::new(lines.iter().map(String::as_str));
        patterns.map_err(|source| ShapeError::Patterns {
            file: manifest::FILE,
            source,
        })
    };
    let mut gone = match &manifest.selection {
        Selection::All => return Ok(Vec::new()),
        Selection::Without(lines) => left_out(tree, &patterns(lines)?),
        Selection::Only(lines) => not_included(tree, &patterns(lines)?),
    };
    gone.remove(Path::new(manifest::FILE));
    let heading = format!("Leaving out {} files by project.toml", gone.len());
    tree.remove(&gone)?;
    Ok(vec![Note::Heading(heading)])
}

/// The topmost paths that patterns leave out.
fn left_out(tree: &Tree, patterns: &Patterns) -> BTreeSet<PathBuf> {
    let mut gone: BTreeSet<PathBuf> = BTreeSet::new();
    let mut last: Option<&Path> = None;
    for (path, is_folder) in tree.paths() {
        // What is in a directory follows it.
        if last.is_some_and(|last| path.starts_with(last)) || path.as_os_str().is_empty() {
            continue;
        }
        if patterns.exclude(path, is_folder) {
            gone.insert(path.to_owned());
            last = Some(path);
        }
    }
    gone
}

/// The topmost paths below which there is nothing that patterns include.
fn not_included(tree: &Tree, patterns: &Patterns) -> BTreeSet<PathBuf> {
    let mut kept: BTreeSet<&Path> = BTreeSet::new();
    for (path, is_folder) in tree.paths() {
        if !is_folder && (patterns.include(path) || path == Path::new(manifest::FILE)) {
            kept.extend(path.ancestors());
        }
    }
    let all = tree.paths().map(|(path, _)| path);
    let gone = all.filter(|path| {
        let is_below_kept = path.parent().is_some_and(|parent| kept.contains(parent));
        !kept.contains(path) && is_below_kept
    });
    gone.map(Path::to_owned).collect()
}

fn text(tree: &Tree, file: &'static str) -> Result<Option<String>, ShapeError> {
    match tree.text(Path::new(file), MAX_FILE_BYTES) {
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            Err(ShapeError::TooLong { file })
        }
        read => Ok(read?),
    }
}

#[cfg(test)]
mod tests;
