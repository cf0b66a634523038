//! When an app falls asleep, is stopped, and wakes. Never does a request wait for this file: it
//! only follows what the router and the engine say has happened, and every pass begins with them.
//!
//! ```text
//! awake ─ idle ─▶ resting ─ every web dyno rests ─▶ frozen ─ hours ─▶ stopped
//!   ▲ └─────────────┘ new ticket                      │                  │
//!   └──────────── a request, a release, a person, something odd ─────────┘
//! ```
//!
//! Read [`SleepView`] first, then [`next`]. Why no request can reach a frozen dyno is told in
//! `docs/decisions/0006-sleep-tickets.md`.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use api::{
    clock::Time,
    ids::{AppId, DynoId},
};
use store::{AppSleep, SleepState};

use super::{AppState, DynoView, Stage, routes::answering};

/// A router that has not said within this time that the dynos rest gets a new ticket, in case its
/// word was lost.
const REST_LIMIT: Duration = Duration::from_mins(1);
/// The cause of a wake whose request nobody told us.
pub const UNTOLD: &str = "woken by a request";

/// What is known of an app's sleep.
#[derive(Clone, Debug)]
pub struct SleepView {
    /// State, ticket and since when, as last recorded.
    pub row: AppSleep,
    /// How long without a request until it falls asleep, if ever.
    pub idle: Option<Duration>,
    /// How long asleep until its dynos are stopped, if ever.
    pub stop_after: Option<Duration>,
    /// What the router has said.
    pub heard: Heard,
    /// Whether somebody is inside: a one-off dyno runs, or a session is open in a dyno.
    pub is_visited: bool,
    /// The engine's word on each dyno that is up.
    pub dynos: BTreeMap<DynoId, DynoSleep>,
}

/// What the router, and people, have said of an app since the server listens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Whether there is a router to hold requests while dynos wake.
    pub is_router_connected: bool,
    /// Since when nothing can have been missed.
    pub since: Time,
    /// When the last request began or ended.
    pub last_request_at: Option<Time>,
    /// Requests in flight.
    pub in_flight: u64,
    /// The ticket that every word since then was about.
    pub ticket: u64,
    /// Dynos on which nothing is in flight, by ticket.
    pub resting: BTreeMap<DynoId, u64>,
    /// The last ticket that a request used up, and which request.
    pub woken: Option<(u64, String)>,
    /// Somebody wants it awake: the number of the wish, and why.
    pub wish: Option<(u64, String)>,
}

/// How a dyno sleeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DynoSleep {
    /// Whether it is frozen, as the engine says.
    pub is_frozen: bool,
    /// The ticket of its last freeze or thaw.
    pub ticket: u64,
    /// How it is woken, if the engine can put it to sleep.
    pub waker: Option<PathBuf>,
    /// Whether its row says that it is idle.
    pub is_idle: bool,
}

/// A step of falling asleep or waking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SleepStep {
    /// Give the router tickets, so that from now on it wakes a dyno before it uses it.
    Rest {
        /// Higher than any before.
        ticket: u64,
        /// Why.
        cause: String,
    },
    /// Freeze the dynos; any that was woken before refuses, which wakes them all.
    Freeze,
    /// Stop the frozen dynos; a request starts others.
    Stop {
        /// Why.
        cause: String,
    },
    /// Thaw what is frozen, and let the formation be as it should.
    Wake {
        /// Why.
        cause: String,
    },
    /// Thaw dynos of an app that is awake.
    Thaw,
    /// Record what woke an app that is awake.
    Explain {
        /// The request.
        cause: String,
    },
}

impl SleepView {
    /// An app that is awake, and of which nothing is known.
    pub fn awake(app: AppId) -> Self {
        Self {
            row: AppSleep {
                app,
                idle_seconds: None,
                stop_after_seconds: None,
                state: SleepState::Awake,
                since: Time::default(),
                cause: String::new(),
                ticket: 0,
                woken_at: None,
                wake_cause: None,
            },
            idle: None,
            stop_after: None,
            heard: Heard::default(),
            is_visited: false,
            dynos: BTreeMap::new(),
        }
    }

    /// The ticket that a dyno's requests need, and the socket to use it at.
    pub fn ticket(&self, dyno: DynoId) -> Option<(u64, PathBuf)> {
        let sleeps = matches!(self.row.state, SleepState::Resting | SleepState::Frozen);
        let waker = self.dynos.get(&dyno)?.waker.clone()?;
        sleeps.then_some((self.row.ticket, waker))
    }

