//! `xtask test`: everything CI runs, on a machine that needs nothing but Rust.

use anyhow::Result;

use crate::{check, e2e, host, out, process, shim, stack, workspace};

/// `xtask test [FILTER]`: with a filter, only the tests whose name holds it.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let watch = out::Stopwatch::start();
    host::prepare(host::Purpose::Test)?;
    let shim = shim::build("debug")?;
    if arguments.is_empty() {
        check::run(&[])?;
    }
    let root = workspace::root();
    let mut build = process::cargo(&root);
    process::run(
        "build landfall",
        build.args(["build", "--quiet", "--package", "server"]),
    )?;
    if process::is_root() {
        stack::ensure("debug")?;
    } else {
        out::say("not root: tests that start dynos will say what they skipped");
    }
    let mut tests = process::cargo(&root);
    tests
        .args(["test", "--workspace", "--quiet", "--exclude", e2e::PACKAGE])
        .env("LANDFALL_SHIM", &shim);
    process::run(
        "unit and integration tests",
        tests.arg("--").args(arguments),
    )?;
    e2e::suite(arguments)?;
    out::say(format_args!("all passed in {:.0} s", watch.seconds()));
    Ok(())
}
