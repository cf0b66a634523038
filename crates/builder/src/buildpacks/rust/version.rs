//! Which Rust an app asks for.
//!
//! Pure. A wish is a toolchain's name as rustup has it, without the machine: a release, a line of
//! releases, or a channel with or without a date.

use semver::Version;
use serde::{Deserialize, Serialize};

use crate::{
    buildpacks::{lines, tool_versions},
    error::BuildError,
    source_tree::SourceTree,
};

/// What is wanted, and who says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// `1.85`, `1.85.0`, `stable`, `nightly-2026-10-15`
    pub(super) channel: String,
    /// Further machines to compile for.
    pub(super) targets: Vec<String>,
    /// `rust-toolchain.toml`; empty for the default.
    pub(super) origin: &'static str,
}

/// What a channel is today. See `scripts/rust_catalogue.sh`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Release {
    /// `2026-10-15`
    date: String,
    /// `1.99.1`
    version: String,
}

/// # Errors
/// `Source` for what is no toolchain's name.
pub(super) fn requested(tree: &SourceTree) -> Result<Request, BuildError> {
    for origin in ["rust-toolchain.toml", "rust-toolchain"] {
        let Some(text) = tree.read_text(origin) else {
            continue;
        };
        return from_toolchain_file(&text, origin);
    }
    let stated = [
        (".tool-versions", tool_versions::pinned(tree, "rust")),
        ("mise.toml", tool_versions::mise(tree, "rust")),
    ];
    let stated = stated
        .into_iter()
        .find_map(|(origin, text)| Some((origin, text?)));
    match stated {
        Some((origin, text)) => request(&text, Vec::new(), origin),
        None => request("stable", Vec::new(), ""),
    }
}

/// The file is TOML, or the name alone.
fn from_toolchain_file(text: &str, origin: &'static str) -> Result<Request, BuildError> {
    let table: Option<toml::Table> = text.parse().ok();
    let Some(table) = table else {
        return request(text.trim(), Vec::new(), origin);
    };
    let toolchain = table.get("toolchain");
    let channel = toolchain.and_then(|toolchain| toolchain.get("channel"));
    let Some(channel) = channel.and_then(toml::Value::as_str) else {
        return Err(invalid(origin, "it names no channel"));
    };
    let targets = toolchain
        .and_then(|toolchain| toolchain.get("targets"))
        .and_then(toml::Value::as_array)
        .map(|targets| targets.iter().filter_map(toml::Value::as_str));
    let targets: Vec<String> = targets.into_iter().flatten().map(str::to_owned).collect();
    if let Some(target) = targets.iter().find(|target| !is_name(target)) {
        return Err(invalid(origin, target));
    }
    request(channel, targets, origin)
}

fn request(text: &str, targets: Vec<String>, origin: &'static str) -> Result<Request, BuildError> {
    // The machine is this one.
    let suffix = "-unknown-linux-gnu";
    let channel = match text.strip_suffix(suffix) {
        Some(rest) => rest.rsplit_once('-').map_or(rest, |(channel, _)| channel),
        None => text,
    };
    let starts = ["stable", "beta", "nightly"];
    let is_known = channel.starts_with(|c: char| c.is_ascii_digit())
        || starts.iter().any(|start| channel.starts_with(start));
    if !is_known || !is_name(channel) {
        return Err(invalid(origin, text));
    }
    Ok(Request {
        channel: channel.to_owned(),
        targets,
        origin,
    })
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

impl Request {
    /// Whether the name always means the same toolchain.
    pub(super) fn is_exact(&self) -> bool {
        Version::parse(&self.channel).is_ok() || self.channel.contains('-')
    }

    /// The name of what a channel is today.
    pub(super) fn exactly(&self, release: &Release) -> String {
        if Version::parse(&release.version).is_ok_and(|version| version.pre.is_empty()) {
            release.version.clone()
        } else {
            format!("{}-{}", self.channel, release.date)
        }
    }

    /// The newest of some versions that fits.
    pub(super) fn newest_of<'a, T>(&self, offers: &'a [(Version, T)]) -> Option<&'a (Version, T)> {
        let fits = |version: &Version| {
            let text = version.to_string();
            self.channel == "stable"
                || text == self.channel
                || text.starts_with(&format!("{}.", self.channel))
        };
        let fitting = offers.iter().filter(|(version, _)| fits(version));
        fitting.max_by(|one, other| one.0.cmp(&other.0))
    }
}

