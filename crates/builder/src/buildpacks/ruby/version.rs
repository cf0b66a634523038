//! Which Ruby an app asks for, and which of those that there are it gets.

use std::path::PathBuf;

use semver::Version;

use super::lockfile::{Bundle, RubyLine};
use crate::{
    buildpacks::tool_versions, error::BuildError, source_tree::SourceTree, versions::PythonRange,
};

/// What an app asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    /// As it is written: `3.3.4`, `~> 3.3`; empty if nothing is asked for.
    pub(super) text: String,
    /// The file that says so.
    pub(super) origin: &'static str,
    /// What the Gemfile would take besides, when another file asks for more than it does.
    pub(super) allowed: Option<String>,
}

/// A Ruby that can be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Runtime {
    pub(super) version: Version,
    pub(super) origin: Origin,
    /// Why it is not the one that was asked for.
    pub(super) warning: Option<String>,
}

/// Where a Ruby comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// An archive of the machine's mirror directory.
    Mirror(PathBuf),
    /// The packages of the stack's own suite.
    Stack,
}

/// The first file that says a version, in the order in which Bundler and version managers do.
pub(super) fn wanted(tree: &SourceTree, bundle: &Bundle) -> Result<Wish, BuildError> {
    let line = bundle.ruby_line();
    if let Some(RubyLine::OtherEngine(text)) = &line {
        return Err(other_engine("Gemfile", text));
    }
    let in_gemfile = match line {
        Some(RubyLine::Requirements(texts)) => Some((texts.join(", "), "Gemfile")),
        Some(RubyLine::File(path)) => version_file(tree, &path),
        _ => None,
    };
    let (text, origin) = if let Some(text) = &bundle.ruby {
        if text.contains('(') {
            return Err(other_engine("Gemfile.lock", text));
        }
        // `3.3.4p94`: the number of a patch within a release says nothing more.
        let text = match text.split_once('p') {
            Some((version, patch)) if patch.chars().all(|digit| digit.is_ascii_digit()) => version,
            _ => text,
        };
        (text.to_owned(), "Gemfile.lock")
    } else {
        in_gemfile
            .clone()
            .or_else(|| version_file(tree, ".ruby-version"))
            .or_else(|| version_file(tree, ".tool-versions"))
            .or_else(|| Some((tool_versions::mise(tree, "ruby")?, "mise.toml")))
            .unwrap_or_default()
    };
    let allowed = in_gemfile.map(|(text, _)| text);
    Ok(Wish {
        text,
        origin,
        allowed,
    })
}

fn version_file(tree: &SourceTree, path: &str) -> Option<(String, &'static str)> {
    if path == ".tool-versions" {
        return Some((tool_versions::pinned(tree, "ruby")?, ".tool-versions"));
    }
    let text = tree.read_text(path)?;
    let lines = text.lines().map(str::trim);
    let mut lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let first = lines.next()?;
    let version = first.strip_prefix("ruby-").unwrap_or(first);
    Some((version.to_owned(), ".ruby-version"))
}

fn other_engine(origin: &str, text: &str) -> BuildError {
    BuildError::Source {
        problem: format!("{origin} asks for another implementation of Ruby: {text}"),
        advice: vec!["hint: only the standard one (MRI) can be had here.".to_owned()],
    }
}

/// The Ruby for a wish: exactly it, else another patch release of the same series, else what the
/// Gemfile allows besides.
pub(super) fn choose(
    wish: &Wish,
    mirror: &[(Version, PathBuf)],
    stack: &Version,
) -> Result<Runtime, BuildError> {
    let mut known: Vec<(Version, Origin)> = vec![(stack.clone(), Origin::Stack)];
    let archives = mirror.iter().cloned();
    known.extend(archives.map(|(version, path)| (version, Origin::Mirror(path))));
    known.sort_by(|one, other| one.0.cmp(&other.0));
    let newest = |matches: &dyn Fn(&Version) -> bool| {
        known
            .iter()
            .rev()
            .find(|(version, _)| matches(version))
            .cloned()
    };
    let chosen = |found: (Version, Origin), warning: Option<String>| Runtime {
        version: found.0,
        origin: found.1,
        warning,
    };
    if wish.text.is_empty() {
        return Ok(Runtime {
            version: stack.clone(),
            origin: Origin::Stack,
            warning: None,
        });
    }
    let refused = || unsupplied(wish, &known);
    let range = range(&wish.text).ok_or_else(refused)?;
    if let Some(found) = newest(&|version| range.matches(version)) {
        return Ok(chosen(found, None));
    }
    if let Ok(exact) = Version::parse(&wish.text) {
        let same = |version: &Version| (version.major, version.minor) == (exact.major, exact.minor);
        if let Some(found) = newest(&same) {
            let warning = format!(
                "Ruby {exact} is not available on this platform; {} is used instead.",
                found.0
            );
            return Ok(chosen(found, Some(warning)));
        }
    }
    let allowed = wish.allowed.as_deref().and_then(self::range);
    if let Some(found) = allowed.and_then(|range| newest(&|version| range.matches(version))) {
        let warning = format!(
            "Ruby {} is not available on this platform; the Gemfile allows {}, which is used instead.",
            wish.text, found.0
        );
        return Ok(chosen(found, Some(warning)));
    }
    Err(refused())
}

