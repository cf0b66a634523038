//! Counters that one thread writes and others read.
//!
//! Adding is a load and a store, the same instructions as for a plain `Cell`, and no other thread
//! has to be asked for what was counted. It is right only because each is written by one thread.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::codes::Code;

/// Buckets of a [`Histogram`]: each holds twice as much time as the one before, the last the rest.
pub(crate) const BUCKETS: usize = 20;
/// The first bucket holds what took no longer than this.
pub(crate) const FIRST_BOUND_MICROS: u64 = 250;
/// 1xx to 5xx.
pub(crate) const CLASSES: usize = 5;

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

/// Durations by their size.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: [Count; BUCKETS],
    micros: Count,
}

/// One lane's counters of an app.
#[derive(Debug, Default)]
pub(crate) struct AppCells {
    /// Requests by the class of their status.
    pub(super) classes: [Count; CLASSES],
    pub(super) bytes_in: Count,
    pub(super) bytes_out: Count,
    /// Most apps are never in want of it.
    pub(super) trouble: OnceLock<Box<Trouble>>,
}

/// What happens to an app that is not well.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    pub(super) codes: [Count; Code::COUNT],
    /// How long requests waited for a dyno that could take them.
    pub(super) waits: Histogram,
}

/// One lane's counters of a dyno.
#[derive(Debug, Default)]
pub(crate) struct DynoCells {
    /// From the connection to the end of the response.
    pub(super) services: Histogram,
    pub(super) connections: OnceLock<Box<Connections>>,
}

/// What became of new connections to a dyno.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    pub(super) made: Histogram,
    pub(super) failed: Count,
}

/// What a histogram held when it was read, or several together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Distribution {
    /// How many durations each bucket holds; none twice.
    pub(crate) buckets: [u64; BUCKETS],
    /// All durations together.
    pub(crate) micros: u64,
}

impl Count {
    /// Only for the one thread that writes it.
    pub(crate) fn add(&self, number: u64) {
        let before = self.0.load(Ordering::Relaxed);
        self.0.store(before.wrapping_add(number), Ordering::Relaxed);
    }

    /// The same, for a number that goes down, too.
    pub(crate) fn subtract(&self, number: u64) {
        let before = self.0.load(Ordering::Relaxed);
        self.0
            .store(before.saturating_sub(number), Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Histogram {
    pub(super) fn observe(&self, duration: Duration) {
        let micros = micros(duration);
        if let Some(bucket) = self.buckets.get(bucket(micros)) {
            bucket.add(1);
        }
        self.micros.add(micros);
    }

    pub(super) fn read(&self) -> Distribution {
        Distribution {
            buckets: self.buckets.each_ref().map(Count::get),
            micros: self.micros.get(),
        }
    }
}

impl AppCells {
    pub(super) fn trouble(&self) -> &Trouble {
        self.trouble.get_or_init(Box::default)
    }
}

impl DynoCells {
    pub(super) fn connections(&self) -> &Connections {
        self.connections.get_or_init(Box::default)
    }
}

impl Distribution {
    pub(super) fn add(&mut self, other: &Self) {
        for (sum, more) in self.buckets.iter_mut().zip(other.buckets) {
            *sum += more;
        }
        self.micros += other.micros;
    }

    /// How many durations there are in all.
    pub(crate) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The longest duration of each bucket in microseconds, and how many were no longer; the last
    /// bucket, which has no end, is left out.
    pub(crate) fn cumulative(&self) -> impl Iterator<Item = (u64, u64)> {
        let bounds = (0..BUCKETS - 1).map(|place| FIRST_BOUND_MICROS << place);
        bounds.zip(self.buckets.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        }))
    }
}

/// Whole microseconds.
fn micros(duration: Duration) -> u64 {
    let seconds = duration.as_secs().saturating_mul(1_000_000);
    seconds.saturating_add(u64::from(duration.subsec_micros()))
}

/// The bucket that a duration belongs to: its bound is the first that is not shorter.
fn bucket(micros: u64) -> usize {
    let over = micros.saturating_sub(1) / FIRST_BOUND_MICROS;
    let place = u64::BITS - over.leading_zeros();
    (place as usize).min(BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_in_the_first_bucket_whose_bound_is_not_shorter() {
        for (micros, expected) in [
            (0, 0),
            (1, 0),
            (250, 0),
            (251, 1),
            (500, 1),
            (501, 2),
            (1000, 2),
            (1001, 3),
            (250 << 18, 18),
            ((250 << 18) + 1, 19),
            (u64::MAX, 19),
        ] {
            assert_eq!(bucket(micros), expected, "{micros} µs");
        }
    }

    #[test]
    fn a_histogram_adds_up() {
        let histogram = Histogram::default();
        for micros in [100, 250, 300, 4_000, 90_000_000] {
            histogram.observe(Duration::from_micros(micros));
        }
        let mut read = histogram.read();
        assert_eq!((read.count(), read.micros), (5, 90_004_650));
        let up_to = |read: &Distribution, bound: u64| {
            let mut all = read.cumulative();
            all.find(|(at, _)| *at == bound).map(|(_, count)| count)
        };
        assert_eq!(up_to(&read, 250), Some(2));
        assert_eq!(up_to(&read, 500), Some(3));
        assert_eq!(up_to(&read, 4_000), Some(4));
        assert_eq!(up_to(&read, 65_536_000), Some(4), "a minute and a half");
        let once = read;
        read.add(&once);
        assert_eq!((read.count(), up_to(&read, 250)), (10, Some(4)));
    }
}
