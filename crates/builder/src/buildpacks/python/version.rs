//! Which Python an app asks for, and which of those that can be had it gets.
//!
//! Pure: the catalogue says what there is, [`requested`] what is wanted, [`choose`] joins them.

use std::path::PathBuf;

use semver::Version;
use serde::{Deserialize, Serialize};

use crate::{buildpacks::lines, error::BuildError, source_tree::SourceTree, versions::PythonRange};

/// The line of versions that an app gets which asks for none.
pub(super) const DEFAULT_MINOR: u64 = 13;

/// What an app wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Nothing in particular.
    Default,
    /// `3.13`: the newest of the line.
    Minor(u64),
    /// `3.13.2`.
    Exact(Version),
    /// `>=3.12`: the default if it fits.
    Range(PythonRange),
}

/// A wish and where it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) wish: Wish,
    /// As it was written: `3.14`.
    pub(super) text: String,
    /// `.python-version`.
    pub(super) origin: &'static str,
}

/// Versions that can be had, by source. See `scripts/python_catalogue.py`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Catalogue {
    /// The stack's own.
    pub(super) stack: String,
    /// In packages of newer suites, in the order of the suites.
    pub(super) debian: Vec<DebianPackage>,
    /// Those that uv can download; empty when it cannot reach the place.
    pub(super) upstream: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DebianPackage {
    pub(super) version: String,
    pub(super) package_version: String,
    pub(super) suite: String,
}

/// A runtime that can be had, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Runtime {
    pub(super) version: Version,
    pub(super) origin: Origin,
}

/// Where a runtime comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// An archive in the machine's mirror directory.
    Mirror(PathBuf),
    /// The stack has it.
    Stack,
    /// Debian's packages of another suite.
    Debian {
        suite: String,
        package_version: String,
    },
    /// Built by the people of python-build-standalone, fetched by uv.
    Upstream,
}

/// Reads the wish; Heroku's order of files, then `pyproject.toml`'s `requires-python`.
pub(super) fn requested(tree: &SourceTree) -> Result<Request, BuildError> {
    if let Some(text) = tree.read_text("runtime.txt") {
        let text = text.trim();
        let version = text.strip_prefix("python-").unwrap_or(text);
        return from_version(version, "runtime.txt");
    }
    if let Some(text) = tree.read_text(".python-version") {
        let mut versions = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        let first = versions.next().unwrap_or_default();
        if versions.next().is_some() {
            return Err(invalid(".python-version", "more than one version"));
        }
        let version = first
            .strip_prefix("python-")
            .or(first.strip_prefix("cpython-"));
        return from_version(version.unwrap_or(first), ".python-version");
    }
    if let Some(version) = pipfile_version(tree) {
        return from_version(&version, "Pipfile.lock");
    }
    if let Some(range) = pyproject_range(tree) {
        let wish = PythonRange::parse(&range)
            .map(Wish::Range)
            .ok_or_else(|| invalid("pyproject.toml", &range))?;
        return Ok(Request {
            wish,
            text: range,
            origin: "pyproject.toml",
        });
    }
    Ok(Request {
        wish: Wish::Default,
        text: format!("3.{DEFAULT_MINOR}"),
        origin: "",
    })
}

fn from_version(text: &str, origin: &'static str) -> Result<Request, BuildError> {
    let parts: Option<Vec<u64>> = text.split('.').map(|part| part.parse().ok()).collect();
    let wish = match parts.as_deref() {
        Some([3, minor]) => Wish::Minor(*minor),
        Some([3, minor, patch]) => Wish::Exact(Version::new(3, *minor, *patch)),
        _ => return Err(invalid(origin, text)),
    };
    Ok(Request {
        wish,
        text: text.to_owned(),
        origin,
    })
}

fn invalid(origin: &str, text: &str) -> BuildError {
    let text: String = text.chars().take(80).collect();
    BuildError::Source {
        problem: format!("The Python version in {origin} is not valid: {text}"),
        advice: vec![
            format!("hint: write a version such as 3.{DEFAULT_MINOR} into .python-version,"),
            "on a line of its own, without quotes.".to_owned(),
        ],
    }
}

fn pipfile_version(tree: &SourceTree) -> Option<String> {
    let lock: serde_json::Value = serde_json::from_slice(&tree.read("Pipfile.lock")?).ok()?;
    let requires = lock.get("_meta")?.get("requires")?;
    let version = requires
        .get("python_full_version")
        .or(requires.get("python_version"))?;
    version.as_str().map(str::to_owned)
}

