//! The dyno's log on its way to the spool: no more lines than the dyno may write.

use shim::spool::Writer;

use crate::{bucket::Bucket, sys};

/// How often it is told at most that lines were dropped.
const TELL_PAUSE_MS: i64 = 1_000;

/// See the module.
#[derive(Debug)]
pub(crate) struct Log {
    spool: Writer,
    bucket: Option<Bucket>,
    wall_micros: i64,
    steady_micros: i64,
    /// Whether the last line was dropped.
    is_flooded: bool,
    told: u64,
    tell_at_ms: i64,
}

impl Log {
    /// A log that keeps so many lines a second; all of them without a number.
    pub(crate) fn new(spool: Writer, lines_per_second: Option<u32>) -> Self {
        let steady_micros = sys::steady_micros();
        Self {
            spool,
            bucket: lines_per_second.map(|rate| Bucket::new(rate, steady_micros)),
            wall_micros: sys::wall_micros(),
            steady_micros,
            is_flooded: false,
            told: 0,
            tell_at_ms: 0,
        }
    }

    /// Looks what time it is, for the lines that follow.
    pub(crate) fn look_at_clock(&mut self) {
        self.wall_micros = sys::wall_micros();
        self.steady_micros = sys::steady_micros();
    }

    /// Takes a line.
    pub(crate) fn push(&mut self, stream: u8, text: &[u8]) {
        let now = self.steady_micros;
        self.is_flooded = self.bucket.as_mut().is_some_and(|bucket| !bucket.take(now));
        if self.is_flooded {
            self.spool.skip();
        } else {
            self.spool.push(self.wall_micros, stream, text);
        }
    }

    /// Writes what was kept. Returns whether there was anything.
    pub(crate) fn flush(&mut self) -> bool {
        self.spool.flush()
    }

    /// Whether more comes than is kept.
    pub(crate) fn is_flooded(&self) -> bool {
        self.is_flooded
    }

    /// The newest sequence number.
    pub(crate) fn last(&self) -> u64 {
        self.spool.last()
    }

    /// How many lines were not kept.
    pub(crate) fn dropped(&self) -> u64 {
        self.spool.dropped()
    }

    /// Whether it is time to tell that lines were dropped.
    pub(crate) fn tells(&mut self, now_ms: i64) -> bool {
        let tells = self.tell_at_ms().is_some_and(|at| at <= now_ms);
        if tells {
            self.told = self.dropped();
            self.tell_at_ms = now_ms + TELL_PAUSE_MS;
        }
        tells
    }

    /// When that will be, if there is anything to tell.
    pub(crate) fn tell_at_ms(&self) -> Option<i64> {
        (self.dropped() > self.told).then_some(self.tell_at_ms)
    }
}