fn invalid(origin: &str, text: &str) -> BuildError {
    let text: String = text.chars().take(80).collect();
    BuildError::Source {
        problem: format!("The toolchain in {origin} is not valid: {text}"),
        advice: lines(&[
            "hint: write a version such as 1.85, or stable, beta or nightly with a date, as",
            "`channel` of `[toolchain]` into rust-toolchain.toml.",
        ]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source_tree::tests::source_of;

    fn check(files: &[(&str, &str)], expected: &str) {
        let shown = match requested(&source_of(files).1) {
            Ok(request) => {
                let exact = if request.is_exact() { "exactly " } else { "" };
                let targets = request.targets.join(" ");
                format!("{exact}{} of {} {targets}", request.channel, request.origin)
            }
            Err(error) => error.to_string(),
        };
        assert_eq!(shown.trim_end(), expected, "{files:?}");
    }

    #[test]
    fn wishes_are_read_where_people_write_them() {
        let file = "rust-toolchain.toml";
        check(&[], "stable of");
        check(
            &[(
                file,
                "[toolchain]\nchannel = '1.85'\ntargets = ['wasm32-unknown-unknown']",
            )],
            "1.85 of rust-toolchain.toml wasm32-unknown-unknown",
        );
        check(
            &[("rust-toolchain", "1.85.1\n")],
            "exactly 1.85.1 of rust-toolchain",
        );
        check(
            &[(
                "rust-toolchain",
                "nightly-2026-10-15-x86_64-unknown-linux-gnu",
            )],
            "exactly nightly-2026-10-15 of rust-toolchain",
        );
        check(
            &[(".tool-versions", "rust 1.90.0")],
            "exactly 1.90.0 of .tool-versions",
        );
        check(
            &[("mise.toml", "[tools]\nrust = '1.90'")],
            "1.90 of mise.toml",
        );
        let invalid = "The toolchain in rust-toolchain.toml is not valid:";
        check(
            &[(file, "[toolchain]\npath = '/x'")],
            &format!("{invalid} it names no channel"),
        );
        check(
            &[(file, "[toolchain]\nchannel = '1.85 --profile complete'")],
            &format!("{invalid} 1.85 --profile complete"),
        );
        check(
            &[(file, "[toolchain]\nchannel = 'stable'\ntargets = ['-x']")],
            &format!("{invalid} -x"),
        );
    }

    #[test]
    fn channels_become_releases() {
        let check = |channel: &str, version: &str, expected: &str| {
            let request = request(channel, Vec::new(), "").unwrap();
            let release = Release {
                date: "2026-10-15".to_owned(),
                version: version.to_owned(),
            };
            assert_eq!(request.exactly(&release), expected);
        };
        check("stable", "1.99.1", "1.99.1");
        check("1.85", "1.85.1", "1.85.1");
        check("nightly", "1.101.0-nightly", "nightly-2026-10-15");
    }

    #[test]
    fn the_mirror_is_asked_for_what_fits() {
        let offers = ["1.85.0", "1.85.1", "1.90.0"].map(|text| (Version::parse(text).unwrap(), ()));
        let check = |channel: &str, expected: Option<&str>| {
            let request = request(channel, Vec::new(), "").unwrap();
            let found = request
                .newest_of(&offers)
                .map(|(version, ())| version.to_string());
            assert_eq!(found.as_deref(), expected, "{channel}");
        };
        check("stable", Some("1.90.0"));
        check("1.85", Some("1.85.1"));
        check("1.85.0", Some("1.85.0"));
        check("1.8", None);
        check("nightly", None);
    }
}
