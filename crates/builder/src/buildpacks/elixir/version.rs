//! Which Elixir an app asks for, and which of those that can be had it gets.
//!
//! Pure. What `mix.exs` requires is Mix's own to compare. Read [`choose`] first.

use std::path::PathBuf;

use crate::{
    buildpacks::{
        java::property,
        lines,
        sources::{Mirrored, Package},
        tool_versions,
    },
    error::BuildError,
    source_tree::SourceTree,
};

/// What is wanted, and who says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    /// As it was written; empty for any.
    pub(super) text: String,
    /// `.tool-versions`; empty for the default.
    pub(super) origin: &'static str,
}

/// An Elixir that was chosen, with the Erlang that it runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Runtime {
    /// `1.18.3`
    pub(super) version: String,
    pub(super) origin: Origin,
    pub(super) warning: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Mirror(PathBuf),
    /// The exact version of the package.
    Stack(String),
}

impl Wish {
    /// # Errors
    /// `Source` for a text that is no version.
    pub(super) fn of(tree: &SourceTree) -> Result<Self, BuildError> {
        let stated = [
            (
                "elixir_buildpack.config",
                property(tree, "elixir_buildpack.config", "elixir_version"),
            ),
            (".tool-versions", tool_versions::pinned(tree, "elixir")),
            ("mise.toml", tool_versions::mise(tree, "elixir")),
        ];
        let found = stated
            .into_iter()
            .find_map(|(origin, text)| Some((origin, text?)));
        let Some((origin, text)) = found else {
            let (text, origin) = (String::new(), "");
            return Ok(Self { text, origin });
        };
        if numbers(&text).is_empty() {
            let text: String = text.chars().take(80).collect();
            return Err(BuildError::Source {
                problem: format!("The Elixir version in {origin} is not valid: {text}"),
                advice: lines(&["hint: write a version such as 1.18.3, or 1.18.3-otp-27."]),
            });
        }
        Ok(Self { text, origin })
    }
}

/// `1.18.3-otp-27` → [1, 18, 3]
fn numbers(text: &str) -> Vec<u64> {
    let text = text.trim().trim_start_matches(['v', '"', '(']);
    text.split(['.', '-', '+'])
        .map_while(|part| part.parse().ok())
        .collect()
}

fn shown(numbers: &[u64]) -> String {
    let parts: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    parts.join(".")
}

/// The first source that has the version; else its series, of which the newest release is taken.
///
/// # Errors
/// `Source` when nobody has a release of that series.
pub(super) fn choose(
    wish: &Wish,
    archives: &[Mirrored],
    packages: &[Package],
) -> Result<Runtime, BuildError> {
    let mut offers: Vec<(Vec<u64>, Origin)> = archives
        .iter()
        .map(|archive| {
            let origin = Origin::Mirror(archive.path.clone());
            (numbers(&archive.version), origin)
        })
        .collect();
    offers.sort_by(|one, other| other.0.cmp(&one.0));
    offers.extend(packages.iter().map(|package| {
        let origin = Origin::Stack(package.version.clone());
        (numbers(&package.version), origin)
    }));
    let wanted = numbers(&wish.text);
    let series = &wanted[..wanted.len().min(2)];
    let exact = offers.iter().find(|(offer, _)| offer.starts_with(&wanted));
    let found = exact.or_else(|| offers.iter().find(|(offer, _)| offer.starts_with(series)));
    let Some((version, origin)) = found.filter(|_| series.len() != 1 || exact.is_some()) else {
        return Err(unavailable(wish, &offers));
    };
    let version = shown(version);
    let warning = exact.is_none().then(|| {
        let wanted = shown(&wanted);
        format!("Elixir {wanted} is not available on this platform; {version} is used instead.")
    });
    Ok(Runtime {
        version,
        origin: origin.clone(),
        warning,
    })
}

fn unavailable(wish: &Wish, offers: &[(Vec<u64>, Origin)]) -> BuildError {
    let listed: Vec<String> = offers.iter().map(|(version, _)| shown(version)).collect();
    BuildError::Source {
        problem: format!(
            "Elixir {}, which {} asks for, cannot be had.",
            wish.text, wish.origin
        ),
        advice: vec![
            "It was looked for in the runtime mirror directory and among the stack's packages. Available:"
                .to_owned(),
            String::new(),
            format!("  {}", listed.join(", ")),
            String::new(),
            "hint: ask for one of these, or have the operator of this platform add it with".to_owned(),
            "`landfall runtimes:add elixir`.".to_owned(),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source_tree::tests::source_of;

    fn check(files: &[(&str, &str)], expected: &str) {
        let archives = ["1.17.3", "1.19.1"].map(|version| Mirrored {
            version: version.to_owned(),
            path: PathBuf::new(),
        });
        let packages = [Package {
            name: "elixir".to_owned(),
            version: "1.18.3.dfsg-1".to_owned(),
            suite: "stack".to_owned(),
        }];
        let found =
            Wish::of(&source_of(files).1).and_then(|wish| choose(&wish, &archives, &packages));
        let found = found.map_or_else(
            |error| error.to_string(),
            |runtime| {
                let from = match runtime.origin {
                    Origin::Mirror(_) => "mirror",
                    Origin::Stack(_) => "stack",
                };
                let mark = runtime.warning.map_or("", |_| " with a warning");
                format!("{} of the {from}{mark}", runtime.version)
            },
        );
        assert_eq!(found, expected, "{files:?}");
    }

    #[test]
    fn versions_are_found_by_their_series() {
        let tool = |text| (".tool-versions", text);
        check(&[tool("elixir 1.18.3-otp-27")], "1.18.3 of the stack");
        check(&[tool("elixir 1.17.3")], "1.17.3 of the mirror");
        check(
            &[tool("elixir 1.17.1-otp-26")],
            "1.17.3 of the mirror with a warning",
        );
        check(&[tool("erlang 27.0\nelixir 1.18")], "1.18.3 of the stack");
        check(
            &[(
                "elixir_buildpack.config",
                "erlang_version=27\nelixir_version=1.18.1\n",
            )],
            "1.18.3 of the stack with a warning",
        );
        check(&[], "1.19.1 of the mirror");
        check(
            &[tool("elixir 1.14.5")],
            "Elixir 1.14.5, which .tool-versions asks for, cannot be had.",
        );
        check(
            &[tool("elixir main")],
            "The Elixir version in .tool-versions is not valid: main",
        );
    }
}
