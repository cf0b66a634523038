//! When a dyno counts as ready, and when as dead: health checks, decided without making them.

use std::time::Duration;

use api::health_checks::{CheckKind, HealthCheck};
use engine::Probe;

/// Pause between two attempts, when the check does not say.
const STARTUP_INTERVAL: Duration = Duration::from_secs(2);
const INTERVAL: Duration = Duration::from_secs(10);
/// How long one attempt may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Failures in a row that count.
const STARTUP_ATTEMPTS: u32 = 30;
const ATTEMPTS: u32 = 3;

/// Which of a process type's checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Whether it is up.
    Startup,
    /// Whether it takes requests.
    Readiness,
    /// Whether it lives.
    Liveness,
}

impl Which {
    /// The word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Startup => "startup",
            Self::Readiness => "readiness",
            Self::Liveness => "liveness",
        }
    }
}

/// How often, how long, how many times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// From one attempt to the next.
    pub interval: Duration,
    /// For one attempt.
    pub timeout: Duration,
    /// Failures in a row that count.
    pub attempts: u32,
}

impl Pace {
    /// A check's own, with what it leaves out filled in.
    pub fn of(which: Which, check: &HealthCheck) -> Self {
        let seconds = |value: Option<u32>| value.map(|value| Duration::from_secs(value.into()));
        let (interval, attempts) = match which {
            Which::Startup => (STARTUP_INTERVAL, STARTUP_ATTEMPTS),
            Which::Readiness | Which::Liveness => (INTERVAL, ATTEMPTS),
        };
        Self {
            interval: seconds(check.interval_seconds).unwrap_or(interval),
            timeout: seconds(check.timeout_seconds).unwrap_or(TIMEOUT),
            attempts: check.attempts.unwrap_or(attempts),
        }
    }

    /// How long a dyno may take until a startup check passes.
    pub fn patience(&self) -> Duration {
        self.interval.saturating_mul(self.attempts)
    }
}

/// What one attempt found: passed, or why not.
pub type Finding = Result<(), String>;

/// Judges a dyno's answer by an http or tcp check.
pub fn judge(check: &HealthCheck, probe: &Probe) -> Finding {
    let path = check.path.as_deref().unwrap_or("/");
    match (check.kind, probe) {
        (_, Probe::Refused) => Err("connection refused".to_owned()),
        (CheckKind::Tcp | CheckKind::Command, _) => Ok(()),
        (CheckKind::Http, Probe::Silent) => Err(format!("GET {path} was not answered in time")),
        (CheckKind::Http, Probe::Answered { status: None }) => {
            Err(format!("GET {path} got an answer that is not HTTP"))
        }
        (
            CheckKind::Http,
            Probe::Answered {
                status: Some(status),
            },
        ) => {
            let passes = match check.status {
                Some(expected) => *status == expected,
                None => (200..400).contains(status),
            };
            if passes {
                Ok(())
            } else {
                Err(format!("GET {path} answered with status {status}"))
            }
        }
    }
}

/// How a check of a dyno stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Failures in a row.
    pub failures: u32,
    /// Whether as many as it takes have failed.
    pub has_failed: bool,
}

/// What an attempt changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing that counts.
    Same,
    /// It has failed often enough.
    Failed,
    /// It passes again.
    Recovered,
}

/// The standing after one more attempt. One that passes is enough to recover.
pub fn after(standing: Standing, attempts: u32, finding: &Finding) -> (Standing, Change) {
    if finding.is_ok() {
        let change = if standing.has_failed {
            Change::Recovered
        } else {
            Change::Same
        };
        return (Standing::default(), change);
    }
    let failures = standing.failures.saturating_add(1);
    let has_failed = failures >= attempts.max(1);
    let change = if has_failed && !standing.has_failed {
        Change::Failed
    } else {
        Change::Same
    };
    let standing = Standing {
        failures,
        has_failed,
    };
    (standing, change)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(status: Option<u16>) -> HealthCheck {
        HealthCheck {
            kind: CheckKind::Http,
            path: Some("/health".to_owned()),
            status,
            headers: std::collections::BTreeMap::new(),
            port: None,
            command: Vec::new(),
            interval_seconds: None,
            timeout_seconds: None,
            attempts: None,
        }
    }

    fn answered(status: u16) -> Probe {
        Probe::Answered {
            status: Some(status),
        }
    }

    #[test]
    fn answers_are_judged_by_their_status() {
        for (status, probe, passes) in [
            (None, answered(200), true),
            (None, answered(302), true),
            (None, answered(404), false),
            (None, answered(500), false),
            (Some(204), answered(204), true),
            (Some(204), answered(200), false),
            (None, Probe::Silent, false),
            (None, Probe::Refused, false),
            (None, Probe::Answered { status: None }, false),
        ] {
            assert_eq!(judge(&http(status), &probe).is_ok(), passes, "{probe:?}");
        }
        let tcp = HealthCheck {
            kind: CheckKind::Tcp,
            ..http(None)
        };
        assert!(judge(&tcp, &Probe::Silent).is_ok());
        assert!(judge(&tcp, &Probe::Refused).is_err());
        let said = judge(&http(None), &answered(503)).unwrap_err();
        assert_eq!(said, "GET /health answered with status 503");
    }

    #[test]
    fn it_takes_some_failures_in_a_row_to_fail_and_one_pass_to_recover() {
        let fail = || Err("no".to_owned());
        let story = [
            (fail(), Change::Same),
            (fail(), Change::Same),
            (Ok(()), Change::Same),
            (fail(), Change::Same),
            (fail(), Change::Same),
            (fail(), Change::Failed),
            (fail(), Change::Same),
            (Ok(()), Change::Recovered),
            (Ok(()), Change::Same),
        ];
        let mut standing = Standing::default();
        for (index, (finding, expected)) in story.into_iter().enumerate() {
            let (next, change) = after(standing, 3, &finding);
            assert_eq!(change, expected, "attempt {index}");
            standing = next;
        }
    }

    #[test]
    fn what_a_check_leaves_out_is_filled_in() {
        let pace = Pace::of(Which::Startup, &http(None));
        assert_eq!(pace.patience(), Duration::from_mins(1));
        let pace = Pace::of(Which::Liveness, &http(None));
        assert_eq!((pace.interval, pace.attempts), (INTERVAL, 3));
    }
}
