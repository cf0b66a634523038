//! When an app last had a request. It is looked at seldom and written by every request, so writing
//! it must cost next to nothing.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::Instant;

/// Requests that follow one another closer than this are not told apart: most of them only read.
const STEP_MS: u64 = 50;

/// The time of an app's last request, shared by its backends.
#[derive(Debug)]
pub(crate) struct Activity {
    started: Instant,
    /// Milliseconds after `started`, plus one; 0 before the first request.
    last: AtomicU64,
}

impl Activity {
    pub(crate) fn new(started: Instant) -> Self {
        Self {
            started,
            last: AtomicU64::new(0),
        }
    }

    /// A request begins or ends.
    pub(super) fn touch(&self) {
        self.touch_at(millis(self.started.elapsed()));
    }

    /// The same for who knows the time, in milliseconds after the router's start.
    pub(super) fn touch_at(&self, now_ms: u64) {
        let last = self.last.load(Ordering::Relaxed);
        if now_ms >= last.saturating_add(STEP_MS) || last == 0 {
            self.last.store(now_ms + 1, Ordering::Relaxed);
        }
    }

    /// Milliseconds after the router's start; `None` before the first request.
    pub(crate) fn last_ms(&self) -> Option<u64> {
        self.last.load(Ordering::Relaxed).checked_sub(1)
    }
}

/// Whole milliseconds.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
