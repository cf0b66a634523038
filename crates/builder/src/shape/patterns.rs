//! Patterns as in a `.gitignore`, matched against paths that are not looked up anywhere.

use std::path::Path;

use ignore::gitignore::{Gitignore, GitignoreBuilder};
use thiserror::Error;

/// Most patterns of one kind.
const MAX_PATTERNS: usize = 1000;

/// Patterns of one file.
#[derive(Debug)]
pub(super) struct Patterns(Gitignore);

/// Why they cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PatternsError {
    /// One is no pattern.
    #[error("line {line} is no pattern: {text}")]
    Malformed {
        /// Counts from 1.
        line: usize,
        /// The line, shortened.
        text: String,
    },
    /// There are more than [`MAX_PATTERNS`].
    #[error("more than {MAX_PATTERNS} patterns")]
    TooMany,
}

impl Patterns {
    /// Of lines; empty ones and comments are none.
    ///
    /// # Errors
    /// Also for the first line that is no pattern.
    pub(super) fn new<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Self, PatternsError> {
        let (patterns, malformed) = Self::read(lines)?;
        malformed.into_iter().next().map_or(Ok(patterns), Err)
    }

    /// The same, and the lines that are no patterns, which count for nothing, as in git.
    pub(super) fn read<'a>(
        lines: impl Iterator<Item = &'a str>,
    ) -> Result<(Self, Vec<PatternsError>), PatternsError> {
        let mut builder = GitignoreBuilder::new("");
        let (mut count, mut malformed) = (0, Vec::new());
        for (index, line) in lines.enumerate() {
            let text = line.trim_end_matches('\r');
            count += usize::from(!text.trim().is_empty() && !text.starts_with('#'));
            if count > MAX_PATTERNS {
                return Err(PatternsError::TooMany);
            }
            if builder.add_line(None, text).is_err() {
                malformed.push(PatternsError::Malformed {
                    line: index + 1,
                    text: text.chars().take(80).collect(),
                });
            }
        }
        let built = builder.build().map_err(|_| PatternsError::TooMany)?;
        Ok((Self(built), malformed))
    }

    /// Whether a path is left out, by a pattern of its own; who asks starts at the top and does not
    /// ask for what is below one that is.
    pub(super) fn exclude(&self, path: &Path, is_folder: bool) -> bool {
        self.0.matched(path, is_folder).is_ignore()
    }

    /// Whether a file is meant, itself or by a directory above it.
    pub(super) fn include(&self, file: &Path) -> bool {
        self.0.matched_path_or_any_parents(file, false).is_ignore()
    }
}
