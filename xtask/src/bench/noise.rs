//! `xtask bench noise [KIND] [--seconds N] [--rounds N]`: what a dyno's requests cost with a bad
//! neighbour and without.
//!
//! The whole platform runs. Quiet and noisy windows take turns, several of each for every kind; in
//! all of them requests go out at a steady pace, whether earlier ones were answered or not, and
//! each is timed from when it was due. They go three ways: through the router to the dyno, to the
//! dyno directly, and to the same program outside of the platform, which shows what the machine
//! does to anybody. Figures are medians of the windows' p99.

pub(super) mod build;
mod load;
mod stage;

use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use self::{
    load::{Load, Target},
    stage::Stage,
};
use super::samples::{Series, figure, keep};
use crate::{out, process};

/// Programs of `tests/apps/bad-neighbours`.
const KINDS: [&str; 5] = ["forks", "memory", "disk", "logs", "sockets"];
/// Requests a second, each way: what two cores do beside.
const RATE: u32 = 250;
/// Length of a window: enough requests for a p99.
const SECONDS: u32 = 8;
/// Quiet and noisy windows of each kind.
const ROUNDS: usize = 4;
/// Of the client, above everything that runs here: whoever asks is elsewhere in the world, so
/// what this machine makes the client itself wait for a processor does not count.
const PRIORITY: &str = "10";

/// What was asked for.
struct Asked {
    kinds: Vec<&'static str>,
    seconds: u32,
    rounds: usize,
}

/// One way to ask: its name, and the p50 and p99 of each window.
struct Way {
    name: &'static str,
    quiet: Vec<[f64; 2]>,
    noisy: Vec<[f64; 2]>,
}

/// Runs it.
pub(crate) fn run(profile: &str, arguments: &[String]) -> Result<()> {
    let asked = parse(arguments)?;
    let stage = Stage::set(profile)?;
    let targets = stage.targets()?;
    prefer_this_thread()?;
    let load = Load {
        rate: RATE,
        count: RATE * asked.seconds,
    };
    // To warm up.
    load.run(&targets)?;
    let mut findings = Vec::new();
    for kind in &asked.kinds {
        out::step(format_args!("{kind}, {} rounds", asked.rounds));
        let ways = measure(&stage, &load, kind, (&targets, asked.rounds))?;
        tell(kind, &ways);
        findings.push((*kind, ways));
    }
    out::say("");
    for (kind, ways) in &findings {
        for way in ways {
            let name = if way.name == ROUTER { "" } else { way.name };
            let gap = if name.is_empty() { "" } else { "_" };
            figure(
                &format!("noise.{kind}_{name}{gap}p99_vs_quiet"),
                way.ratio(),
                "x",
            );
        }
    }
    let raw: Vec<Value> = findings
        .iter()
        .flat_map(|(kind, ways)| ways.iter().map(move |way| way.raw(kind)))
        .collect();
    keep("noise", &raw.into())
}

/// The way whose figures have no name of their own.
const ROUTER: &str = "router";

fn parse(arguments: &[String]) -> Result<Asked> {
    let mut asked = Asked {
        kinds: Vec::new(),
        seconds: SECONDS,
        rounds: ROUNDS,
    };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut number = || {
            let value = rest.next().and_then(|value| value.parse().ok());
            value
                .filter(|value| *value > 0)
                .with_context(|| format!("{argument} needs a number"))
        };
        match argument.as_str() {
            "--debug" => {}
            "--seconds" => asked.seconds = number()?,
            "--rounds" => asked.rounds = usize::try_from(number()?)?,
            name => match KINDS.iter().find(|kind| **kind == name) {
                Some(kind) => asked.kinds.push(kind),
                None => bail!(
                    "noise: there is no `{name}`\n  hint: there are {}, --seconds and --rounds",
                    KINDS.join(", ")
                ),
            },
        }
    }
    if asked.kinds.is_empty() {
        asked.kinds = KINDS.to_vec();
    }
    Ok(asked)
}

