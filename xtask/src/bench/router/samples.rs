//! Samples of one row, their table and their figures.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{
    proxies::{OURS, PEERS},
    rows::Row,
};
use crate::{bench::samples::figure, out};

/// The peer that targets are relative to.
const MEASURE: &str = "nginx";

/// One proxy in one round.
#[derive(Clone, Copy)]
pub(super) struct Sample {
    cpu_us: f64,
    rate: f64,
    p50_us: f64,
    p99_us: f64,
    p999_us: f64,
    failures: f64,
}

impl Sample {
    /// Of the load's answer.
    pub(super) fn of(answer: &Value) -> Result<Self> {
        let number = |name: &str| {
            let value = answer[name].as_f64();
            value.with_context(|| format!("the load says no {name}: {answer}"))
        };
        let requests = number("requests")?;
        let failures = number("failures")?;
        ensure!(requests > 0.0, "nothing was answered: {answer}");
        if failures > 0.0 {
            out::say(format_args!("failures: {answer}"));
        }
        Ok(Self {
            cpu_us: number("cpu_us")? / requests,
            rate: requests / number("seconds")?,
            p50_us: number("p50_us")?,
            p99_us: number("p99_us")?,
            p999_us: number("p999_us")?,
            failures,
        })
    }
}

/// Of a row: proxy → round → sample.
#[derive(Default)]
pub(super) struct Samples(BTreeMap<&'static str, BTreeMap<usize, Sample>>);

impl Samples {
    pub(super) fn add(&mut self, round: usize, proxy: &'static str, sample: Sample) {
        self.0.entry(proxy).or_default().insert(round, sample);
    }

    fn values(&self, proxy: &str, of: fn(&Sample) -> f64) -> Vec<f64> {
        let samples = self.0.get(proxy).into_iter().flat_map(BTreeMap::values);
        samples.map(of).collect()
    }

    /// Ours to a peer's, round by round.
    fn ratios(&self, peer: &str, of: fn(&Sample) -> f64) -> Vec<f64> {
        let (ours, theirs) = (self.values(OURS, of), self.values(peer, of));
        ours.iter()
            .zip(theirs)
            .map(|(our, their)| our / their)
            .collect()
    }

    /// Whether the row is above its target; not without the peer that it is relative to.
    pub(super) fn misses(&self, row: &Row) -> bool {
        let ratios = self.ratios(MEASURE, |sample| sample.cpu_us);
        !ratios.is_empty() && median(&ratios) > row.most
    }

    /// The table.
    pub(super) fn tell(&self, row: &Row) {
        out::say(format_args!(
            "\n{:<10} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>8}  × proxy (rounds)",
            row.name, "CPU µs", "least", "req/s", "p50 µs", "p99 µs", "p99.9 µs", "failed"
        ));
        for proxy in std::iter::once(&OURS).chain(PEERS) {
            let cpu = self.values(proxy, |sample| sample.cpu_us);
            if cpu.is_empty() {
                continue;
            }
            let middle = |of: fn(&Sample) -> f64| median(&self.values(proxy, of));
            out::say(format_args!(
                "{proxy:<10} {:>9.2} {:>9.2} {:>9.0} {:>9.0} {:>9.0} {:>9.0} {:>8}{}",
                median(&cpu),
                cpu.iter().copied().fold(f64::INFINITY, f64::min),
                middle(|sample| sample.rate),
                middle(|sample| sample.p50_us),
                middle(|sample| sample.p99_us),
                middle(|sample| sample.p999_us),
                self.values(proxy, |sample| sample.failures)
                    .iter()
                    .sum::<f64>(),
                self.comparison(proxy),
            ));
        }
        if self.misses(row) {
            out::say(format_args!(
                "missed: the target is {:.2}× {MEASURE}",
                row.most
            ));
        }
    }

    fn comparison(&self, proxy: &str) -> String {
        if proxy == OURS {
            return String::new();
        }
        let ratios = self.ratios(proxy, |sample| sample.cpu_us);
        format!("  {:.2} ({})", median(&ratios), spread(&ratios))
    }

    /// Lines for programs.
    pub(super) fn tell_figures(&self, row: &Row) {
        for peer in PEERS {
            let ratios = self.ratios(peer, |sample| sample.cpu_us);
            if ratios.is_empty() {
                continue;
            }
            figure(
                &format!("router_{}_vs_{peer}", row.name),
                median(&ratios),
                "x",
            );
            if row.is_paced {
                let of_99 = median(&self.ratios(peer, |sample| sample.p99_us));
                let of_999 = median(&self.ratios(peer, |sample| sample.p999_us));
                figure(&format!("router_p99_vs_{peer}"), of_99, "x");
                figure(&format!("router_p999_vs_{peer}"), of_999, "x");
            }
        }
    }

    /// For the file of raw samples.
    pub(super) fn raw(&self) -> Value {
        let proxies = self.0.iter().map(|(proxy, rounds)| {
            let rounds: Vec<Value> = rounds.values().map(raw).collect();
            ((*proxy).to_owned(), Value::from(rounds))
        });
        Value::Object(proxies.collect())
    }
}

fn raw(sample: &Sample) -> Value {
    json!({
        "cpu_us": sample.cpu_us,
        "rate": sample.rate,
        "p50_us": sample.p50_us,
        "p99_us": sample.p99_us,
        "p999_us": sample.p999_us,
        "failures": sample.failures,
    })
}

/// The middle one, or the mean of the two in the middle.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.get(middle), sorted.len() % 2) {
        (Some(one), 1) => *one,
        (Some(above), _) => {
            f64::midpoint(sorted.get(middle - 1).copied().unwrap_or(*above), *above)
        }
        (None, _) => 0.0,
    }
}

fn spread(values: &[f64]) -> String {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(0.0, f64::max);
    format!("{least:.2}–{most:.2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[f64], expected: f64) {
        assert!((median(values) - expected).abs() < 1e-9, "{values:?}");
    }

    #[test]
    fn medians() {
        check(&[3.0, 1.0, 2.0], 2.0);
        check(&[4.0, 1.0, 2.0, 3.0], 2.5);
        check(&[], 0.0);
    }

    #[test]
    fn ratios_are_of_one_round() {
        let mut samples = Samples::default();
        for (round, (our, their)) in [(1.0, 2.0), (30.0, 40.0), (1.0, 1.0)].iter().enumerate() {
            for (proxy, cpu_us) in [(OURS, our), (MEASURE, their)] {
                let answer = json!({
                    "requests": 1, "failures": 0, "seconds": 1, "cpu_us": cpu_us,
                    "p50_us": 1, "p99_us": 1, "p999_us": 1,
                });
                samples.add(round, proxy, Sample::of(&answer).unwrap());
            }
        }
        let ratios = samples.ratios(MEASURE, |sample| sample.cpu_us);
        check(&ratios, 0.75);
    }
}
