//! How many requests an account may make, and how often a password may be tried.
//!
//! A bucket per key that refills steadily; kept in memory, so a restart forgives.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use api::{clock::Time, rate_limits::RateLimit};
use axum::{Json, extract::State};
use platform::authorize::Action;

use super::{HttpState, error::Refusal, extract::By, route::Route};

/// Full buckets are forgotten when there are more than this.
const MOST_BUCKETS: usize = 10_000;

/// Buckets of one kind.
#[derive(Debug)]
pub struct RateLimits {
    capacity: f64,
    refill_per_second: f64,
    buckets: Mutex<HashMap<String, Bucket>>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: f64,
    at: Time,
}

impl RateLimits {
    /// At most `capacity` at once, all of it again after `seconds`.
    pub fn new(capacity: u32, seconds: u32) -> Self {
        let capacity = f64::from(capacity);
        Self {
            capacity,
            refill_per_second: capacity / f64::from(seconds.max(1)),
            buckets: Mutex::default(),
        }
    }

    /// Takes one, if it is counted, and says how many are left.
    ///
    /// # Errors
    /// `RateLimited` when none is.
    pub(super) fn take(&self, key: &str, now: Time, is_counted: bool) -> Result<u32, Refusal> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() > MOST_BUCKETS {
            buckets.retain(|_, bucket| self.filled(*bucket, now) < self.capacity);
        }
        let bucket = buckets
            .get(key)
            .map_or(self.capacity, |bucket| self.filled(*bucket, now));
        if is_counted && bucket < 1.0 {
            return Err(Refusal::RateLimited);
        }
        let left = if is_counted { bucket - 1.0 } else { bucket };
        buckets.insert(key.to_owned(), Bucket { left, at: now });
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between zero and a u32"
        )]
        Ok(left as u32)
    }

    fn filled(&self, bucket: Bucket, now: Time) -> f64 {
        let refilled = now.since(bucket.at).as_secs_f64() * self.refill_per_second;
        (bucket.left + refilled).min(self.capacity)
    }
}

pub(super) fn routes() -> Vec<Route> {
    vec![Route::get(
        "/account/rate-limits",
        Action::ReadRateLimit,
        show,
    )]
}

async fn show(State(state): State<HttpState>, By(caller): By) -> Result<Json<RateLimit>, Refusal> {
    let key = caller.account.to_string();
    let remaining = state.requests.take(&key, state.platform.now(), false)?;
    Ok(Json(RateLimit { remaining }))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_bucket_empties_and_refills() {
        let limits = RateLimits::new(2, 20);
        let now = Time::default();
        assert_eq!(limits.take("a", now, true).unwrap(), 1);
        assert_eq!(limits.take("a", now, true).unwrap(), 0);
        assert!(limits.take("a", now, true).is_err());
        assert_eq!(limits.take("a", now, false).unwrap(), 0);
        assert_eq!(limits.take("b", now, true).unwrap(), 1);
        assert_eq!(
            limits
                .take("a", now.after(Duration::from_secs(10)), true)
                .unwrap(),
            0
        );
    }
}
