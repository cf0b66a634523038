//! Where the time of a push goes: the phases that the platform records of each build.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{
    bench::samples::Series,
    out,
    platform::{Platform, Ready},
};

/// The last one is on record a moment after the app answers.
const LAST: &str = "switch";
const LIMITS: (Duration, Duration) = (Duration::from_secs(10), Duration::from_millis(20));

/// The phases of pushes of one kind: name and milliseconds of each push, in their order.
#[derive(Default)]
pub(super) struct Phases(Vec<(String, Vec<f64>)>);

impl Phases {
    /// Adds those of an app's build.
    pub(super) fn add(&mut self, platform: &Platform, app: &str, number: usize) -> Result<()> {
        let what = format!("the record of build {number}");
        let recorded = out::wait_until(&what, LIMITS, || record(&platform.ready, app, number))?;
        for (name, milliseconds) in recorded {
            match self.0.iter_mut().find(|(known, _)| *known == name) {
                Some((_, all)) => all.push(milliseconds),
                None => self.0.push((name, vec![milliseconds])),
            }
        }
        Ok(())
    }

    /// Their medians, a line each.
    pub(super) fn tell(self, title: &str) {
        out::say(format_args!("\n{title:<34} {:>10}", "median"));
        for (name, milliseconds) in self.0 {
            let median = Series::new(name.clone(), milliseconds).median();
            out::say(format_args!("{name:<34} {median:>8.1}ms"));
        }
    }
}

fn record(ready: &Ready, app: &str, number: usize) -> Result<Option<Vec<(String, f64)>>> {
    let record = ready.call("GET", &format!("/apps/{app}/builds/{number}/record"), None)?;
    let phases = record["phases"].as_array().context("a list of phases")?;
    let phase = |phase: &Value| {
        let milliseconds = phase["duration_us"].as_f64()? / 1e3;
        Some((phase["name"].as_str()?.to_owned(), milliseconds))
    };
    let phases: Vec<_> = phases.iter().filter_map(phase).collect();
    let is_whole = phases.iter().any(|(name, _)| name == LAST);
    Ok(is_whole.then_some(phases))
}
