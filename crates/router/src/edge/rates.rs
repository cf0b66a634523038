//! How many requests are taken: a steady rate and a burst above it, by the generic cell rate
//! algorithm (ITU-T I.371). Each client is one number, the time at which it would be at rest.
//!
//! Time is milliseconds since the router started; counts are in microseconds, so that high rates
//! are kept exactly enough.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use api::edge::RateLimit;

/// Clients that are remembered at once; of more, those at rest are forgotten, and if none is, new
/// ones are let in uncounted rather than kept out.
const CLIENTS: usize = 65_536;
const MICROS_PER_MINUTE: u64 = 60_000_000;

/// A rate in the algorithm's terms.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// What one request uses up.
    interval_micros: u64,
    /// How far ahead of rest a client may be.
    tolerance_micros: u64,
}

/// The rate of an app as a whole.
#[derive(Debug)]
pub(super) struct AppRate {
    pace: Pace,
    at_rest: AtomicU64,
}

/// The rate of each client.
#[derive(Debug)]
pub(super) struct ClientRates {
    pace: Pace,
    at_rest: Mutex<HashMap<IpAddr, u64>>,
}

impl Pace {
    fn new(limit: RateLimit) -> Self {
        let per_minute = u64::from(limit.per_minute.max(1));
        let burst = limit.burst.map_or(per_minute / 6, u64::from).max(1);
        let interval_micros = MICROS_PER_MINUTE / per_minute;
        Self {
            interval_micros,
            tolerance_micros: interval_micros * (burst - 1),
        }
    }

    /// When the client is at rest after one more request; or how long it has to wait for that.
    fn next(self, at_rest: u64, now: u64) -> Result<u64, Duration> {
        let at_rest = at_rest.max(now);
        let ahead = at_rest - now;
        if ahead > self.tolerance_micros {
            let wait = (ahead - self.tolerance_micros).div_ceil(1_000_000);
            return Err(Duration::from_secs(wait));
        }
        Ok(at_rest + self.interval_micros)
    }
}

impl AppRate {
    pub(super) fn new(limit: RateLimit) -> Self {
        Self {
            pace: Pace::new(limit),
            at_rest: AtomicU64::new(0),
        }
    }

    /// Takes a request, or says how long to wait, in whole seconds.
    pub(super) fn take(&self, now_ms: u64) -> Result<(), Duration> {
        let now = now_ms.saturating_mul(1000);
        let mut wait = Duration::ZERO;
        self.at_rest
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |at_rest| {
                self.pace
                    .next(at_rest, now)
                    .inspect_err(|too_early| wait = *too_early)
                    .ok()
            })
            .map(drop)
            .map_err(|_| wait)
    }
}

impl ClientRates {
    pub(super) fn new(limit: RateLimit) -> Self {
        Self {
            pace: Pace::new(limit),
            at_rest: Mutex::default(),
        }
    }

    /// Takes a request of a client, or says how long to wait, in whole seconds.
    pub(super) fn take(&self, client: IpAddr, now_ms: u64) -> Result<(), Duration> {
        let now = now_ms.saturating_mul(1000);
        let client = network(client);
        let mut all = self.at_rest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at_rest) = all.get_mut(&client) {
            *at_rest = self.pace.next(*at_rest, now)?;
            return Ok(());
        }
        if all.len() >= CLIENTS {
            all.retain(|_, at_rest| *at_rest > now);
        }
        if all.len() < CLIENTS {
            all.insert(client, self.pace.next(0, now)?);
        }
        Ok(())
    }
}

/// Whoever has one IPv6 address has 2^64 of them.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(per_minute: u32, burst: u32) -> RateLimit {
        RateLimit {
            per_minute,
            burst: Some(burst),
        }
    }

    #[test]
    fn a_burst_passes_and_then_the_steady_rate() {
        let rate = AppRate::new(limit(60, 3));
        let taken: Vec<bool> = [0, 0, 0, 0, 500, 999, 1000, 1000, 2000, 60_000]
            .iter()
            .map(|now_ms| rate.take(*now_ms).is_ok())
            .collect();
        assert_eq!(
            taken,
            [
                true, true, true, false, false, false, true, false, true, true
            ]
        );
        let rate = AppRate::new(limit(6, 1));
        rate.take(0).unwrap();
        assert_eq!(rate.take(2_500), Err(Duration::from_secs(8)));
    }

    #[test]
    fn clients_are_counted_apart_and_ipv6_by_network() {
        let rates = ClientRates::new(limit(1, 1));
        let take = |client: &str, now_ms| rates.take(client.parse().unwrap(), now_ms).is_ok();
        assert!(take("192.0.2.1", 0));
        assert!(!take("192.0.2.1", 10));
        assert!(!take("::ffff:192.0.2.1", 10));
        assert!(take("192.0.2.2", 10));
        assert!(take("2001:db8::1", 10));
        assert!(!take("2001:db8::2", 10));
        assert!(take("2001:db8:0:1::2", 10));
        assert!(take("192.0.2.1", 60_000));
    }

    #[test]
    fn clients_at_rest_are_forgotten_when_there_are_too_many() {
        let rates = ClientRates::new(limit(60, 1));
        let take = |number: usize, now_ms| {
            rates
                .take(IpAddr::V4(u32::try_from(number).unwrap().into()), now_ms)
                .is_ok()
        };
        assert!((0..CLIENTS + 10).all(|number| take(number, 0)));
        assert_eq!(rates.at_rest.lock().unwrap().len(), CLIENTS);
        assert!(!take(0, 10), "a known one is counted");
        assert!(take(CLIENTS + 1, 10), "one too many is not");
        assert!(take(CLIENTS + 1, 5_000));
        assert_eq!(rates.at_rest.lock().unwrap().len(), 1);
    }
}
