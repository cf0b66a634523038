//! How something is, decided from what the router sees of it. Pure; every threshold has its name.
//!
//! Read [`app`], then [`router`] and [`control_plane`].

use std::time::Duration;

use api::{clock::Time, status::Standing};

use super::words::{ago, clock_time};
use crate::wire::AppState;

/// Requests of this long ago and later are judged.
pub(super) const WINDOW: Duration = Duration::from_mins(2);
/// Fewer requests in the window are not judged by their share of failures.
pub(super) const FEWEST_REQUESTS: u64 = 20;
/// So many requests that no dyno answered, and none that one did, are enough to call an app down.
pub(super) const FEWEST_UNANSWERED: u64 = 3;
/// Failures among a hundred requests from which on something is degraded,
pub(super) const DEGRADED_PERCENT: u64 = 5;
/// and down.
pub(super) const DOWN_PERCENT: u64 = 50;
/// A web dyno that is on its way for longer than requests wait for it does not come.
pub(super) const BOOT_PATIENCE: Duration = Duration::from_mins(1);

/// Requests and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Those that a dyno should have answered.
    pub(crate) requests: u64,
    /// Those of them that failed: a status of 500 or more, or an H code that is not the client's
    /// fault.
    pub(crate) failed: u64,
    /// Those of them that no dyno took.
    pub(crate) unanswered: u64,
    /// Those of them that failed by the platform's fault: H99.
    pub(crate) by_platform: u64,
}

/// How something is, and the same in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) standing: Standing,
    pub(super) detail: String,
}

/// What is seen of an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AppSeen {
    /// What its routes say.
    pub(super) state: AppState,
    /// For how long they have said so, as far as the router knows.
    pub(super) lasted: Duration,
    /// Within [`WINDOW`].
    pub(super) counts: Counts,
}

/// What the router sees of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RouterSeen {
    /// It knows any routes.
    pub(super) has_routes: bool,
    pub(super) up_since: Time,
    /// Of all apps, within [`WINDOW`].
    pub(super) counts: Counts,
    /// The part of the window that it has been up for.
    pub(super) window: Duration,
}

/// What the router hears of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WordSeen {
    /// It heard of it lately enough.
    pub(super) is_fresh: bool,
    /// When it last did, be it before a restart.
    pub(super) last: Option<Time>,
    pub(super) up_since: Time,
}

impl Counts {
    /// These and those.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            failed: self.failed + other.failed,
            unanswered: self.unanswered + other.unanswered,
            by_platform: self.by_platform + other.by_platform,
        }
    }

    /// What came since `before`, counts that only rise.
    pub(crate) fn after(self, before: Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(before.requests),
            failed: self.failed.saturating_sub(before.failed),
            unanswered: self.unanswered.saturating_sub(before.unanswered),
            by_platform: self.by_platform.saturating_sub(before.by_platform),
        }
    }
}

/// Failures among a hundred requests, rounded down.
fn percent(failed: u64, requests: u64) -> u64 {
    failed.saturating_mul(100) / requests.max(1)
}

fn verdict(standing: Standing, detail: impl Into<String>) -> Verdict {
    Verdict {
        standing,
        detail: detail.into(),
    }
}

/// How an app is.
pub(super) fn app(seen: &AppSeen) -> Verdict {
    match seen.state {
        AppState::Serving => by_requests(seen.counts),
        AppState::Maintenance => verdict(Standing::Maintenance, "Its maintenance page is shown."),
        AppState::Asleep => verdict(Standing::Asleep, "The next request wakes it."),
        AppState::NoWebDynos => verdict(Standing::Down, "It has no web dynos."),
        AppState::Crashed => verdict(Standing::Down, "Its web dynos crashed."),
        AppState::Booting if seen.lasted >= BOOT_PATIENCE => {
            verdict(Standing::Down, "No web dyno answers.")
        }
        AppState::Booting => verdict(Standing::Degraded, "Its web dynos are starting."),
        AppState::Blank => verdict(Standing::Unknown, "Nothing has been deployed to it yet."),
    }
}

