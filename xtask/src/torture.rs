//! `xtask torture`: the torture test of `tests/e2e` at full length.

use anyhow::{Context, Result, bail};

use crate::{e2e, process};

/// Kills, as many as the product promises to survive.
const KILLS: u64 = 1_000;
/// The test, by a part of its name that no other has.
const TEST: &str = "killing_anything_at_random";

/// `xtask torture [--kills N] [--seed S]`: the seed of an earlier run repeats its choices.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let (kills, seed) = parse(arguments)?;
    if !process::is_root() {
        bail!("torture: it starts dynos and needs root");
    }
    e2e::prepare()?;
    let mut tests = e2e::tests();
    tests
        .args(["--test", "strain", "--", TEST, "--nocapture"])
        .env("TORTURE_KILLS", kills.unwrap_or(KILLS).to_string());
    if let Some(seed) = seed {
        tests.env("TORTURE_SEED", seed.to_string());
    }
    process::run("torture", &mut tests)
}

fn parse(arguments: &[String]) -> Result<(Option<u64>, Option<u64>)> {
    let (mut kills, mut seed) = (None, None);
    let mut rest = arguments.iter();
    while let Some(flag) = rest.next() {
        let wanted = match flag.as_str() {
            "--kills" | "--rounds" => &mut kills,
            "--seed" => &mut seed,
            _ => bail!("torture: there are --kills and --seed, no `{flag}`"),
        };
        let value = rest
            .next()
            .with_context(|| format!("{flag} needs a number"))?;
        let number = value.parse();
        *wanted = Some(number.with_context(|| format!("{flag}: `{value}` is no number"))?);
    }
    Ok((kills, seed))
}