    /// Whether the app's dynos run, and are to run on.
    pub fn is_awake(&self) -> bool {
        self.row.state == SleepState::Awake
    }

    /// Whether the app's dynos are stopped for want of requests.
    pub fn is_stopped(&self) -> bool {
        self.row.state == SleepState::Stopped
    }

    fn is_frozen(&self, dyno: DynoId) -> bool {
        self.dynos.get(&dyno).is_some_and(|dyno| dyno.is_frozen)
    }

    /// The cause of a wake that somebody has told us of and that comes after the last sleep.
    fn told(&self) -> Option<String> {
        let woken = self.heard.woken.as_ref();
        woken
            .filter(|(ticket, _)| *ticket >= self.row.ticket)
            .or(self.heard.wish.as_ref())
            .map(|(_, cause)| cause.clone())
    }

    fn had_request_since(&self, moment: Time) -> bool {
        self.heard.in_flight > 0 || self.heard.last_request_at.is_some_and(|at| at > moment)
    }
}

/// The next step, and when to look again even if nothing happens.
pub fn next(app: &AppState, now: Time) -> (Option<SleepStep>, Option<Time>) {
    match app.sleep.row.state {
        SleepState::Awake => awake(app, now),
        SleepState::Resting => resting(app, now),
        SleepState::Frozen => frozen(app, now),
        SleepState::Stopped => (stopped(app), None),
    }
}

fn awake(app: &AppState, now: Time) -> (Option<SleepStep>, Option<Time>) {
    let sleep = &app.sleep;
    if sleep
        .dynos
        .values()
        .any(|dyno| dyno.is_frozen || dyno.is_idle)
    {
        return (Some(SleepStep::Thaw), None);
    }
    if let Some((ticket, cause)) = &sleep.heard.woken
        && *ticket == sleep.row.ticket
        && sleep.row.wake_cause.as_deref() == Some(UNTOLD)
    {
        let cause = cause.clone();
        return (Some(SleepStep::Explain { cause }), None);
    }
    let Some(idle) = sleep.idle else {
        return (None, None);
    };
    if stays_awake(app).is_some() || sleep.heard.in_flight > 0 || !sleep.heard.is_router_connected {
        return (None, None);
    }
    let due = quiet_since(app).after(idle);
    if now < due {
        return (None, Some(due));
    }
    let cause = format!("no request for {}", words(idle));
    (Some(rest(app, now, cause)), None)
}

/// A step that lets an app fall asleep as soon as no request is in flight.
pub fn rest(app: &AppState, now: Time, cause: String) -> SleepStep {
    let ticket = next_ticket(app.sleep.row.ticket, now);
    SleepStep::Rest { ticket, cause }
}

/// The ticket after `last`.
pub fn next_ticket(last: u64, now: Time) -> u64 {
    u64::try_from(now.as_micros()).unwrap_or(0).max(last + 1)
}

fn resting(app: &AppState, now: Time) -> (Option<SleepStep>, Option<Time>) {
    let sleep = &app.sleep;
    let reason = stays_awake(app).map(str::to_owned);
    if let Some(cause) = sleep.told().or(reason) {
        return (Some(SleepStep::Wake { cause }), None);
    }
    let again = || Some(rest(app, now, sleep.row.cause.clone()));
    if !sleep.heard.is_router_connected {
        return (None, None);
    }
    if sleep.heard.ticket != sleep.row.ticket {
        return (again(), None);
    }
    let rests = |dyno: &DynoView| sleep.heard.resting.get(&dyno.id) == Some(&sleep.row.ticket);
    if answering(app).into_iter().all(rests) {
        return (Some(SleepStep::Freeze), None);
    }
    let limit = sleep.row.since.after(REST_LIMIT);
    if now < limit {
        return (None, Some(limit));
    }
    match (sleep.heard.in_flight, sleep.heard.last_request_at) {
        // It rests when that ends; the router will say so.
        (1.., _) => (None, None),
        (0, Some(at)) if at > sleep.row.since => {
            let cause = UNTOLD.to_owned();
            (Some(SleepStep::Wake { cause }), None)
        }
        _ => (again(), None),
    }
}

