//! `project.toml`: what the project itself says of its build. Read [`Manifest::parse`] first.
//!
//! Source: <https://github.com/buildpacks/spec/blob/main/extensions/project-descriptor.md>, schema
//! 0.2, and 0.1 as far as it means the same. Other tables are for others.

use std::{collections::BTreeMap, ops::Range};

use api::names::ConfigVarName;
use serde::Deserialize;
use thiserror::Error;
use toml::Spanned;

/// Its name, at the root of what is built.
pub(crate) const FILE: &str = "project.toml";
/// Buildpacks that do what every build here does.
const ALWAYS: [&str; 1] = ["heroku/procfile"];

/// What it says that matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) selection: Selection,
    /// Before and after those that are chosen or found.
    pub(crate) pre: Vec<String>,
    pub(crate) group: Vec<String>,
    pub(crate) post: Vec<String>,
    /// For the build alone.
    pub(crate) env: BTreeMap<String, String>,
}

/// Which files are built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Selection {
    #[default]
    All,
    Only(Vec<String>),
    Without(Vec<String>),
}

/// What is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("project.toml line {line}: {problem}")]
pub struct ManifestError {
    /// Counts from 1.
    pub line: usize,
    /// In a few words.
    pub problem: String,
}

#[derive(Debug, Default, Deserialize)]
struct Document {
    #[serde(default)]
    io: Io,
    /// Of schema 0.1.
    build: Option<OldBuild>,
}

#[derive(Debug, Default, Deserialize)]
struct Io {
    #[serde(default)]
    buildpacks: Section,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Section {
    include: Option<Vec<String>>,
    exclude: Option<Spanned<Vec<String>>>,
    #[serde(default)]
    group: Vec<Spanned<Entry>>,
    #[serde(default)]
    pre: Group,
    #[serde(default)]
    post: Group,
    #[serde(default)]
    build: Build,
}

#[derive(Debug, Default, Deserialize)]
struct Group {
    #[serde(default)]
    group: Vec<Spanned<Entry>>,
}

#[derive(Debug, Default, Deserialize)]
struct Build {
    #[serde(default)]
    env: Vec<Spanned<Variable>>,
}

#[derive(Debug, Deserialize)]
struct OldBuild {
    include: Option<Vec<String>>,
    exclude: Option<Spanned<Vec<String>>>,
    #[serde(default)]
    buildpacks: Vec<Spanned<Entry>>,
    #[serde(default)]
    env: Vec<Spanned<Variable>>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    id: Option<String>,
    uri: Option<String>,
    script: Option<toml::Value>,
}

#[derive(Debug, Deserialize)]
struct Variable {
    name: String,
    value: String,
}

impl Manifest {
    /// Reads it.
    pub(crate) fn parse(text: &str) -> Result<Self, ManifestError> {
        let document: Document = toml::from_str(text).map_err(|error| ManifestError {
            line: line_of(text, error.span()),
            problem: error.message().to_owned(),
        })?;
        let mut section = document.io.buildpacks;
        if let Some(old) = document.build {
            section.include = section.include.or(old.include);
            section.exclude = section.exclude.or(old.exclude);
            section.group.extend(old.buildpacks);
            section.build.env.extend(old.env);
        }
        let entries = |entries: Vec<Spanned<Entry>>| -> Result<Vec<String>, ManifestError> {
            let chosen = entries.into_iter().map(|entry| chosen(text, &entry));
            chosen.filter_map(Result::transpose).collect()
        };
        Ok(Self {
            selection: selection(text, section.include, section.exclude)?,
            pre: entries(section.pre.group)?,
            group: entries(section.group)?,
            post: entries(section.post.group)?,
            env: variables(text, section.build.env)?,
        })
    }

