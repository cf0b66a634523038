//! `xtask bench build-neighbour [--seconds N] [--rounds N]`: what a live app's requests cost beside
//! a build that burns processor time, memory, disk and processes up to its limits.
//!
//! As `noise`: quiet windows and windows beside the build take turns. `figure
//! build_neighbour_p99_rise` says by how many percent the p99 through the router rises.

use std::{
    fs,
    process::{Child, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};

use super::{ROUTER, Stage, Way, load::Load, parse, prefer_this_thread, quantiles, tell};
use crate::{
    bench::samples::{figure, keep},
    out,
    platform::Platform,
    push::{Repository, Sample},
    workspace,
};

const APP: &str = "bench-burning";
const SAMPLE: Sample = Sample {
    folder: "python-hello",
    app: APP,
    title: "a build that burns",
};
/// For the build to get to its own code (the first one fetches a Python), and to end.
const LIMITS: (Duration, Duration) = (Duration::from_mins(5), Duration::from_millis(50));
/// Runs before the packages are installed, as a build of the app's own.
const HOOK: &str = "python3 burn.py\n";
/// Burns on every processor, holds what memory it may, has as many processes as it may, writes and
/// removes files without end.
const BURN: &str = r#"
import os, signal, time
def other(work):
    if os.fork() == 0:
        work()
        os._exit(0)
def spin():
    while True:
        pass
def write():
    number = 0
    while True:
        number = (number + 1) % 8
        with open(f"/app/burn{number}", "wb") as file:
            for _ in range(128):
                file.write(b"x" * (1 << 20))
            os.fsync(file.fileno())
for _ in range(2 * os.cpu_count()):
    other(spin)
other(write)
try:
    while True:
        other(signal.pause)
except BlockingIOError:
    pass
# Afterwards: each process would get page tables for all of it.
held = bytearray(1900 << 20)
for at in range(0, len(held), 4096):
    held[at] = 1
print("burning", flush=True)
while True:
    for at in range(0, len(held), 4096):
        held[at] ^= 1
"#;

/// Runs it.
pub(crate) fn run(profile: &str, arguments: &[String]) -> Result<()> {
    let asked = parse(arguments)?;
    let stage = Stage::set(profile)?;
    let platform = stage.platform();
    let directory = workspace::target().join("bench").join("build-neighbour");
    let repository = Repository::make(&SAMPLE, &directory)?;
    fs::create_dir_all(directory.join("bin"))?;
    repository.write("bin/pre_compile", HOOK)?;
    repository.write("burn.py", BURN)?;
    platform.ready.ensure_app(APP)?;
    // Once without measuring: it leaves the layers below the app's own code.
    drop(Burning::start(platform, &repository, "warm")?);
    let targets = stage.targets()?;
    prefer_this_thread()?;
    let load = Load {
        rate: super::RATE,
        count: super::RATE * asked.seconds,
    };
    load.run(&targets)?;
    let mut ways: Vec<Way> = targets.iter().map(Way::of).collect();
    for round in 0..asked.rounds {
        out::step(format_args!("round {}", round + 1));
        stage.settle()?;
        for (way, seconds) in ways.iter_mut().zip(load.run(&targets)?) {
            way.quiet.push(quantiles(seconds));
        }
        let burning = Burning::start(platform, &repository, &round.to_string())?;
        let measured = load.run(&targets)?;
        drop(burning);
        for (way, seconds) in ways.iter_mut().zip(measured) {
            way.noisy.push(quantiles(seconds));
        }
    }
    tell("build", &ways);
    let router = ways.iter().find(|way| way.name == ROUTER);
    let router = router.context("the router was asked")?;
    figure(
        "build_neighbour_p99_rise",
        (router.ratio() - 1.0) * 100.0,
        "%",
    );
    let raw: Vec<_> = ways.iter().map(|way| way.raw("build")).collect();
    keep("build-neighbour", &raw.into())
}

/// A build at its worst; cancelled when dropped.
struct Burning<'a> {
    platform: &'a Platform,
    push: Child,
    build: String,
}

impl<'a> Burning<'a> {
    /// Pushes, and waits until the app's own code has reached all its limits.
    fn start(platform: &'a Platform, repository: &Repository, message: &str) -> Result<Self> {
        repository.commit(message)?;
        let mut push = repository.push_command(&format!("{}/{APP}.git", platform.ready.git_url));
        Repository::sign_in(&mut push, &platform.ready);
        let push = push.stdout(Stdio::null()).stderr(Stdio::null());
        let push = push.spawn().context("could not start git")?;
        let mut burning = Self {
            platform,
            push,
            build: String::new(),
        };
        burning.build = out::wait_until("the build to burn", LIMITS, || {
            let builds = platform
                .ready
                .call("GET", &format!("/apps/{APP}/builds"), None)?;
            let mut builds = builds.as_array().into_iter().flatten();
            let pending = builds.find(|build| build["status"] == "pending");
            let id = pending.and_then(|build| build["id"].as_str());
            Ok(id.map(str::to_owned).filter(|id| burns(platform, id)))
        })?;
        Ok(burning)
    }

    fn cancel(&mut self) -> Result<()> {
        let path = format!("/apps/{APP}/builds/{}", self.build);
        self.platform.ready.call("DELETE", &path, None)?;
        self.push.wait().context("could not wait for git")?;
        Ok(())
    }
}

fn burns(platform: &Platform, build: &str) -> bool {
    let output = platform.data().join("outputs").join(format!("{build}.txt"));
    fs::read_to_string(output).is_ok_and(|text| text.contains("       burning\n"))
}

impl Drop for Burning<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.cancel() {
            out::say(format_args!("could not end the build: {error:#}"));
        }
    }
}
