//! What a run counted: requests, failures, latencies.

use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::time::Instant;

/// Whether what happens now counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Warming,
    Counting,
    Over,
}

/// Shared by all connections of a run.
pub(crate) struct Tally {
    phase: Cell<Phase>,
    latencies_ns: RefCell<Vec<u64>>,
    failures: RefCell<Vec<String>>,
}

impl Tally {
    /// One that does not count yet.
    pub(crate) fn new() -> Self {
        Self {
            phase: Cell::new(Phase::Warming),
            latencies_ns: RefCell::default(),
            failures: RefCell::default(),
        }
    }

    /// From now on everything counts.
    pub(crate) fn begin(&self) {
        self.phase.set(Phase::Counting);
    }

    /// From now on nothing does.
    pub(crate) fn end(&self) {
        self.phase.set(Phase::Over);
    }

    /// Whether connections shall go on.
    pub(crate) fn goes_on(&self) -> bool {
        self.phase.get() != Phase::Over
    }

    /// A request that was due or sent at `since` has its whole answer.
    pub(crate) fn answered(&self, since: Instant) {
        if self.phase.get() == Phase::Counting {
            let nanoseconds = u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.latencies_ns.borrow_mut().push(nanoseconds);
        }
    }

    /// A request failed; failures count while warming, too.
    pub(crate) fn failed(&self, error: &anyhow::Error) {
        if self.goes_on() {
            self.failures.borrow_mut().push(format!("{error:#}"));
        }
    }

    /// How many requests were answered.
    pub(crate) fn answers(&self) -> usize {
        self.latencies_ns.borrow().len()
    }

    /// The whole as JSON; latencies in microseconds.
    pub(crate) fn report(&self, took: Duration, cpu_ns: u64) -> Value {
        let mut latencies = self.latencies_ns.borrow().clone();
        latencies.sort_unstable();
        let at = |thousandths: usize| {
            let rank = (latencies.len() * thousandths).div_ceil(1000).max(1) - 1;
            let nanoseconds = latencies.get(rank).copied().unwrap_or_default();
            Duration::from_nanos(nanoseconds).as_secs_f64() * 1e6
        };
        let failures = self.failures.borrow();
        json!({
            "requests": latencies.len(),
            "failures": failures.len(),
            "failure": failures.first(),
            "seconds": took.as_secs_f64(),
            "cpu_us": Duration::from_nanos(cpu_ns).as_secs_f64() * 1e6,
            "p50_us": at(500),
            "p99_us": at(990),
            "p999_us": at(999),
            "max_us": at(1000),
        })
    }
}