/// Puts this thread, and threads it starts from now on, before all others.
fn prefer_this_thread() -> Result<()> {
    if process::find("chrt").is_none() {
        out::say("chrt: not installed, so the client's own waits are counted");
        return Ok(());
    }
    let mut chrt = Command::new("chrt");
    chrt.args(["--fifo", "--pid", PRIORITY, &std::process::id().to_string()]);
    process::output(&mut chrt).map(drop)
}

fn measure(
    stage: &Stage,
    load: &Load,
    kind: &str,
    (targets, rounds): (&[Target], usize),
) -> Result<Vec<Way>> {
    let mut ways: Vec<Way> = targets.iter().map(Way::of).collect();
    for _ in 0..rounds {
        stage.settle()?;
        for (way, seconds) in ways.iter_mut().zip(load.run(targets)?) {
            way.quiet.push(quantiles(seconds));
        }
        let measured = stage.beside(kind, || load.run(targets))?;
        for (way, seconds) in ways.iter_mut().zip(measured) {
            way.noisy.push(quantiles(seconds));
        }
    }
    Ok(ways)
}

fn quantiles(seconds: Vec<f64>) -> [f64; 2] {
    let window = Series::new("window", seconds);
    [window.median(), window.quantile(0.99)]
}

impl Way {
    fn of(target: &Target) -> Self {
        Self {
            name: target.name,
            quiet: Vec::new(),
            noisy: Vec::new(),
        }
    }

    /// How much larger the p99 is with a bad neighbour.
    fn ratio(&self) -> f64 {
        middle(&self.noisy, 1) / middle(&self.quiet, 1)
    }

    fn raw(&self, kind: &str) -> Value {
        json!({"kind": kind, "way": self.name, "quiet": self.quiet, "noisy": self.noisy})
    }
}

/// The median over windows of their p50 (0) or p99 (1).
fn middle(windows: &[[f64; 2]], which: usize) -> f64 {
    let all = windows.iter().filter_map(|window| window.get(which));
    Series::new("windows", all.copied().collect()).median()
}

fn tell(kind: &str, ways: &[Way]) {
    out::say(format_args!(
        "{kind:<10} {:>12} {:>12} {:>12} {:>12} {:>8}",
        "p50 quiet", "p50 noisy", "p99 quiet", "p99 noisy", "p99"
    ));
    for way in ways {
        let [quiet, noisy] = [&way.quiet, &way.noisy].map(|windows| {
            let of = |which| middle(windows, which) * 1e3;
            [of(0), of(1)]
        });
        out::say(format_args!(
            "  {:<8} {:>10.2}ms {:>10.2}ms {:>10.2}ms {:>10.2}ms {:>7.2}x",
            way.name,
            quiet[0],
            noisy[0],
            quiet[1],
            noisy[1],
            way.ratio()
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(arguments: &[&str], expected: Option<(&[&str], u32, usize)>) {
        let arguments: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
        let asked = parse(&arguments).ok();
        let found = asked
            .as_ref()
            .map(|asked| (asked.kinds.as_slice(), asked.seconds, asked.rounds));
        assert_eq!(found, expected, "{arguments:?}");
    }

    #[test]
    fn what_is_measured_may_be_chosen() {
        check(&[], Some((&KINDS, SECONDS, ROUNDS)));
        check(
            &["disk", "--seconds", "3", "--rounds", "1"],
            Some((&["disk"], 3, 1)),
        );
        check(&["disk", "--seconds"], None);
        check(&["--rounds", "0"], None);
        check(&["dogs"], None);
    }

    #[test]
    fn a_figure_is_a_ratio_of_middle_windows() {
        let windows = |p99: [f64; 3]| p99.map(|p99| [0.1, p99]).to_vec();
        let way = Way {
            name: ROUTER,
            quiet: windows([2.0, 1.0, 9.0]),
            noisy: windows([3.0, 80.0, 1.0]),
        };
        assert!((way.ratio() - 1.5).abs() < 1e-9, "{}", way.ratio());
    }
}
