//! Rules about crates: who may use whom, lints, the map.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::Value;

/// The crates that turn any error into a message for a person.
const MAY_USE_ANYHOW: &[&str] = &["cli", "server", "xtask", "e2e"];

/// The crates that stand outside the layers: they drive the others from outside.
const OUTSIDE: &[&str] = &["xtask", "e2e"];

/// `[workspace.metadata.layers]`: crate → crates it may use.
pub(crate) struct Layers(BTreeMap<String, Vec<String>>);

impl Layers {
    /// Reads the table of the root manifest.
    pub(crate) fn from_manifest(manifest: &toml::Table) -> Result<Self> {
        let table = manifest
            .get("workspace")
            .and_then(|workspace| workspace.get("metadata")?.get("layers")?.as_table())
            .context("Cargo.toml has no [workspace.metadata.layers]")?;
        let names = |list: &toml::Value| -> Vec<String> {
            let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
            list.iter()
                .filter_map(|name| name.as_str().map(str::to_owned))
                .collect()
        };
        Ok(Self(
            table
                .iter()
                .map(|(name, list)| (name.clone(), names(list)))
                .collect(),
        ))
    }
}

/// What the rules need of one package.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: String,
    /// Path of its manifest.
    pub(crate) manifest: String,
    /// Crates of this workspace that it uses, dev-dependencies left out.
    pub(crate) uses: Vec<String>,
    /// Crates of the registry that it uses, dev-dependencies left out.
    pub(crate) registry: Vec<String>,
}

/// The workspace's packages out of `cargo metadata --no-deps`.
pub(crate) fn packages(metadata: &Value) -> Result<Vec<Package>> {
    let list = metadata["packages"]
        .as_array()
        .context("cargo metadata lists no packages")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(list
        .iter()
        .map(|package| {
            let all = package["dependencies"]
                .as_array()
                .map(Vec::as_slice)
                .unwrap_or_default();
            let normal = || all.iter().filter(|dependency| dependency["kind"] != "dev");
            let pick = |local: bool| {
                normal()
                    .filter(|dependency| dependency["path"].is_string() == local)
                    .map(|dependency| text(&dependency["name"]))
                    .collect()
            };
            Package {
                name: text(&package["name"]),
                manifest: text(&package["manifest_path"]),
                uses: pick(true),
                registry: pick(false),
            }
        })
        .collect())
}

/// Every edge between crates is in the table, and every crate has a row.
pub(crate) fn check_layers(layers: &Layers, packages: &[Package], complaints: &mut Vec<String>) {
    for package in packages {
        let name = &package.name;
        if OUTSIDE.contains(&name.as_str()) {
            continue;
        }
        let Some(allowed) = layers.0.get(name) else {
            complaints.push(format!(
                "{name}: has no row in [workspace.metadata.layers]; add one"
            ));
            continue;
        };
        for used in package.uses.iter().filter(|used| !allowed.contains(used)) {
            complaints.push(format!(
                "{name}: uses {used}, which its layer may not; pass what it needs in from `server`, \
                 or add the edge to [workspace.metadata.layers] and say why in the commit"
            ));
        }
    }
}

/// Rooms have typed errors.
pub(crate) fn check_anyhow(packages: &[Package], complaints: &mut Vec<String>) {
    for package in packages {
        let uses_anyhow = package.registry.iter().any(|name| name == "anyhow");
        if uses_anyhow && !MAY_USE_ANYHOW.contains(&package.name.as_str()) {
            complaints.push(format!(
                "{}: uses anyhow; write a `thiserror` enum with a variant per failure",
                package.name
            ));
        }
    }
}

/// Every crate obeys the workspace's lints.
pub(crate) fn check_lints(name: &str, manifest: &toml::Table, complaints: &mut Vec<String>) {
    let obeys = manifest
        .get("lints")
        .and_then(|lints| lints.get("workspace")?.as_bool());
    if obeys != Some(true) {
        complaints.push(format!(
            "{name}: add `[lints] workspace = true` to its Cargo.toml"
        ));
    }
}

/// The map names every crate.
pub(crate) fn check_map(map: &str, packages: &[Package], complaints: &mut Vec<String>) {
    for package in packages {
        let name = &package.name;
        let spellings = [
            format!("`{name}`"),
            format!("crates/{name}"),
            format!("tests/{name}`"),
        ];
        if !spellings.iter().any(|spelling| map.contains(spelling)) {
            complaints.push(format!(
                "ARCHITECTURE.md: does not name `{name}`; say what it is for and what it must not know"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, uses: &[&str], registry: &[&str]) -> Package {
        let owned = |list: &[&str]| list.iter().map(|&name| name.to_owned()).collect();
        Package {
            name: name.to_owned(),
            manifest: String::new(),
            uses: owned(uses),
            registry: owned(registry),
        }
    }

    fn layers() -> Layers {
        let manifest = "[workspace.metadata.layers]\napi = []\nstore = ['api']\n"
            .parse()
            .unwrap();
        Layers::from_manifest(&manifest).unwrap()
    }

    fn check_edges(packages: &[Package], expected: &[&str]) {
        let mut complaints = Vec::new();
        check_layers(&layers(), packages, &mut complaints);
        assert_eq!(complaints.len(), expected.len(), "{complaints:?}");
        for (complaint, start) in complaints.iter().zip(expected) {
            assert!(complaint.starts_with(start), "{complaint}");
        }
    }

    #[test]
    fn edges_outside_the_table_are_refused() {
        check_edges(&[package("store", &["api"], &[])], &[]);
        check_edges(&[package("api", &["store"], &[])], &["api: uses store"]);
        check_edges(&[package("rooms", &[], &[])], &["rooms: has no row"]);
        check_edges(&[package("xtask", &["api"], &[])], &[]);
    }

    #[test]
    fn dev_dependencies_are_no_edges() {
        let metadata = serde_json::json!({"packages": [{
            "name": "store",
            "manifest_path": "/x/Cargo.toml",
            "dependencies": [
                {"name": "api", "kind": null, "path": "/api"},
                {"name": "engine", "kind": "dev", "path": "/engine"},
                {"name": "serde", "kind": null},
            ],
        }]});
        let mut expected = package("store", &["api"], &["serde"]);
        expected.manifest = "/x/Cargo.toml".to_owned();
        assert_eq!(packages(&metadata).unwrap(), [expected]);
    }

    #[test]
    fn anyhow_stays_at_the_edge() {
        let mut complaints = Vec::new();
        check_anyhow(&[package("server", &[], &["anyhow"])], &mut complaints);
        assert!(complaints.is_empty());
        check_anyhow(&[package("store", &[], &["anyhow"])], &mut complaints);
        assert_eq!(complaints.len(), 1);
    }

    #[test]
    fn lints_and_map() {
        let mut complaints = Vec::new();
        check_lints(
            "api",
            &"[lints]\nworkspace = true".parse().unwrap(),
            &mut complaints,
        );
        check_map(
            "the `api` crate",
            &[package("api", &[], &[])],
            &mut complaints,
        );
        assert!(complaints.is_empty());
        check_lints("api", &toml::Table::new(), &mut complaints);
        check_map("nothing", &[package("api", &[], &[])], &mut complaints);
        assert_eq!(complaints.len(), 2);
    }
}
