//! `xtask bench NAME`: the table of benchmarks, and what they share.
//!
//! Each prints a table for people and, per figure, a line `figure NAME VALUE UNIT` for programs;
//! names stay stable, ratios have the unit `x`. Raw samples go to `target/bench/NAME.json`.

mod density;
mod deploy;
mod dyno_start;
mod failures;
mod noise;
mod router;
mod samples;
mod server;
mod wake;

pub(crate) use dyno_start::{DRIVE_CRUN, drive_crun};

use anyhow::{Result, bail};

use crate::{host, out, process, shim, stack, workspace};

struct Bench {
    name: &'static str,
    about: &'static str,
    run: Run,
}

enum Run {
    /// With the program, the shim and the stack built.
    Prepared(fn(profile: &str) -> Result<()>),
    /// The same, with what else was said.
    Told(fn(profile: &str, arguments: &[String]) -> Result<()>),
    /// By itself, with what else was said.
    Alone(fn(profile: &str, arguments: &[String]) -> Result<()>),
}

const BENCHES: &[Bench] = &[
    Bench {
        name: "build-neighbour",
        about: "how much a build at its limits raises a live app's p99 [--seconds N] [--rounds N]",
        run: Run::Told(noise::build::run),
    },
    Bench {
        name: "density",
        about: "what idle dynos weigh, 500 of them, and how long they take to start",
        run: Run::Prepared(density::run),
    },
    Bench {
        name: "deploy",
        about: "push to live, against a plain push and restart, and piku [--piku FILE] [--rounds N]",
        run: Run::Told(deploy::run),
    },
    Bench {
        name: "dyno-start",
        about: "dyno start to HTTP 200, against fork/exec, crun and docker run",
        run: Run::Prepared(dyno_start::run),
    },
    Bench {
        name: "failures",
        about: "requests that fail over swaps, deploys, upgrades and kills: none may",
        run: Run::Alone(failures::run),
    },
    Bench {
        name: "noise",
        about: "what a dyno's requests cost beside a bad neighbour [KIND] [--seconds N] [--rounds N]",
        run: Run::Told(noise::run),
    },
    Bench {
        name: "router",
        about: "a request through the router, against nginx, HAProxy and Caddy",
        run: Run::Alone(router::run),
    },
    Bench {
        name: "wake",
        about: "a sleeping app's first request, against one of an app that never slept",
        run: Run::Prepared(wake::run),
    },
];

/// `xtask bench [NAME] [--debug] [MORE…]`: of a debug build it is quick to see whether the benchmark works;
/// its figures say nothing.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let Some(name) = arguments.first() else {
        for bench in BENCHES {
            out::say(format_args!(
                "cargo xtask bench {:<15} {}",
                bench.name, bench.about
            ));
        }
        return Ok(());
    };
    match BENCHES.iter().find(|bench| bench.name == name) {
        Some(bench) => {
            let is_debug = arguments.iter().any(|argument| argument == "--debug");
            let profile = if is_debug { "debug" } else { "release" };
            match bench.run {
                Run::Prepared(run) => {
                    prepare(profile)?;
                    run(profile)
                }
                Run::Told(run) => {
                    prepare(profile)?;
                    run(profile, arguments.get(1..).unwrap_or_default())
                }
                Run::Alone(run) => run(profile, arguments.get(1..).unwrap_or_default()),
            }
        }
        None => bail!("there is no benchmark `{name}`\n  hint: `cargo xtask bench` lists them"),
    }
}

fn prepare(profile: &str) -> Result<()> {
    host::prepare(host::Purpose::Run)?;
    let mut build = process::cargo(&workspace::root());
    build.args(["build", "--package", "server", "--bin", "landfall"]);
    if profile == "release" {
        build.arg("--release");
    }
    process::run("build landfall", &mut build)?;
    shim::build(profile)?;
    stack::ensure(profile)
}
