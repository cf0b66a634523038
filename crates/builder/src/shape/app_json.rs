//! `app.json`, which only creating an app from it applies: what a build says of it.
//!
//! Source: <https://devcenter.heroku.com/articles/app-json-schema>. Read [`AppJson::parse`] first.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Its name, at the root of what is built.
pub(crate) const FILE: &str = "app.json";
/// So many config vars that are missing are named.
const NAMED: usize = 8;

/// What matters here of it.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct AppJson {
    #[serde(default)]
    env: BTreeMap<String, Variable>,
    #[serde(default)]
    buildpacks: Vec<Buildpack>,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Variable {
    Value(String),
    Described(Described),
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Described {
    description: Option<String>,
    required: Option<bool>,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Buildpack {
    url: String,
}

impl AppJson {
    /// Reads it; the error says where it is none.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| format!("app.json cannot be read: {error}"))
    }

    /// What is different from an app that was created from it.
    pub(crate) fn warnings(
        &self,
        config_vars: &BTreeMap<String, String>,
        chosen: &[String],
    ) -> Vec<String> {
        let mut lines = self.missing(config_vars);
        let wanted: Vec<&str> = self.buildpacks.iter().map(|one| one.url.as_str()).collect();
        if !wanted.is_empty() && chosen.is_empty() {
            lines.push(format!(
                "app.json names buildpacks, which only creating an app from it sets: {}",
                wanted.join(", ")
            ));
            lines.push(format!("hint: heroku buildpacks:set {}", wanted[0]));
        }
        lines
    }

    fn missing(&self, config_vars: &BTreeMap<String, String>) -> Vec<String> {
        let is_missing = |(name, variable): &(&String, &Variable)| {
            variable.is_required() && !config_vars.contains_key(*name)
        };
        let missing: Vec<_> = self.env.iter().filter(is_missing).collect();
        let Some((first, _)) = missing.first() else {
            return Vec::new();
        };
        let mut lines = vec!["app.json requires config vars that are not set:".to_owned()];
        for (name, variable) in missing.iter().take(NAMED) {
            lines.push(match variable.description() {
                Some(description) => format!("  {name}: {description}"),
                None => format!("  {name}"),
            });
        }
        if missing.len() > NAMED {
            lines.push(format!("  and {} more", missing.len() - NAMED));
        }
        lines.push(format!("hint: heroku config:set {first}=…"));
        lines
    }
}

impl Variable {
    fn is_required(&self) -> bool {
        match self {
            Self::Value(_) => true,
            Self::Described(described) => described.required != Some(false),
        }
    }

    /// Its first line, shortened.
    fn description(&self) -> Option<String> {
        match self {
            Self::Described(Described {
                description: Some(text),
                ..
            }) => Some(text.lines().next()?.chars().take(100).collect()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, config_vars: &[&str], chosen: &[String], expected: &[&str]) {
        let vars = config_vars
            .iter()
            .map(|name| ((*name).to_owned(), String::new()));
        let parsed = AppJson::parse(text).unwrap();
        assert_eq!(parsed.warnings(&vars.collect(), chosen), expected, "{text}");
    }

    #[test]
    fn what_creating_the_app_would_have_set_is_said() {
        check("{}", &[], &[], &[]);
        let text = r#"{"name": "shop", "env": {
            "SECRET_KEY": {"description": "Signs cookies.\nKeep it.", "generator": "secret"},
            "DEBUG": {"value": "0", "required": false}, "MODE": "live"}}"#;
        check(
            text,
            &["MODE"],
            &[],
            &[
                "app.json requires config vars that are not set:",
                "  SECRET_KEY: Signs cookies.",
                "hint: heroku config:set SECRET_KEY=…",
            ],
        );
        check(text, &["MODE", "SECRET_KEY"], &[], &[]);
        let text = r#"{"buildpacks": [{"url": "heroku/nodejs"}, {"url": "heroku/python"}]}"#;
        check(
            text,
            &[],
            &[],
            &[
                "app.json names buildpacks, which only creating an app from it sets: heroku/nodejs, heroku/python",
                "hint: heroku buildpacks:set heroku/nodejs",
            ],
        );
        check(text, &[], &["heroku/python".to_owned()], &[]);
    }

    #[test]
    fn where_it_is_none_is_said() {
        let error = AppJson::parse("{\n  \"env\": {,}\n}").unwrap_err();
        assert_eq!(
            error,
            "app.json cannot be read: key must be a string at line 2 column 11"
        );
    }
}
