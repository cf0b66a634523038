//! `xtask tidy`: the project's own rules, those that no general tool knows.
//!
//! Each rule is a pure function from what was read to complaints, and each complaint says what
//! to do instead. Rules about source files are in `sources`, about crates in `crates`, about
//! documents in `documents`, about addresses in `hosts`.

mod crates;
mod documents;
mod hosts;
mod sources;

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};

use crate::{out, process, workspace};

/// `xtask tidy`.
pub(crate) fn run(_: &[String]) -> Result<()> {
    out::step("tidy");
    let root = workspace::root();
    let mut complaints = Vec::new();
    about_crates(&root, &mut complaints)?;
    hosts::check_all(&root, &mut complaints)?;
    for file in workspace::files(&root)? {
        let name = relative(&root, &file);
        let extension = file.extension().and_then(|extension| extension.to_str());
        match extension {
            Some("rs") => sources::check(&name, &read(&file)?, &mut complaints),
            Some("md") => {
                documents::check(&name, &read(&file)?, &exists_below(&root), &mut complaints);
            }
            _ => {}
        }
    }
    if complaints.is_empty() {
        return Ok(());
    }
    for complaint in &complaints {
        out::complain(complaint);
    }
    bail!("tidy: {} complaints", complaints.len())
}

fn about_crates(root: &Path, complaints: &mut Vec<String>) -> Result<()> {
    let manifest: toml::Table = read(&root.join("Cargo.toml"))?.parse()?;
    let layers = crates::Layers::from_manifest(&manifest)?;
    let mut cargo = process::cargo(root);
    cargo.args([
        "metadata",
        "--no-deps",
        "--format-version",
        "1",
        "--offline",
    ]);
    let metadata: serde_json::Value = serde_json::from_str(&process::output(&mut cargo)?)?;
    let packages = crates::packages(&metadata)?;
    crates::check_layers(&layers, &packages, complaints);
    crates::check_anyhow(&packages, complaints);
    for package in &packages {
        let manifest: toml::Table = read(Path::new(&package.manifest))?.parse()?;
        crates::check_lints(&package.name, &manifest, complaints);
    }
    match fs::read_to_string(root.join("ARCHITECTURE.md")) {
        Ok(map) => crates::check_map(&map, &packages, complaints),
        Err(_) => complaints.push("ARCHITECTURE.md: missing; write one entry per crate".to_owned()),
    }
    Ok(())
}

fn exists_below(root: &Path) -> impl Fn(&str) -> bool {
    move |path| root.join(path).exists()
}

fn relative(root: &Path, file: &Path) -> String {
    file.strip_prefix(root)
        .unwrap_or(file)
        .display()
        .to_string()
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("could not read {}", file.display()))
}
