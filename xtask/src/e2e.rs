//! `xtask e2e`: real pushes of `tests/apps` and the official CLI against a real server.

use anyhow::Result;

use crate::{host, out, process, shim, stack, workspace};

/// The package under `tests/e2e`.
pub(crate) const PACKAGE: &str = "e2e";

/// `xtask e2e [FILTER]`.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    host::prepare(host::Purpose::Test)?;
    shim::build("debug")?;
    let mut build = process::cargo(&workspace::root());
    process::run(
        "build landfall",
        build.args(["build", "--quiet", "--package", "server"]),
    )?;
    stack::ensure("debug")?;
    suite(arguments)
}

/// The suite alone: everything it needs is built.
pub(crate) fn suite(arguments: &[String]) -> Result<()> {
    if !is_member() {
        out::say("e2e: there is no tests/e2e yet");
        return Ok(());
    }
    if !process::is_root() {
        out::say("e2e: skipped, it starts dynos and needs root");
        return Ok(());
    }
    let mut tests = process::cargo(&workspace::root());
    tests
        .args(["test", "--package", PACKAGE, "--"])
        .args(arguments)
        .env("LANDFALL_BIN", workspace::landfall("debug"))
        .env(
            "LANDFALL_SHIM",
            workspace::target().join("debug/static/landfall-shim"),
        );
    process::run("e2e", &mut tests)
}

/// Whether the package is there.
pub(crate) fn is_member() -> bool {
    std::fs::read_to_string(workspace::root().join("Cargo.toml"))
        .is_ok_and(|manifest| manifest.contains("\"tests/e2e\""))
}