fn pyproject_range(tree: &SourceTree) -> Option<String> {
    let project: toml::Table = tree.read_text("pyproject.toml")?.parse().ok()?;
    let standard = project
        .get("project")
        .and_then(|table| table.get("requires-python"));
    let poetry = || {
        let tool = project.get("tool")?.get("poetry")?;
        tool.get("dependencies")?.get("python")
    };
    standard.or_else(poetry)?.as_str().map(str::to_owned)
}

/// The runtime for a request: from the first source that has it, sources in order. A wish for an
/// exact version that nobody has is met with another of its line.
pub(super) fn choose(
    request: &Request,
    mirror: &[(Version, PathBuf)],
    catalogue: &Catalogue,
) -> Result<Runtime, BuildError> {
    let all = candidates(mirror, catalogue);
    let newest_of = |minor: u64| {
        let mut best: Option<&Runtime> = None;
        for runtime in all.iter().filter(|runtime| runtime.version.minor == minor) {
            // Sources come in order of preference; only within one does the version count.
            let is_better = best.is_none_or(|best| {
                same_source(&best.origin, &runtime.origin) && runtime.version > best.version
            });
            if is_better {
                best = Some(runtime);
            }
        }
        best.cloned()
    };
    let chosen = match &request.wish {
        Wish::Default => newest_of(DEFAULT_MINOR),
        Wish::Minor(minor) => newest_of(*minor),
        Wish::Exact(version) => all
            .iter()
            .find(|runtime| runtime.version == *version)
            .cloned()
            .or_else(|| newest_of(version.minor)),
        Wish::Range(range) => {
            let mut fitting: Vec<&Runtime> = all
                .iter()
                .filter(|runtime| range.matches(&runtime.version))
                .collect();
            fitting.sort_by_key(|runtime| {
                let minor = runtime.version.minor;
                (minor < DEFAULT_MINOR, minor.abs_diff(DEFAULT_MINOR))
            });
            fitting.first().map(|runtime| (*runtime).clone())
        }
    };
    chosen.ok_or_else(|| unavailable(request, &all))
}

fn candidates(mirror: &[(Version, PathBuf)], catalogue: &Catalogue) -> Vec<Runtime> {
    let mut all: Vec<Runtime> = mirror
        .iter()
        .map(|(version, path)| Runtime {
            version: version.clone(),
            origin: Origin::Mirror(path.clone()),
        })
        .collect();
    let mut add = |version: &str, origin: Origin| {
        if let Ok(version) = Version::parse(version) {
            all.push(Runtime { version, origin });
        }
    };
    add(&catalogue.stack, Origin::Stack);
    for package in &catalogue.debian {
        let (suite, package_version) = (package.suite.clone(), package.package_version.clone());
        add(
            &package.version,
            Origin::Debian {
                suite,
                package_version,
            },
        );
    }
    for version in &catalogue.upstream {
        add(version, Origin::Upstream);
    }
    all
}

fn same_source(one: &Origin, other: &Origin) -> bool {
    match (one, other) {
        (Origin::Debian { suite: one, .. }, Origin::Debian { suite: other, .. }) => one == other,
        _ => std::mem::discriminant(one) == std::mem::discriminant(other),
    }
}

fn unavailable(request: &Request, all: &[Runtime]) -> BuildError {
    let mut versions: Vec<&Version> = all.iter().map(|runtime| &runtime.version).collect();
    versions.sort();
    versions.dedup();
    let listed: Vec<String> = versions.iter().map(ToString::to_string).collect();
    let mut advice = lines(&[
        "It was looked for in the runtime mirror directory, the stack, the packages of newer",
        "Debian suites and uv's download place. Available here:",
        "",
    ]);
    advice.push(format!("  {}", listed.join(", ")));
    advice.push(String::new());
    advice.push(format!(
        "hint: ask for one of these in {}, or have the operator of this",
        named(request)
    ));
    advice.push("platform add an archive of it to the runtime mirror directory.".to_owned());
    let problem = format!("Python {} is not available on this platform.", request.text);
    BuildError::Source { problem, advice }
}

