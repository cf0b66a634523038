//! Sleep: `/apps/{app}/sleep`. Landfall's own, beside Heroku's resources.
//!
//! An app that has had no request for a while is frozen, later stopped; the next request wakes it.

use serde::{Deserialize, Serialize};

use crate::{clock::Time, references::AppReference, rfc3339};

/// When an app sleeps, whether it does, and what woke it last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sleep {
    /// Whose sleep.
    pub app: AppReference,
    /// Seconds without a request until it falls asleep; 0 is never, `null` as its size says.
    pub idle_seconds: Option<u64>,
    /// Seconds asleep until its dynos are stopped; 0 is never, `null` the default.
    pub stop_after_seconds: Option<u64>,
    /// What [`Sleep::idle_seconds`] comes to; `null` is never.
    pub effective_idle_seconds: Option<u64>,
    /// What [`Sleep::stop_after_seconds`] comes to; `null` is never.
    pub effective_stop_after_seconds: Option<u64>,
    /// How the app is.
    pub state: SleepState,
    /// Since when.
    #[serde(with = "rfc3339")]
    pub since: Time,
    /// Why it came to be so.
    pub cause: String,
    /// When it last woke.
    #[serde(with = "rfc3339::option")]
    pub woken_at: Option<Time>,
    /// What woke it then: `woken by GET /path request_id=…`.
    pub wake_cause: Option<String>,
}

/// How an app is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SleepState {
    /// Its dynos run.
    Awake,
    /// They run, and sleep as soon as no request is in flight.
    Resting,
    /// They sleep in memory: the next request wakes them in milliseconds.
    Frozen,
    /// They were stopped: the next request starts them.
    Stopped,
}

/// `PATCH /apps/{app}/sleep`: what is left out stays, `null` is the default again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SleepUpdate {
    /// [`Sleep::idle_seconds`]
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::null::present"
    )]
    pub idle_seconds: Option<Option<u64>>,
    /// [`Sleep::stop_after_seconds`]
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::null::present"
    )]
    pub stop_after_seconds: Option<Option<u64>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: SleepUpdate) {
        let update: SleepUpdate = serde_json::from_str(text).unwrap();
        assert_eq!(update, expected, "{text}");
        assert_eq!(serde_json::to_string(&update).unwrap(), text);
    }

    #[test]
    fn null_is_not_absent() {
        let idle_seconds = |idle_seconds| SleepUpdate {
            idle_seconds,
            ..SleepUpdate::default()
        };
        check("{}", SleepUpdate::default());
        check(r#"{"idle_seconds":null}"#, idle_seconds(Some(None)));
        check(r#"{"idle_seconds":60}"#, idle_seconds(Some(Some(60))));
    }
}
