//! What `bin/release` of a classic buildpack says: a small YAML document.
//!
//! It must not know who ran it. Read [`Release`] first.

use std::collections::BTreeMap;

use api::names::ProcessType;
use serde::Deserialize;

/// Longest answer, in bytes.
const MAX_BYTES: usize = 256 * 1024;

/// What a buildpack offers to every app that it builds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Release {
    /// For process types that the Procfile does not have.
    pub(crate) default_types: BTreeMap<ProcessType, String>,
    /// Environment of the dynos, below the app's config vars.
    pub(crate) config_vars: BTreeMap<String, String>,
    /// Add-ons that it would have on Heroku.
    pub(crate) addons: Vec<String>,
}

#[derive(Default, Deserialize)]
struct Document {
    #[serde(default)]
    default_process_types: Option<BTreeMap<String, String>>,
    #[serde(default)]
    config_vars: Option<BTreeMap<String, String>>,
    #[serde(default)]
    addons: Option<Vec<String>>,
}

impl Release {
    /// Reads the answer; nothing at all is an answer, too.
    ///
    /// # Errors
    /// What is wrong with it, in one line.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err("it is too long".to_owned());
        }
        let is_empty = text
            .lines()
            .all(|line| matches!(line.trim(), "" | "---" | "...") || line.starts_with('#'));
        if is_empty {
            return Ok(Self::default());
        }
        let document: Option<Document> = serde_saphyr::from_str(text).map_err(|error| {
            let text = error.to_string();
            text.lines().next().unwrap_or_default().to_owned()
        })?;
        let document = document.unwrap_or_default();
        let mut default_types = BTreeMap::new();
        for (name, command) in document.default_process_types.unwrap_or_default() {
            let process_type = name
                .parse()
                .map_err(|_| format!("`{}` is not a process type", name.escape_debug()))?;
            default_types.insert(process_type, command.trim().to_owned());
        }
        let is_name = |name: &String| {
            !name.is_empty() && !name.contains(['=', '\0']) && !name.starts_with("LANDFALL_")
        };
        let config_vars = document.config_vars.unwrap_or_default();
        Ok(Self {
            default_types,
            config_vars: config_vars
                .into_iter()
                .filter(|(name, value)| is_name(name) && !value.contains('\0'))
                .collect(),
            addons: document.addons.unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, types: &[(&str, &str)], vars: &[(&str, &str)], addons: &[&str]) {
        let release = Release::parse(text).unwrap();
        let found: Vec<_> = release
            .default_types
            .iter()
            .map(|(name, command)| (name.as_str(), command.as_str()))
            .collect();
        assert_eq!(found, types, "{text}");
        let found: Vec<_> = release
            .config_vars
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(found, vars, "{text}");
        assert_eq!(release.addons, addons, "{text}");
    }

    #[test]
    fn what_buildpacks_answer() {
        check("", &[], &[], &[]);
        check("---\n", &[], &[], &[]);
        check("--- {}\n", &[], &[], &[]);
        check(
            "---\naddons: []\ndefault_process_types:\n  web: node server.js\n",
            &[("web", "node server.js")],
            &[],
            &[],
        );
        check(
            "config_vars:\n  PATH: bin:/usr/bin\n  N: 5\naddons:\n  - heroku-postgresql\n",
            &[],
            &[("N", "5"), ("PATH", "bin:/usr/bin")],
            &["heroku-postgresql"],
        );
        check(
            "default_process_types:\nconfig_vars:\naddons:\n",
            &[],
            &[],
            &[],
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        for text in [
            "- a",
            "default_process_types: [1]",
            "default_process_types: {'a b': c}",
            "a: [",
        ] {
            assert!(Release::parse(text).is_err(), "{text}");
        }
    }
}
