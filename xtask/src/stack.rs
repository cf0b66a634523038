//! `xtask stack`: the root filesystem every dyno and build sees, made once per machine.

use std::{path::PathBuf, process::Command};

use anyhow::Result;

use crate::{host, out, process, workspace};

/// The stack's name.
pub(crate) const STACK: &str = "landfall-13";

/// `xtask stack`.
pub(crate) fn run(_: &[String]) -> Result<()> {
    host::prepare(host::Purpose::Run)?;
    let mut cargo = process::cargo(&workspace::root());
    process::run(
        "build landfall",
        cargo.args(["build", "--quiet", "--package", "server"]),
    )?;
    ensure("debug")
}

/// Builds the stack unless it is there.
pub(crate) fn ensure(profile: &str) -> Result<()> {
    if is_present() {
        return Ok(());
    }
    out::say(format_args!(
        "stack {STACK} is not on this machine yet; that takes a minute or so, once"
    ));
    let mut build = Command::new(workspace::landfall(profile));
    process::run(
        &format!("landfall stacks:build {STACK}"),
        build.args(["stacks:build", STACK]),
    )
}

/// Whether this machine has the stack.
pub(crate) fn is_present() -> bool {
    directory().join("usr/bin").is_dir()
}

/// Where the stack is or will be.
pub(crate) fn directory() -> PathBuf {
    let cache = process::variable("LANDFALL_CACHE")
        .map_or_else(|| PathBuf::from("/var/cache/landfall"), PathBuf::from);
    cache.join("stacks").join(STACK)
}