fn by_requests(counts: Counts) -> Verdict {
    let Counts {
        requests,
        failed,
        unanswered,
        by_platform: _,
    } = counts;
    let minutes = WINDOW.as_secs() / 60;
    if unanswered >= FEWEST_UNANSWERED && unanswered >= requests {
        return verdict(
            Standing::Down,
            format!("No web dyno answered any of {requests} requests in {minutes} minutes."),
        );
    }
    if requests < FEWEST_REQUESTS {
        return verdict(
            Standing::Operational,
            "Its web dynos take requests; too few came lately to judge by failures.",
        );
    }
    let share = percent(failed, requests);
    let standing = match share {
        DOWN_PERCENT.. => Standing::Down,
        DEGRADED_PERCENT.. => Standing::Degraded,
        _ => return verdict(Standing::Operational, "Its web dynos answer."),
    };
    let detail = format!("{share} % of {requests} requests in {minutes} minutes failed.");
    verdict(standing, detail)
}

/// How the router is.
pub(super) fn router(seen: &RouterSeen) -> Verdict {
    if !seen.has_routes {
        return verdict(
            Standing::Down,
            "It knows no routes yet: no app can be reached.",
        );
    }
    let Counts {
        requests,
        failed,
        unanswered: _,
        by_platform,
    } = seen.counts;
    let own_share = percent(by_platform, requests);
    if requests >= FEWEST_REQUESTS && own_share >= DEGRADED_PERCENT {
        let detail =
            format!("{own_share} % of {requests} requests failed by the platform's fault.");
        let standing = match own_share {
            DOWN_PERCENT.. => Standing::Down,
            _ => Standing::Degraded,
        };
        return verdict(standing, detail);
    }
    let seconds = seen.window.as_secs().max(1);
    let rate = requests_a_second(requests, seconds);
    let since = clock_time(seen.up_since);
    let failures = tenths_of_percent(failed, requests);
    verdict(
        Standing::Operational,
        format!("Up since {since}; {rate} requests a second, {failures} of them failed."),
    )
}

/// `0`, `0.4`, `12`.
fn requests_a_second(requests: u64, seconds: u64) -> String {
    let tenths = (requests.saturating_mul(10) + seconds / 2) / seconds;
    match tenths {
        0 => "0".to_owned(),
        1..100 => format!("{}.{}", tenths / 10, tenths % 10),
        _ => (tenths / 10).to_string(),
    }
}

/// `0.4 %`; `none`.
fn tenths_of_percent(failed: u64, requests: u64) -> String {
    if failed == 0 {
        return "none".to_owned();
    }
    let tenths = failed.saturating_mul(1000) / requests.max(1);
    if tenths == 0 {
        return "less than 0.1 %".to_owned();
    }
    format!("{}.{} %", tenths / 10, tenths % 10)
}

/// How the control plane is.
pub(super) fn control_plane(seen: &WordSeen, now: Time) -> Verdict {
    if seen.is_fresh {
        return verdict(
            Standing::Operational,
            "It speaks with the router: deploys, scaling and the API.",
        );
    }
    verdict(Standing::NoWord, no_word(seen, now))
}

