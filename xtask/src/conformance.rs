//! `xtask conformance`: every link of the published hyper-schema, and how we answer it.

use anyhow::Result;

use crate::{process, workspace};

/// The tests of `crates/server` that make the calls.
const TESTS: &str = "http::conformance";

/// `xtask conformance`: a table resource × links, then the figures.
pub(crate) fn run(_: &[String]) -> Result<()> {
    let mut tests = process::cargo(&workspace::root());
    tests.args([
        "test",
        "--quiet",
        "--package",
        "server",
        "--test",
        "it",
        "--",
        TESTS,
        "--nocapture",
    ]);
    process::run("conformance", &mut tests)
}
