//! `xtask bench router [ROW…] [--rounds N]`: what a request costs the router, against nginx,
//! HAProxy and Caddy; and what many connections, routes and slow clients do to it.
//!
//! All run at once with one thread each and the same features; within a row they take turns in
//! shuffled order, and every ratio is of samples of one round. The programs around them are the
//! example `bench` of `crates/router`. Read [`rows::ROWS`] first, then [`scale::SCALES`].

mod configs;
mod correct;
mod programs;
mod proxies;
mod rows;
mod samples;
mod scale;

use std::fs;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use self::{
    programs::Programs,
    proxies::Proxy,
    rows::{ROWS, Row},
    samples::{Sample, Samples},
    scale::{SCALES, Scale},
};
use super::samples::keep;
use crate::{out, process, workspace};

/// Rounds in each of which every proxy is measured once.
const ROUNDS: usize = 5;
/// Above this, other work of the machine is in the figures.
const QUIET_LOAD: f64 = 1.0;

/// What was asked for.
struct Choice {
    rows: Vec<&'static Row>,
    scales: Vec<&'static Scale>,
    rounds: usize,
}

/// Runs it.
pub(crate) fn run(profile: &str, arguments: &[String]) -> Result<()> {
    let choice = Choice::of(arguments)?;
    let programs = Programs::build(profile)?;
    tell_load()?;
    let app = programs.start_app()?;
    let proxies = proxies::start_all(&programs, app.port)?;
    for proxy in &proxies {
        correct::check(&programs, proxy)?;
    }
    out::say("all pass what they have to do alike");
    let mut raw = Vec::new();
    let mut measured = Vec::new();
    let mut random = Random::new();
    for row in choice.rows {
        let samples = measure(&programs, &proxies, row, choice.rounds, &mut random)?;
        samples.tell(row);
        raw.push(json!({"row": row.name, "samples": samples.raw()}));
        measured.push((row, samples));
    }
    for scale in choice.scales {
        out::step(format_args!("{}: {}", scale.name, scale.about));
        let samples = (scale.run)(&programs, &proxies, app.port)?;
        raw.push(json!({"row": scale.name, "samples": samples}));
    }
    tell_load()?;
    out::say("");
    for (row, samples) in &measured {
        samples.tell_figures(row);
    }
    for (row, samples) in &measured {
        if samples.misses(row) {
            tell_profile(&programs, &proxies, row);
        }
    }
    keep("router", &Value::from(raw))
}

impl Choice {
    fn of(arguments: &[String]) -> Result<Self> {
        let mut choice = Self {
            rows: Vec::new(),
            scales: Vec::new(),
            rounds: ROUNDS,
        };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--rounds" => {
                    choice.rounds = words.next().context("--rounds needs a number")?.parse()?;
                }
                "--debug" => {}
                name => choice.add(name)?,
            }
        }
        if choice.rows.is_empty() && choice.scales.is_empty() {
            choice.rows = ROWS.iter().collect();
            choice.scales = SCALES.iter().collect();
        }
        Ok(choice)
    }

    fn add(&mut self, name: &str) -> Result<()> {
        let row = ROWS.iter().find(|row| row.name == name);
        let scale = SCALES.iter().find(|scale| scale.name == name);
        if row.is_none() && scale.is_none() {
            bail!("there is no row `{name}`\n  hint: {}", names());
        }
        self.rows.extend(row);
        self.scales.extend(scale);
        Ok(())
    }
}

fn names() -> String {
    let rows = ROWS.iter().map(|row| row.name);
    let names: Vec<&str> = rows.chain(SCALES.iter().map(|scale| scale.name)).collect();
    format!("rows are {}", names.join(", "))
}

fn measure(
    programs: &Programs,
    proxies: &[Proxy],
    row: &Row,
    rounds: usize,
    random: &mut Random,
) -> Result<Samples> {
    out::step(format_args!("{}: {}", row.name, row.about));
    let mut samples = Samples::default();
    for round in 0..rounds {
        let mut order: Vec<&Proxy> = proxies.iter().collect();
        random.shuffle(&mut order);
        for proxy in order {
            let answer = programs.ask(&row.load(proxy))?;
            samples.add(round, proxy.name, Sample::of(&answer)?);
        }
    }
    proxies.iter().for_each(Proxy::forget_log);
    Ok(samples)
}

fn tell_load() -> Result<()> {
    let text = fs::read_to_string("/proc/loadavg")?;
    let load = text.split(' ').next().unwrap_or_default();
    let is_busy = load.parse::<f64>()? > QUIET_LOAD;
    let verdict = if is_busy {
        ": the machine is busy, read the ratios and not the times"
    } else {
        ""
    };
    out::say(format_args!("load average {load}{verdict}"));
    Ok(())
}

/// Where the router's time goes in a row that missed its target, if `perf` is there to say.
fn tell_profile(programs: &Programs, proxies: &[Proxy], row: &Row) {
    let Some(router) = proxies.iter().find(|proxy| proxy.name == proxies::OURS) else {
        return;
    };
    let Some(perf) = process::find("perf") else {
        out::say(format_args!("{}: no `perf` here to say why", row.name));
        return;
    };
    out::say(format_args!(
        "\n{} missed its target; the router's time goes to:",
        row.name
    ));
    match programs.profile(&perf, router, &row.load(router)) {
        Ok(lines) => out::say(lines),
        Err(error) => out::say(format_args!("perf could not say: {error:#}")),
    }
}

/// Order of the proxies: different each time, nothing hangs on how random it is.
struct Random(u64);

impl Random {
    fn new() -> Self {
        Self(u64::from(std::process::id()) << 17 | 0x5bd1)
    }

    fn shuffle<T>(&mut self, list: &mut [T]) {
        for index in (1..list.len()).rev() {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            let among = index as u64 + 1;
            list.swap(index, usize::try_from(self.0 % among).unwrap_or(0));
        }
    }
}

/// Where the bench keeps configurations and logs.
fn directory() -> std::path::PathBuf {
    workspace::target().join("bench").join("router")
}
