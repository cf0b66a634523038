//! Time as the platform tells it: one instant type, and a clock that tests can hold still.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// A moment, in microseconds since 1970-01-01T00:00:00Z. The database stores this number.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Time(i64);

impl Time {
    /// From microseconds since the epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// How long ago `earlier` was; zero if it is not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// This moment moved on by `duration`.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)),
        )
    }

    /// The moment `duration` before this one.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)),
        )
    }

    /// RFC 3339 in UTC with whole seconds, as the Platform API writes times: `2026-02-19T08:00:00Z`.
    pub fn to_rfc3339(self) -> String {
        self.format("%Y-%m-%dT%H:%M:%SZ")
    }

    /// As log lines write it: `2026-02-19T08:00:00.000000+00:00`.
    pub fn to_log_timestamp(self) -> String {
        format!(
            "{}.{:06}+00:00",
            self.format("%Y-%m-%dT%H:%M:%S"),
            self.0.rem_euclid(1_000_000)
        )
    }

    fn format(self, pattern: &str) -> String {
        let timestamp = jiff::Timestamp::from_second(self.0.div_euclid(1_000_000))
            .unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        timestamp.strftime(pattern).to_string()
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

/// Where a room learns what time it is. Cloning shares the clock.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Arc<AtomicI64>>);

impl Clock {
    /// The machine's clock.
    pub const fn system() -> Self {
        Self(None)
    }

    /// A clock that stands at `start` until [`Clock::advance`] moves it.
    pub fn simulated(start: Time) -> Self {
        Self(Some(Arc::new(AtomicI64::new(start.0))))
    }

    /// The present moment.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the Clock that everything else takes"
    )]
    pub fn now(&self) -> Time {
        if let Some(simulated) = &self.0 {
            return Time(simulated.load(Ordering::SeqCst));
        }
        let elapsed = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        Time(i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX))
    }

    /// Moves a simulated clock on; does nothing to the machine's.
    pub fn advance(&self, duration: Duration) {
        if let Some(simulated) = &self.0 {
            let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
            simulated.fetch_add(micros, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_heroku_writes_them() {
        let time = Time::from_micros(1_771_488_000_006_329);
        assert_eq!(time.to_rfc3339(), "2026-02-19T08:00:00Z");
        assert_eq!(time.to_log_timestamp(), "2026-02-19T08:00:00.006329+00:00");
    }

    #[test]
    fn a_simulated_clock_moves_only_when_told() {
        let clock = Clock::simulated(Time::from_micros(5));
        assert_eq!(clock.now(), Time::from_micros(5));
        clock.advance(Duration::from_secs(1));
        assert_eq!(
            clock.now().since(Time::from_micros(5)),
            Duration::from_secs(1)
        );
    }
}
