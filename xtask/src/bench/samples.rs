//! Series of measured times, their figures and their files.

use std::{borrow::Borrow, fs};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::{out, workspace};

/// One measured thing: a name and its times in seconds.
pub(crate) struct Series {
    name: String,
    seconds: Vec<f64>,
}

impl Series {
    /// From times in seconds.
    pub(crate) fn new(name: impl Into<String>, seconds: Vec<f64>) -> Self {
        Self {
            name: name.into(),
            seconds,
        }
    }

    /// What was measured, without spaces.
    pub(crate) fn name(&self) -> String {
        self.name.replace(' ', "_")
    }

    /// The middle one; 0 without any.
    pub(crate) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The smallest value that a share of all (0 to 1) does not exceed.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.seconds.clone();
        sorted.sort_by(f64::total_cmp);
        let ranked = sorted.iter().enumerate().find(|(rank, _)| {
            // Ranks are far below 2^52.
            #[expect(clippy::cast_precision_loss, reason = "small counts")]
            let reached = (rank + 1) as f64 / sorted.len() as f64;
            reached >= share
        });
        ranked.map_or(0.0, |(_, seconds)| *seconds)
    }
}

/// `figure NAME VALUE UNIT`.
pub(crate) fn figure(name: &str, value: f64, unit: &str) {
    out::say(format_args!("figure {name} {value:.4} {unit}"));
}

/// Prints the table and the times, and writes the samples to `target/bench/NAME.json`.
pub(crate) fn report(bench: &str, series: &[impl Borrow<Series>]) -> Result<()> {
    let series: Vec<&Series> = series.iter().map(Borrow::borrow).collect();
    out::say(format_args!(
        "\n{:<34} {:>10} {:>10} {:>4}",
        bench, "median", "p90", "n"
    ));
    for one in &series {
        out::say(format_args!(
            "{:<34} {:>8.1}ms {:>8.1}ms {:>4}",
            one.name,
            one.median() * 1e3,
            one.quantile(0.9) * 1e3,
            one.seconds.len()
        ));
    }
    out::say("");
    for one in &series {
        let name = format!("{bench}.{}", one.name());
        figure(&name, one.median() * 1e3, "ms");
    }
    let raw: Vec<_> = series
        .iter()
        .map(|one| json!({"name": one.name, "seconds": one.seconds}))
        .collect();
    keep(bench, &raw.into())
}

/// Writes raw samples to `target/bench/NAME.json`.
pub(crate) fn keep(bench: &str, raw: &Value) -> Result<()> {
    let directory = workspace::target().join("bench");
    fs::create_dir_all(&directory)?;
    let file = directory.join(format!("{bench}.json"));
    fs::write(&file, serde_json::to_vec_pretty(raw)?)
        .with_context(|| format!("could not write {}", file.display()))
}

/// A ratio of two medians, where the second was measured.
pub(crate) fn ratio(name: &str, of: &Series, to: &Series) {
    if to.median() > 0.0 {
        figure(name, of.median() / to.median(), "x");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(seconds: &[f64], share: f64, expected: f64) {
        let series = Series::new("x", seconds.to_vec());
        assert!(
            (series.quantile(share) - expected).abs() < 1e-9,
            "{seconds:?} {share}"
        );
    }

    #[test]
    fn quantiles() {
        check(&[3.0, 1.0, 2.0], 0.5, 2.0);
        check(&[3.0, 1.0, 2.0], 0.9, 3.0);
        check(&[4.0], 0.5, 4.0);
        check(&[], 0.5, 0.0);
    }
}