fn frozen(app: &AppState, now: Time) -> (Option<SleepStep>, Option<Time>) {
    let sleep = &app.sleep;
    let was_woken = running(app).any(|dyno| !sleep.is_frozen(dyno.id));
    let told = sleep.told();
    if told.is_none()
        && sleep.stop_after.is_some()
        && formation(app).any(|dyno| matches!(dyno.stage, Stage::Ended { .. }))
    {
        // Killed, or the machine was restarted: nobody waits for it, so nobody is in a hurry.
        let cause = "its dynos ended while it was asleep".to_owned();
        return (Some(SleepStep::Stop { cause }), None);
    }
    let cause = told
        .or_else(|| cannot_sleep(app).map(str::to_owned))
        .or_else(|| was_woken.then(|| UNTOLD.to_owned()));
    if let Some(cause) = cause {
        return (Some(SleepStep::Wake { cause }), None);
    }
    let Some(stop_after) = sleep.stop_after else {
        return (None, None);
    };
    let due = sleep.row.since.after(stop_after);
    if now < due {
        (None, Some(due))
    } else {
        let cause = format!("asleep for {}", words(stop_after));
        (Some(SleepStep::Stop { cause }), None)
    }
}

fn stopped(app: &AppState) -> Option<SleepStep> {
    let is_new = |dyno: &&DynoView| matches!(dyno.stage, Stage::Recorded | Stage::Starting);
    let was_restarted = formation(app)
        .filter(|dyno| !dyno.is_retired)
        .any(|dyno| is_new(&dyno));
    let cause = if let Some(cause) = app.sleep.told() {
        cause
    } else if app.sleep.had_request_since(app.sleep.row.since) {
        UNTOLD.to_owned()
    } else if let Some(pending) = &app.pending {
        format!("release v{}", pending.version)
    } else if was_restarted {
        "a dyno was started".to_owned()
    } else if !has_web(app) {
        "it has no web dynos".to_owned()
    } else {
        return None;
    };
    Some(SleepStep::Wake { cause })
}

/// Why an app may not fall asleep, whatever its policy and its requests.
pub fn stays_awake(app: &AppState) -> Option<&'static str> {
    if app.sleep.is_visited {
        return Some("a one-off dyno or a session is open");
    }
    let can = |dyno: &DynoView| {
        let seen = app.sleep.dynos.get(&dyno.id);
        seen.is_some_and(|seen| seen.waker.is_some())
    };
    cannot_sleep(app).or_else(|| {
        (!running(app).all(can)).then_some("its dynos run on an engine that cannot freeze them")
    })
}

/// Why an app may not be asleep.
fn cannot_sleep(app: &AppState) -> Option<&'static str> {
    let Some(current) = &app.current else {
        return Some("it has no release");
    };
    if app.pending.is_some() {
        return Some("a release is on its way");
    }
    if !has_web(app) {
        return Some("it has no web dynos");
    }
    let is_settled =
        |dyno: &DynoView| dyno.stage == Stage::Up && !dyno.is_retired && dyno.release == current.id;
    if !formation(app).all(is_settled) {
        return Some("a dyno starts or stops");
    }
    for process_type in current.process_types.keys() {
        let wanted = usize::try_from(app.quantity(process_type)).unwrap_or(usize::MAX);
        let size = app.size(process_type);
        let of_type = |dyno: &&DynoView| dyno.process_type == *process_type && dyno.size == size;
        if formation(app).filter(of_type).count() != wanted {
            return Some("its formation was changed");
        }
    }
    None
}

/// Since when nothing happens to the app.
fn quiet_since(app: &AppState) -> Time {
    let sleep = &app.sleep;
    let requests = sleep.heard.last_request_at.into_iter();
    let dynos = formation(app).map(|dyno| dyno.since);
    requests
        .chain(dynos)
        .chain([sleep.heard.since, sleep.row.since])
        .max()
        .unwrap_or_default()
}

fn formation(app: &AppState) -> impl Iterator<Item = &DynoView> {
    app.dynos.iter().filter(|dyno| !dyno.is_release_phase)
}

fn running(app: &AppState) -> impl Iterator<Item = &DynoView> {
    formation(app).filter(|dyno| dyno.stage == Stage::Up)
}

/// Whether there is a web dyno that a request could wake; also of an app that is stopped.
fn has_web(app: &AppState) -> bool {
    app.current.as_ref().is_some_and(|current| {
        let mut types = current.process_types.keys();
        types.any(|process_type| process_type.is_web() && app.wanted(process_type) > 0)
    })
}

/// A time in the words of a person: `30 minutes`.
pub fn words(time: Duration) -> String {
    let seconds = time.as_secs();
    let (count, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..7200 => (seconds / 60, "minute"),
        _ => (seconds / 3600, "hour"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