/// Says since when nothing was heard.
fn no_word(seen: &WordSeen, now: Time) -> String {
    match seen.last {
        Some(last) => format!(
            "No word from the control plane since {} ({}).",
            clock_time(last),
            ago(now.since(last))
        ),
        None => format!(
            "No word from the control plane since the router started, {} ({}).",
            clock_time(seen.up_since),
            ago(now.since(seen.up_since))
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_micros(1_771_488_000_000_000);

    fn counts(requests: u64, failed: u64, unanswered: u64) -> Counts {
        Counts {
            requests,
            failed,
            unanswered,
            by_platform: 0,
        }
    }

    #[test]
    fn apps_by_what_their_routes_say() {
        let second = Duration::from_secs(1);
        for (state, lasted, expected) in [
            (AppState::Serving, second, Standing::Operational),
            (AppState::Maintenance, second, Standing::Maintenance),
            (AppState::Asleep, second, Standing::Asleep),
            (AppState::NoWebDynos, second, Standing::Down),
            (AppState::Crashed, second, Standing::Down),
            (AppState::Booting, second, Standing::Degraded),
            (AppState::Booting, BOOT_PATIENCE, Standing::Down),
            (AppState::Blank, second, Standing::Unknown),
        ] {
            let seen = AppSeen {
                state,
                lasted,
                counts: Counts::default(),
            };
            assert_eq!(app(&seen).standing, expected, "{state:?} for {lasted:?}");
        }
    }

    #[test]
    fn apps_by_their_requests() {
        for (counts, expected) in [
            (counts(0, 0, 0), Standing::Operational),
            // Too few to judge by a share, and each of them was answered.
            (counts(19, 19, 0), Standing::Operational),
            (counts(20, 1, 0), Standing::Degraded),
            (counts(21, 1, 0), Standing::Operational),
            (counts(20, 9, 0), Standing::Degraded),
            (counts(20, 10, 0), Standing::Down),
            // Nobody answers at all.
            (counts(2, 2, 2), Standing::Operational),
            (counts(3, 3, 3), Standing::Down),
            (counts(4, 3, 3), Standing::Operational),
        ] {
            let seen = AppSeen {
                state: AppState::Serving,
                lasted: Duration::ZERO,
                counts,
            };
            assert_eq!(app(&seen).standing, expected, "{counts:?}");
            // During maintenance nobody is judged by what fails.
            let seen = AppSeen {
                state: AppState::Maintenance,
                ..seen
            };
            assert_eq!(app(&seen).standing, Standing::Maintenance);
        }
    }

    #[test]
    fn the_router_by_its_own_failures_alone() {
        let check = |has_routes, counts, by_platform, expected: &str| {
            let seen = RouterSeen {
                has_routes,
                up_since: NOW,
                counts: Counts {
                    by_platform,
                    ..counts
                },
                window: Duration::from_secs(100),
            };
            let Verdict { standing, detail } = router(&seen);
            assert_eq!(format!("{standing}: {detail}"), expected);
        };
        let none = "It knows no routes yet: no app can be reached.";
        check(false, counts(0, 0, 0), 0, &format!("down: {none}"));
        let up = "operational: Up since 08:00 UTC on 19 February;";
        check(
            true,
            counts(0, 0, 0),
            0,
            &format!("{up} 0 requests a second, none of them failed."),
        );
        // An app's failures are not the router's.
        check(
            true,
            counts(40, 40, 0),
            0,
            &format!("{up} 0.4 requests a second, 100.0 % of them failed."),
        );
        check(
            true,
            counts(90_000, 9, 0),
            9,
            &format!("{up} 900 requests a second, less than 0.1 % of them failed."),
        );
        let fault = "of 20 requests failed by the platform's fault.";
        check(true, counts(20, 1, 0), 1, &format!("degraded: 5 % {fault}"));
        check(true, counts(20, 10, 0), 10, &format!("down: 50 % {fault}"));
    }

    #[test]
    fn silence_is_said_to_be_silence() {
        let check = |is_fresh, last: Option<u64>, expected: &str| {
            let seen = WordSeen {
                is_fresh,
                last: last.map(|minutes| NOW.before(Duration::from_mins(minutes))),
                up_since: NOW.before(Duration::from_mins(90)),
            };
            let Verdict { standing, detail } = control_plane(&seen, NOW);
            assert_eq!(format!("{standing}: {detail}"), expected);
        };
        check(
            true,
            Some(0),
            "operational: It speaks with the router: deploys, scaling and the API.",
        );
        check(
            false,
            Some(12),
            "no word: No word from the control plane since 07:48 UTC on 19 February (12 minutes).",
        );
        check(
            false,
            None,
            "no word: No word from the control plane since the router started, 06:30 UTC on 19 February \
             (1 hour 30 minutes).",
        );
    }
}
