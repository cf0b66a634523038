//! Build settings: what of an app's source is built, when, and with which config vars.
//! `/apps/{app}/build-settings`, an addition to Heroku's API.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::names::ConfigVarName;

/// Longest root directory, in bytes.
const MAX_ROOT_BYTES: usize = 1024;

/// What is set for an app; what is left out is as if it were never set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuildSettings {
    /// Which config vars its builds see; all of them, if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_vars: Option<BuildConfigVars>,
    /// The directory that is built, if it is not the whole source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_directory: Option<RootDirectory>,
    /// Patterns as in a `.gitignore`: a source in which no such file changed is not built. Empty:
    /// every source is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub watch_paths: Vec<String>,
}

/// Which config vars a build sees. As JSON: `"all"`, or a list of names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum BuildConfigVars {
    /// As on Heroku: buildpacks and the app's own commands see all of them.
    All(All),
    /// Settings of languages' own tools (`NODE_ENV`, `PIP_…`), and these.
    Named(Vec<ConfigVarName>),
}

/// The word `all`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum All {
    /// Its one value.
    All,
}

/// A directory of the source, relative to its top: `services/api`. Never the top itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RootDirectory(String);

/// Why a text is no [`RootDirectory`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is not a directory within the source: write it like services/api, without `..`")]
pub struct RootDirectoryError(String);

impl RootDirectory {
    /// As text, without a slash at either end.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RootDirectory {
    type Err = RootDirectoryError;

    fn from_str(text: &str) -> Result<Self, RootDirectoryError> {
        let refused = || RootDirectoryError(text.chars().take(80).collect());
        let is_plain =
            text.len() <= MAX_ROOT_BYTES && !text.contains(['\\', '\0']) && !text.starts_with('/');
        let parts: Vec<&str> = text
            .split('/')
            .filter(|part| !part.is_empty() && *part != ".")
            .collect();
        let is_safe = parts
            .iter()
            .all(|part| *part != ".." && !part.chars().any(char::is_control));
        if is_plain && is_safe && !parts.is_empty() {
            Ok(Self(parts.join("/")))
        } else {
            Err(refused())
        }
    }
}

impl TryFrom<String> for RootDirectory {
    type Error = RootDirectoryError;

    fn try_from(text: String) -> Result<Self, RootDirectoryError> {
        text.parse()
    }
}

impl From<RootDirectory> for String {
    fn from(root: RootDirectory) -> Self {
        root.0
    }
}

impl fmt::Display for RootDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_directory_stays_within_the_source() {
        let check = |text: &str, expected: Option<&str>| {
            let found = text.parse::<RootDirectory>().ok();
            assert_eq!(
                found.as_ref().map(RootDirectory::as_str),
                expected,
                "{text:?}"
            );
        };
        check("services/api", Some("services/api"));
        check("./services//api/", Some("services/api"));
        check("a..b", Some("a..b"));
        for refused in [
            "", ".", "/", "/etc", "..", "a/../b", "a/..", "a\\b", "a\nb", "a\0b",
        ] {
            check(refused, None);
        }
        check(&"a".repeat(MAX_ROOT_BYTES + 1), None);
    }

    #[test]
    fn settings_are_read_strictly() {
        let read = serde_json::from_str::<BuildSettings>;
        assert_eq!(read("{}").unwrap(), BuildSettings::default());
        let all = read(r#"{"config_vars": "all"}"#).unwrap().config_vars;
        assert_eq!(all, Some(BuildConfigVars::All(All::All)));
        let named = read(r#"{"config_vars": ["A_KEY"]}"#).unwrap().config_vars;
        let name = "A_KEY".parse().unwrap();
        assert_eq!(named, Some(BuildConfigVars::Named(vec![name])));
        for refused in [
            r#"{"config_vars": "some"}"#,
            r#"{"config_vars": ["A-KEY"]}"#,
            r#"{"root_directory": "../a"}"#,
            r#"{"roots": "a"}"#,
        ] {
            assert!(read(refused).is_err(), "{refused}");
        }
    }
}
