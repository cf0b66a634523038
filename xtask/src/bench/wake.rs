//! `xtask bench wake`: the first request of a sleeping app, through the real platform, against a
//! request of an app that never slept, and against the bare start of its program.
//!
//! Awake and frozen take turns, so that whatever else the machine does hits both alike; each
//! request has a connection of its own. At the end a crowd comes to the sleeping app at once: it
//! must be woken once, and nobody may get an error, or the benchmark fails.

use std::{fs, path::Path, process::Command, thread, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::{
    deploy::bare_start,
    samples::{Series, figure, ratio, report},
};
use crate::{
    http,
    out::{self, Stopwatch},
    platform::{self, Platform},
    process,
    push::{self, Repository, Sample},
    workspace,
};

/// Rounds of an awake and a frozen request, and rounds before them.
const ROUNDS: usize = 40;
const WARM_UP: usize = 3;
/// Starts from being stopped, each with a bare start.
const STARTS: usize = 8;
/// Requests at once.
const CROWD: usize = 1_000;
/// Files that so many connections need.
const FILES: usize = 4 * CROWD;
/// A thread of the crowd only writes a line and reads one.
const STACK_BYTES: usize = 128 << 10;
/// For an app to fall asleep or wake.
const LIMITS: (Duration, Duration) = (Duration::from_secs(30), Duration::from_millis(5));
/// What the router logs of each wake.
const WAKE: &str = "woke a dyno";

const NEVER_ASLEEP: &str = "bench-awake";
const SLEEPER: &str = "bench-sleeper";
const SAMPLE: Sample = Sample {
    folder: "python-async",
    app: SLEEPER,
    title: "a small Python app",
};

/// Runs it.
pub(crate) fn run(profile: &str) -> Result<()> {
    let place = workspace::target().join("bench").join("wake");
    let bench = Bench {
        platform: Platform::start(profile, &place.join("platform"))?,
        log: platform::log_file(&place.join("platform")),
    };
    bench.push(&place)?;
    out::step(format_args!("{ROUNDS} rounds"));
    let [awake, frozen] = bench.freezes()?;
    out::step(format_args!("{STARTS} starts"));
    let [stopped, boot] = bench.stops()?;
    out::step(format_args!("{CROWD} requests at once"));
    let crowd = bench.crowd()?;
    let series = [awake, frozen, stopped, boot, crowd];
    report("wake", &series)?;
    for one in &series {
        let name = format!("wake.{}_p90", one.name());
        figure(&name, one.quantile(0.9) * 1e3, "ms");
    }
    let [awake, frozen, stopped, boot, _] = &series;
    ratio("wake_frozen_vs_awake", frozen, awake);
    ratio("wake_stopped_vs_boot", stopped, boot);
    Ok(())
}

struct Bench {
    platform: Platform,
    /// What server and router print.
    log: std::path::PathBuf,
}

impl Bench {
    fn push(&self, place: &Path) -> Result<()> {
        let repository = Repository::make(&SAMPLE, &place.join("repository"))?;
        for app in [NEVER_ASLEEP, SLEEPER] {
            self.platform.ready.ensure_app(app)?;
            repository.push(&self.platform.ready, app, false)?;
            push::wait_for_200(&self.platform.ready, app)?;
        }
        Ok(())
    }

    /// Requests to the app that never slept and to the one that was just frozen.
    fn freezes(&self) -> Result<[Series; 2]> {
        let (mut awake, mut frozen) = (Vec::new(), Vec::new());
        let before = self.wakes()?;
        for round in 0..WARM_UP + ROUNDS {
            self.put_to_sleep()?;
            let times = [self.ask(NEVER_ASLEEP)?, self.ask(SLEEPER)?];
            if round >= WARM_UP {
                awake.push(times[0]);
                frozen.push(times[1]);
            }
        }
        let wakes = self.wakes()? - before;
        ensure!(
            wakes == WARM_UP + ROUNDS,
            "{wakes} wakes in {} rounds",
            WARM_UP + ROUNDS
        );
        Ok([Series::new("awake", awake), Series::new("frozen", frozen)])
    }

    /// Requests to the app whose dynos were stopped, and its program's start without a platform.
    fn stops(&self) -> Result<[Series; 2]> {
        let (mut stopped, mut boot) = (Vec::new(), Vec::new());
        for _ in 0..STARTS {
            self.stop()?;
            stopped.push(self.ask(SLEEPER)?);
            self.await_state("awake")?;
            boot.push(bare_start(&self.platform, SLEEPER)?);
        }
        Ok([
            Series::new("stopped", stopped),
            Series::new("bare boot", boot),
        ])
    }

    /// Many at once, to the frozen app and to the stopped one. The times are those of the frozen.
    fn crowd(&self) -> Result<Series> {
        self.put_to_sleep()?;
        let before = self.wakes()?;
        let times = self.ask_at_once("frozen")?;
        let wakes = self.wakes()? - before;
        out::say(format_args!("wakes {wakes}"));
        ensure!(wakes == 1, "{CROWD} requests woke the app {wakes} times");
        self.stop()?;
        self.ask_at_once("stopped")?;
        Ok(Series::new(format!("each of {CROWD}"), times))
    }

    fn ask_at_once(&self, how: &str) -> Result<Vec<f64>> {
        allow_files()?;
        let (host, _) = self.platform.ready.url(SLEEPER);
        let address = &self.platform.ready.http_addr;
        let asked: Vec<Result<f64>> = thread::scope(|scope| {
            let ask = || time(address, &host);
            let threads: Vec<_> = (0..CROWD)
                .map(|_| {
                    thread::Builder::new()
                        .stack_size(STACK_BYTES)
                        .spawn_scoped(scope, ask)
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| {
                    let asked = thread?.join();
                    asked.unwrap_or_else(|_| bail!("a request panicked"))
                })
                .collect()
        });
        let (answers, errors): (Vec<_>, Vec<_>) = asked.into_iter().partition(Result::is_ok);
        out::say(format_args!(
            "{CROWD} requests to a {how} app: {} errors",
            errors.len()
        ));
        if let Some(Err(error)) = errors.into_iter().next() {
            return Err(error.context("a request to a sleeping app failed"));
        }
        answers.into_iter().collect()
    }

    fn ask(&self, app: &str) -> Result<f64> {
        let (host, _) = self.platform.ready.url(app);
        time(&self.platform.ready.http_addr, &host).with_context(|| app.to_owned())
    }

    fn put_to_sleep(&self) -> Result<()> {
        self.await_state("awake")?;
        let path = format!("/apps/{SLEEPER}/sleep/actions/now");
        let mut last = None;
        let asleep = out::wait_until("the app to fall asleep", LIMITS, || {
            // Not while a dyno of it starts or stops.
            match self.platform.ready.call("POST", &path, None) {
                Ok(sleep) => Ok((sleep["state"] == "frozen").then_some(())),
                Err(error) => {
                    last = Some(error);
                    Ok(None)
                }
            }
        });
        asleep.with_context(|| format!("{last:?}"))
    }

    fn stop(&self) -> Result<()> {
        self.put_to_sleep()?;
        self.stop_after(&json!(1))?;
        self.await_state("stopped")?;
        self.stop_after(&Value::Null)
    }

    fn stop_after(&self, seconds: &Value) -> Result<()> {
        let path = format!("/apps/{SLEEPER}/sleep");
        let body = json!({ "stop_after_seconds": seconds });
        self.platform
            .ready
            .call("PATCH", &path, Some(&body))
            .map(drop)
    }

    fn await_state(&self, state: &str) -> Result<()> {
        let path = format!("/apps/{SLEEPER}/sleep");
        out::wait_until(&format!("the app to be {state}"), LIMITS, || {
            let sleep = self.platform.ready.call("GET", &path, None)?;
            Ok((sleep["state"] == state).then_some(()))
        })
    }

    /// How often the router has woken a dyno.
    fn wakes(&self) -> Result<usize> {
        Ok(fs::read_to_string(&self.log)?.matches(WAKE).count())
    }
}

/// Seconds from connecting to the end of a 200.
fn time(address: &str, host: &str) -> Result<f64> {
    let watch = Stopwatch::start();
    let answer = http::get(address, host, "/")?;
    let seconds = watch.seconds();
    ensure!(
        answer.status == 200,
        "{} {}",
        answer.status,
        answer
            .body
            .lines()
            .find(|line| line.contains("Code "))
            .unwrap_or_default()
    );
    Ok(seconds)
}

/// A shell gives its programs 1,024 files unless it is told otherwise.
fn allow_files() -> Result<()> {
    let mut command = Command::new("prlimit");
    command
        .args(["--pid", &std::process::id().to_string()])
        .arg(format!("--nofile={FILES}"));
    process::output(&mut command).map(drop)
}