    /// The buildpacks of a build for which none were chosen elsewhere; `found` is asked for what the
    /// source looks like, where the project names only what comes before and after that.
    pub(crate) fn buildpacks(&self, found: impl FnOnce() -> Option<String>) -> Vec<String> {
        let is_silent = self.pre.is_empty() && self.post.is_empty();
        let middle = match &self.group[..] {
            [] if is_silent => return Vec::new(),
            [] => found().into_iter().collect(),
            group => group.to_vec(),
        };
        [&self.pre[..], &middle, &self.post].concat()
    }
}

fn selection(
    text: &str,
    include: Option<Vec<String>>,
    exclude: Option<Spanned<Vec<String>>>,
) -> Result<Selection, ManifestError> {
    match (include, exclude) {
        (None, None) => Ok(Selection::All),
        (Some(lines), None) => Ok(Selection::Only(lines)),
        (None, Some(lines)) => Ok(Selection::Without(lines.into_inner())),
        (Some(_), Some(lines)) => Err(ManifestError {
            line: line_of(text, Some(lines.span())),
            problem: "`include` and `exclude` cannot both be there".to_owned(),
        }),
    }
}

fn variables(
    text: &str,
    listed: Vec<Spanned<Variable>>,
) -> Result<BTreeMap<String, String>, ManifestError> {
    let mut env = BTreeMap::new();
    for variable in listed {
        let line = line_of(text, Some(variable.span()));
        let Variable { name, value } = variable.into_inner();
        let name: ConfigVarName = name.parse().map_err(|error| ManifestError {
            line,
            problem: format!("{error}"),
        })?;
        env.insert(name.to_string(), value);
    }
    Ok(env)
}

/// A buildpack as builds choose it; none for what every build does.
fn chosen(text: &str, entry: &Spanned<Entry>) -> Result<Option<String>, ManifestError> {
    let refused = |problem: String| ManifestError {
        line: line_of(text, Some(entry.span())),
        problem,
    };
    let Entry { id, uri, script } = entry.get_ref();
    if script.is_some() {
        return Err(refused(
            "inline buildpack scripts are not run; use bin/pre_compile or a buildpack of your own"
                .to_owned(),
        ));
    }
    let name = match (uri, id) {
        (Some(uri), _) => located(uri).ok_or_else(|| {
            refused(format!(
                "{uri} is neither a name of a registry (urn:cnb:registry:…) nor an https address"
            ))
        })?,
        (None, Some(id)) => id.clone(),
        (None, None) => return Err(refused("a buildpack needs an `id` or a `uri`".to_owned())),
    };
    Ok((!ALWAYS.contains(&name.as_str())).then_some(name))
}

/// What builds take an address for.
fn located(uri: &str) -> Option<String> {
    let registry = uri
        .strip_prefix("urn:cnb:registry:")
        .or_else(|| uri.strip_prefix("urn:cnb:builder:"))
        .or_else(|| uri.strip_prefix("from=builder:"));
    match registry {
        // Builds have one version of what is built in.
        Some(name) => Some(name.split('@').next().unwrap_or(name).to_owned()),
        None => uri.starts_with("https://").then(|| uri.to_owned()),
    }
}

fn line_of(text: &str, span: Option<Range<usize>>) -> usize {
    let before = span.and_then(|span| text.get(..span.start));
    before.map_or(1, |before| before.matches('\n').count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_refused(text: &str, expected: &str) {
        assert_eq!(Manifest::parse(text).unwrap_err().to_string(), expected);
    }

    #[test]
    fn what_a_project_says_of_its_build() {
        let text = r#"
[_]
schema-version = "0.2"
id = "io.example.shop"

[io.buildpacks]
builder = "heroku/builder:24"
exclude = ["/docs", "*.md"]

[[io.buildpacks.group]]
id = "heroku/nodejs"
version = "1.2.3"

[[io.buildpacks.group]]
uri = "urn:cnb:registry:heroku/python@0.1.0"

[[io.buildpacks.group]]
uri = "https://example.com/own.tgz"

[[io.buildpacks.group]]
id = "heroku/procfile"

[[io.buildpacks.build.env]]
name = "NODE_OPTIONS"
value = "--max-old-space-size=900"

[com.example]
anything = 1
"#;
        let manifest = Manifest::parse(text).unwrap();
        let expected = [
            "heroku/nodejs",
            "heroku/python",
            "https://example.com/own.tgz",
        ];
        assert_eq!(manifest.buildpacks(|| None), expected);
        let without = vec!["/docs".to_owned(), "*.md".to_owned()];
        assert_eq!(manifest.selection, Selection::Without(without));
        assert_eq!(manifest.env["NODE_OPTIONS"], "--max-old-space-size=900");
    }

    #[test]
    fn the_former_schema_means_the_same() {
        let text = "[project]\nid = \"x\"\n[build]\ninclude = [\"src\"]\n\
                    [[build.buildpacks]]\nid = \"heroku/go\"\n[[build.env]]\nname = \"A\"\nvalue = \"1\"\n";
        let manifest = Manifest::parse(text).unwrap();
        assert_eq!(manifest.group, ["heroku/go"]);
        assert_eq!(manifest.selection, Selection::Only(vec!["src".to_owned()]));
        assert_eq!(manifest.env["A"], "1");
        assert_eq!(Manifest::parse("").unwrap(), Manifest::default());
    }

    #[test]
    fn buildpacks_around_what_is_found() {
        let text = "[[io.buildpacks.pre.group]]\nid = \"acme/before\"\n\
                    [[io.buildpacks.post.group]]\nid = \"acme/after\"\n";
        let manifest = Manifest::parse(text).unwrap();
        let found = || Some("heroku/python".to_owned());
        assert_eq!(
            manifest.buildpacks(found),
            ["acme/before", "heroku/python", "acme/after"]
        );
        assert!(Manifest::default().buildpacks(found).is_empty());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        check_refused(
            "[io.buildpacks]\ninclude = [\"a\"]\nexclude = [\"b\"]\n",
            "project.toml line 3: `include` and `exclude` cannot both be there",
        );
        check_refused(
            "\n[[io.buildpacks.group]]\nid = \"x\"\nscript = {api = \"0.9\", inline = \"true\"}\n",
            "project.toml line 2: inline buildpack scripts are not run; use bin/pre_compile or a buildpack of your own",
        );
        check_refused(
            "[[io.buildpacks.group]]\nuri = \"docker://example.com/x\"\n",
            "project.toml line 1: docker://example.com/x is neither a name of a registry (urn:cnb:registry:…) nor an https address",
        );
        check_refused(
            "[[io.buildpacks.group]]\nversion = \"1\"\n",
            "project.toml line 1: a buildpack needs an `id` or a `uri`",
        );
        check_refused(
            "[[io.buildpacks.build.env]]\nname = \"A-B\"\nvalue = \"\"\n",
            "project.toml line 1: Config var name `A-B` is not valid: use letters, digits and underscores, and do not start with a digit",
        );
        let error = Manifest::parse("a = 1\nb = \n").unwrap_err();
        assert_eq!(error.line, 2);
        let error = Manifest::parse("[io]\nbuildpacks = 5\n").unwrap_err();
        assert_eq!(error.line, 2);
    }
}
