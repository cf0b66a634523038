//! `xtask pushes`: two hundred pushes to fifty apps at once, by the test of `tests/e2e`.

use anyhow::{Result, bail};

use crate::{e2e, process};

/// The test, by a part of its name that no other has.
const TEST: &str = "many_pushes_to_many_apps";

/// Runs it.
pub(crate) fn run(_arguments: &[String]) -> Result<()> {
    if !process::is_root() {
        bail!("pushes: it starts dynos and needs root");
    }
    e2e::prepare()?;
    let mut tests = e2e::tests();
    tests
        .args(["--test", "strain", "--", TEST, "--nocapture"])
        .env("PUSHES_FULL", "1");
    process::run("pushes", &mut tests)
}
