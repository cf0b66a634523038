//! `xtask bench failures`: the test of `tests/e2e` that switches everything under load, at full length.
//!
//! It counts, so it runs on a debug build; it prints `figure router_failed_requests`.

use anyhow::{Result, bail};

use crate::{e2e, process};

/// The test, by a part of its name that no other has.
const TEST: &str = "no_request_fails_over_swaps";

/// `xtask bench failures`.
pub(super) fn run(_profile: &str, _arguments: &[String]) -> Result<()> {
    if !process::is_root() {
        bail!("failures: it starts dynos and needs root");
    }
    e2e::prepare()?;
    let mut tests = e2e::tests();
    tests
        .args(["--test", "strain", "--", TEST, "--nocapture"])
        .env("FAILURES_FULL", "1");
    process::run("failures", &mut tests)
}
