//! `kill -9` of something at random.
//!
//! Anything may be killed at any time, but for one rule that gives requests a right to be answered:
//! of the app under load at most one dyno is dead that the platform has not noticed yet, and at
//! least two others are up. Read [`Killer::strike`] first.

use std::{
    fmt,
    time::{Duration, Instant},
};

use e2e::{
    Host, Platform, Rng,
    host::{self, Held},
    platform, wait,
};

/// So many dynos of the app under load answer before one of them may be killed.
const LEAST_ANSWERING: usize = 3;

/// Kills, and remembers what and when.
pub(crate) struct Killer<'a> {
    platform: &'a Platform,
    host: Host,
    rng: Rng,
    /// The id of the app under load.
    guarded: String,
    /// Its dyno that was killed last: id and first process.
    unnoticed: Option<(String, i32)>,
    /// Everything killed so far.
    pub(crate) strikes: Vec<Strike>,
}

/// One kill.
#[derive(Clone, Debug)]
pub(crate) struct Strike {
    pub(crate) what: Victim,
    pub(crate) at: Instant,
    /// When its work was seen to go on; only of the router, which no other can stand in for.
    pub(crate) back: Option<Instant>,
}

/// What was killed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Victim {
    Server,
    Router,
    /// A process of a dyno, as seen from the dyno.
    Dyno {
        id: String,
        part: &'static str,
    },
}

impl fmt::Display for Victim {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server => write!(to, "server"),
            Self::Router => write!(to, "router"),
            Self::Dyno { id, part } => write!(to, "{part} of {id}"),
        }
    }
}

impl<'a> Killer<'a> {
    pub(crate) fn new(platform: &'a Platform, guarded: String, rng: Rng) -> Self {
        Self {
            platform,
            host: Host::of(platform),
            rng,
            guarded,
            unnoticed: None,
            strikes: Vec::new(),
        }
    }

    /// Kills one thing, unless the choice fell on what may not be killed now.
    pub(crate) fn strike(&mut self) {
        match self.rng.below(100) {
            0..12 => self.kill_part("server", Victim::Server),
            12..14 => self.kill_part("router", Victim::Router),
            _ => self.kill_a_dyno(),
        }
    }

    fn kill_part(&mut self, part: &str, what: Victim) {
        let at = wait::now();
        self.platform.kill(part);
        let back = (what == Victim::Router).then(|| {
            let address = self.platform.http_addr();
            wait::until("the router answers again", || {
                e2e::http::get(address, "nobody.localhost", "/").ok()
            });
            wait::now()
        });
        self.strikes.push(Strike { what, at, back });
    }

    fn kill_a_dyno(&mut self) {
        let dynos = self.host.dynos();
        let alive: Vec<&Held> = dynos.iter().filter(|dyno| dyno.is_alive).collect();
        let Some(dyno) = self.rng.choice(&alive) else {
            return;
        };
        let is_guarded = dyno.app == self.guarded;
        if is_guarded && !self.may_kill_guarded(&alive) {
            return;
        }
        let family = host::family(dyno.process);
        let (part, pid) = match self.rng.below(3) {
            0 => ("shim", dyno.shim),
            1 => ("first process", dyno.process),
            _ => ("app", *family.last().unwrap_or(&dyno.process)),
        };
        if is_guarded {
            self.unnoticed = Some((dyno.id.clone(), dyno.process));
        }
        let id = dyno.id.clone();
        let at = wait::now();
        platform::kill(pid, libc::SIGKILL);
        self.strikes.push(Strike {
            what: Victim::Dyno { id, part },
            at,
            back: None,
        });
    }

    /// Whether a dyno of the app under load may be killed: the last one's end was noticed, and
    /// enough others answer.
    fn may_kill_guarded(&mut self, alive: &[&Held]) -> bool {
        if let Some((id, process)) = &self.unnoticed {
            let lives_on = alive
                .iter()
                .any(|dyno| dyno.id == *id && dyno.process == *process);
            // Its keeper may have started it again: then it is another process.
            let is_back = alive.iter().any(|dyno| dyno.id == *id) && !lives_on;
            if lives_on || (self.host.is_routed(id) && !is_back) {
                return false;
            }
            self.unnoticed = None;
        }
        let answering = alive
            .iter()
            .filter(|dyno| dyno.app == self.guarded && self.host.is_routed(&dyno.id));
        answering.count() >= LEAST_ANSWERING
    }

    /// What was killed shortly before or while a request went wrong.
    pub(crate) fn around(&self, began: Instant, ended: Instant) -> String {
        let near = self
            .strikes
            .iter()
            .filter(|strike| strike.at <= ended && strike.at + Duration::from_secs(1) >= began);
        near.map(|strike| {
            let ago = ended.saturating_duration_since(strike.at);
            format!("{} {} ms before", strike.what, ago.as_millis())
        })
        .collect::<Vec<_>>()
        .join(", ")
    }

    /// Whether a request was under way while the router was away.
    pub(crate) fn had_no_router(&self, began: Instant, ended: Instant) -> bool {
        self.strikes.iter().any(|strike| {
            strike
                .back
                .is_some_and(|back| strike.at <= ended && began <= back)
        })
    }
}