/// Ruby's requirements differ from Python's in how they are written alone.
fn range(text: &str) -> Option<PythonRange> {
    let parts: Vec<String> = text
        .split(',')
        .map(|part| {
            let part = part.trim().replace("~>", "~=");
            match part.strip_prefix('=') {
                Some(rest) if !rest.starts_with('=') => rest.trim().to_owned(),
                _ => part,
            }
        })
        .collect();
    PythonRange::parse(&parts.join(","))
}

fn unsupplied(wish: &Wish, known: &[(Version, Origin)]) -> BuildError {
    let versions: Vec<String> = known
        .iter()
        .rev()
        .map(|(version, _)| version.to_string())
        .collect();
    let origin = wish.origin;
    BuildError::Source {
        problem: format!(
            "Ruby {} of {origin} is not available on this platform.",
            wish.text
        ),
        advice: vec![
            format!("Available: {}.", versions.join(", ")),
            format!(
                "hint: ask for one of these, or a range with one of them, in {origin} (`bundle lock`"
            ),
            "writes Gemfile.lock anew); or put an archive of that Ruby into the machine's runtime"
                .to_owned(),
            "mirror: docs/guide/languages.md says how.".to_owned(),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source_tree::tests::source_of;

    fn check_wish(files: &[(&str, &str)], expected: (&str, &str)) {
        let mut all = vec![("Gemfile.lock", "")];
        all.retain(|(path, _)| !files.iter().any(|(other, _)| other == path));
        all.extend(files);
        let (_guard, tree) = source_of(&all);
        let wish = wanted(&tree, &Bundle::read(&tree).unwrap()).unwrap();
        assert_eq!((wish.text.as_str(), wish.origin), expected, "{files:?}");
    }

    #[test]
    fn the_lock_decides_then_the_gemfile_then_version_files() {
        let lock = ("Gemfile.lock", "RUBY VERSION\n   ruby 3.3.4p94\n");
        let gemfile = ("Gemfile", "ruby '>= 3.2', '< 4'");
        let plain = (".ruby-version", "# ours\nruby-3.3.1\n");
        let tools = (".tool-versions", "nodejs 22\nruby 3.3.2\n");
        let mise = ("mise.toml", "[tools]\nruby = '3.3'\n");
        check_wish(&[], ("", ""));
        check_wish(&[lock, gemfile, plain], ("3.3.4", "Gemfile.lock"));
        check_wish(&[gemfile, plain], (">= 3.2, < 4", "Gemfile"));
        check_wish(&[plain, tools], ("3.3.1", ".ruby-version"));
        check_wish(&[tools, mise], ("3.3.2", ".tool-versions"));
        check_wish(&[mise], ("3.3", "mise.toml"));
        let by_file = ("Gemfile", "ruby file: '.tool-versions'");
        check_wish(&[by_file, plain, tools], ("3.3.2", ".tool-versions"));
    }

    fn check(text: &str, allowed: Option<&str>, expected: &str) {
        let wish = Wish {
            text: text.to_owned(),
            origin: "Gemfile.lock",
            allowed: allowed.map(str::to_owned),
        };
        let mirror = [("3.3.4", "a"), ("3.4.1", "b")]
            .map(|(version, path)| (Version::parse(version).unwrap(), PathBuf::from(path)));
        let stack = Version::new(3, 3, 13);
        let found = match choose(&wish, &mirror, &stack) {
            Ok(Runtime {
                version,
                origin,
                warning,
            }) => {
                let origin = match origin {
                    Origin::Mirror(path) => path.display().to_string(),
                    Origin::Stack => "stack".to_owned(),
                };
                let note = if warning.is_some() { " instead" } else { "" };
                format!("{version} {origin}{note}")
            }
            Err(error) => error.to_string(),
        };
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn versions_are_chosen() {
        check("", None, "3.3.13 stack");
        check("3.3.4", None, "3.3.4 a");
        check("3.3.13", None, "3.3.13 stack");
        check("3.3.9", None, "3.3.13 stack instead");
        check("3.3", None, "3.3.13 stack");
        check("~> 3.3", None, "3.4.1 b");
        check("~> 3.3.0", None, "3.3.13 stack");
        check(">= 3.2, < 3.4", None, "3.3.13 stack");
        check("= 3.4.1", None, "3.4.1 b");
        check("3.5.0", Some(">= 3.2, < 4.0"), "3.4.1 b instead");
        check(
            "3.5.0",
            Some("3.5.0"),
            "Ruby 3.5.0 of Gemfile.lock is not available on this platform.",
        );
        check(
            "2.7.8",
            None,
            "Ruby 2.7.8 of Gemfile.lock is not available on this platform.",
        );
        check(
            "head",
            None,
            "Ruby head of Gemfile.lock is not available on this platform.",
        );
    }
}
