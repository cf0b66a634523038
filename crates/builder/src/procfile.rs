//! The Procfile: which process types an app has, and the command of each.
//!
//! It must not know what runs them. Read [`parse`] first.

use std::collections::BTreeMap;

use api::names::ProcessType;
use thiserror::Error;

/// Most process types of one app.
pub const MAX_PROCESS_TYPES: usize = 100;
/// Longest Procfile, in bytes.
pub const MAX_BYTES: usize = 100_000;

/// What is wrong with a Procfile, and on which line.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProcfileError {
    /// No colon, or nothing after it.
    #[error("Procfile line {line} is not `<process type>: <command>`: {text}")]
    Malformed {
        /// Counts from 1.
        line: usize,
        /// The line, shortened.
        text: String,
    },
    /// The part before the colon is no process type.
    #[error(
        "Procfile line {line}: `{name}` is not a valid process type; use letters, digits, dashes and underscores"
    )]
    InvalidType {
        /// Counts from 1.
        line: usize,
        /// What was read.
        name: String,
    },
    /// A process type is there twice.
    #[error("Procfile line {line}: process type `{name}` is declared twice")]
    Duplicate {
        /// Counts from 1.
        line: usize,
        /// The type.
        name: String,
    },
    /// Too long, or too many types.
    #[error("the Procfile is too large (at most {MAX_PROCESS_TYPES} process types)")]
    TooLarge,
}

/// Reads a Procfile: lines of `<process type>: <command>`; empty lines and lines that start with
/// `#` do not count.
///
/// Source: <https://devcenter.heroku.com/articles/procfile>.
pub fn parse(text: &str) -> Result<BTreeMap<ProcessType, String>, ProcfileError> {
    if text.len() > MAX_BYTES {
        return Err(ProcfileError::TooLarge);
    }
    let mut types = BTreeMap::new();
    for (index, raw) in text.lines().enumerate() {
        let line = index + 1;
        let content = raw.trim();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        let malformed = || ProcfileError::Malformed {
            line,
            text: shortened(content),
        };
        let (name, command) = content.split_once(':').ok_or_else(malformed)?;
        let (name, command) = (name.trim_end(), command.trim());
        let process_type: ProcessType = name.parse().map_err(|_| ProcfileError::InvalidType {
            line,
            name: shortened(name),
        })?;
        if command.is_empty() || command.contains('\0') {
            return Err(malformed());
        }
        if types.insert(process_type, command.to_owned()).is_some() {
            return Err(ProcfileError::Duplicate {
                line,
                name: name.to_owned(),
            });
        }
        if types.len() > MAX_PROCESS_TYPES {
            return Err(ProcfileError::TooLarge);
        }
    }
    Ok(types)
}

fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, &str)]) {
        let parsed = parse(text).unwrap();
        let pairs: Vec<_> = parsed
            .iter()
            .map(|(name, command)| (name.as_str(), &**command))
            .collect();
        assert_eq!(pairs, expected, "{text:?}");
    }

    fn check_refused(text: &str, expected: &str) {
        assert_eq!(parse(text).unwrap_err().to_string(), expected);
    }

    #[test]
    fn what_herokus_procfiles_look_like() {
        check(
            "web: gunicorn app:app --bind :$PORT",
            &[("web", "gunicorn app:app --bind :$PORT")],
        );
        check(
            "web:node index.js\r\nworker:  node w.js  \r\n",
            &[("web", "node index.js"), ("worker", "node w.js")],
        );
        check("# comment\n\n  web: a\n", &[("web", "a")]);
        check("my_worker-2: x", &[("my_worker-2", "x")]);
        check(
            "release: ./manage.py migrate",
            &[("release", "./manage.py migrate")],
        );
        check("", &[]);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        check_refused(
            "web: a\nworker",
            "Procfile line 2 is not `<process type>: <command>`: worker",
        );
        check_refused(
            "web:",
            "Procfile line 1 is not `<process type>: <command>`: web:",
        );
        check_refused(
            "web: a\n\nback ground: b",
            "Procfile line 3: `back ground` is not a valid process type; use letters, digits, dashes and underscores",
        );
        check_refused(
            ": x",
            "Procfile line 1: `` is not a valid process type; use letters, digits, dashes and underscores",
        );
        check_refused(
            "web: a\nweb: b",
            "Procfile line 2: process type `web` is declared twice",
        );
        check_refused(
            &"x".repeat(MAX_BYTES + 1),
            "the Procfile is too large (at most 100 process types)",
        );
    }
}
