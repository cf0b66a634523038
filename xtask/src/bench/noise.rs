//! `xtask bench noise`: what a dyno's requests cost with a bad neighbour and without, in turns.
//!
//! `engine-local`'s example `noise` runs the dynos and measures; this makes figures of it.

use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::samples::{Series, figure};
use crate::{out, process, workspace};

/// Runs it.
pub(crate) fn run(profile: &str) -> Result<()> {
    let mut build = process::cargo(&workspace::root());
    build.args(["build", "--package", "engine-local", "--example", "noise"]);
    if profile == "release" {
        build.arg("--release");
    }
    process::run("build the example", &mut build)?;
    let directory = workspace::target().join(profile);
    let program = directory.join("examples").join("noise");
    // Whoever asks is elsewhere in the world: what a busy machine makes the asker itself wait for
    // the processor does not count, so it goes first, but none of what it starts.
    let mut command = if process::find("chrt").is_some() {
        let mut command = Command::new("chrt");
        command
            .args(["--reset-on-fork", "--fifo", "10"])
            .arg(program);
        command
    } else {
        out::say("chrt: not installed, so the client's own waits are counted");
        Command::new(program)
    };
    out::step("bad neighbours, one kind after the other");
    let printed = process::output(command.arg(directory.join("landfall-shim")))?;
    out::say(format_args!(
        "\n{:<10} {:>12} {:>12} {:>12} {:>12} {:>6}",
        "noise", "p50 quiet", "p50 noisy", "p99 quiet", "p99 noisy", "n"
    ));
    let mut ratios = Vec::new();
    for line in printed.lines() {
        let line: Value = serde_json::from_str(line).context("a line is no finding")?;
        ratios.push(row(&line)?);
    }
    out::say("");
    for (kind, ratio) in ratios {
        figure(&format!("noise_p99_{kind}_ratio"), ratio, "x");
    }
    Ok(())
}

/// Prints a kind's row; its name, and how much larger its p99 is than the quiet one.
fn row(line: &Value) -> Result<(String, f64)> {
    let kind = line["kind"].as_str().context("a finding has a kind")?;
    let series = |name: &str| {
        let seconds = line[name].as_array().context("a finding has times")?;
        let seconds: Vec<f64> = seconds.iter().filter_map(Value::as_f64).collect();
        anyhow::ensure!(!seconds.is_empty(), "{kind}: nothing was measured");
        Ok((seconds.len(), Series::new(name, seconds)))
    };
    let ((count, quiet), (_, noisy)) = (series("quiet")?, series("noisy")?);
    let (quiet_99, noisy_99) = (quiet.quantile(0.99), noisy.quantile(0.99));
    out::say(format_args!(
        "{kind:<10} {:>10.2}ms {:>10.2}ms {:>10.2}ms {:>10.2}ms {count:>6}",
        quiet.median() * 1e3,
        noisy.median() * 1e3,
        quiet_99 * 1e3,
        noisy_99 * 1e3,
    ));
    Ok((kind.to_owned(), noisy_99 / quiet_99))
}