fn named(request: &Request) -> &'static str {
    if request.origin.is_empty() {
        ".python-version"
    } else {
        request.origin
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source_tree::tests::source_of;

    fn check_request(files: &[(&str, &str)], expected: &str) {
        let request = requested(&source_of(files).1);
        let shown = match request {
            Ok(Request { wish, text, origin }) => {
                let kind = match wish {
                    Wish::Default => "default",
                    Wish::Minor(_) => "minor",
                    Wish::Exact(_) => "exact",
                    Wish::Range(_) => "range",
                };
                format!("{kind} {text} {origin}")
            }
            Err(error) => error.to_string(),
        };
        assert_eq!(shown.trim(), expected, "{files:?}");
    }

    #[test]
    fn wishes_are_read_where_heroku_reads_them() {
        check_request(&[], "default 3.13");
        check_request(
            &[(".python-version", "# why\n3.14\n")],
            "minor 3.14 .python-version",
        );
        check_request(
            &[(".python-version", "3.13.2")],
            "exact 3.13.2 .python-version",
        );
        check_request(
            &[("runtime.txt", "python-3.12.4\n")],
            "exact 3.12.4 runtime.txt",
        );
        check_request(
            &[("runtime.txt", "python-3.12"), (".python-version", "3.14")],
            "minor 3.12 runtime.txt",
        );
        check_request(
            &[(
                "Pipfile.lock",
                r#"{"_meta":{"requires":{"python_version":"3.12"}}}"#,
            )],
            "minor 3.12 Pipfile.lock",
        );
        check_request(
            &[("pyproject.toml", "[project]\nrequires-python = '>=3.12'")],
            "range >=3.12 pyproject.toml",
        );
        check_request(
            &[(
                "pyproject.toml",
                "[tool.poetry.dependencies]\npython = '^3.12'",
            )],
            "range ^3.12 pyproject.toml",
        );
        check_request(
            &[(".python-version", "three")],
            "The Python version in .python-version is not valid: three",
        );
        check_request(
            &[(".python-version", "3.12\n3.13")],
            "The Python version in .python-version is not valid: more than one version",
        );
        check_request(
            &[("runtime.txt", "pypy-3.9")],
            "The Python version in runtime.txt is not valid: pypy-3.9",
        );
        check_request(
            &[(".python-version", "2.7")],
            "The Python version in .python-version is not valid: 2.7",
        );
    }

    fn catalogue() -> Catalogue {
        let package = |version: &str, suite: &str| DebianPackage {
            version: version.into(),
            package_version: format!("{version}-1"),
            suite: suite.into(),
        };
        Catalogue {
            stack: "3.13.5".into(),
            debian: vec![
                package("3.13.15", "forky"),
                package("3.14.8", "forky"),
                package("3.14.10", "sid"),
            ],
            upstream: vec!["3.12.1".into(), "3.12.9".into(), "3.14.2".into()],
        }
    }

    fn check_choice(text: &str, expected: &str) {
        let wish = match text {
            "" => Wish::Default,
            text if text.starts_with(['>', '<', '~', '=']) => {
                Wish::Range(PythonRange::parse(text).unwrap())
            }
            text => from_version(text, "").unwrap().wish,
        };
        let request = Request {
            wish,
            text: text.into(),
            origin: "",
        };
        let mirror = [(Version::new(3, 11, 4), PathBuf::from("/m/python-3.11.4"))];
        let shown = match choose(&request, &mirror, &catalogue()) {
            Ok(runtime) => {
                let origin = match runtime.origin {
                    Origin::Mirror(_) => "mirror".to_owned(),
                    Origin::Stack => "stack".to_owned(),
                    Origin::Debian { suite, .. } => suite,
                    Origin::Upstream => "upstream".to_owned(),
                };
                format!("{} {origin}", runtime.version)
            }
            Err(error) => error.to_string(),
        };
        assert_eq!(shown, expected, "{text:?}");
    }

    #[test]
    fn the_first_source_that_has_it_gives_it() {
        check_choice("", "3.13.5 stack");
        check_choice("3.13", "3.13.5 stack");
        check_choice("3.14", "3.14.8 forky");
        check_choice("3.14.10", "3.14.10 sid");
        check_choice("3.14.2", "3.14.2 upstream");
        check_choice("3.14.3", "3.14.8 forky");
        check_choice("3.12", "3.12.9 upstream");
        check_choice("3.12.1", "3.12.1 upstream");
        check_choice("3.11", "3.11.4 mirror");
        check_choice(">=3.12", "3.13.5 stack");
        check_choice(">=3.14", "3.14.8 forky");
        check_choice("<3.13", "3.12.1 upstream");
        check_choice("~=3.11.0", "3.11.4 mirror");
        check_choice("3.10", "Python 3.10 is not available on this platform.");
        check_choice(">=4", "Python >=4 is not available on this platform.");
    }
}
