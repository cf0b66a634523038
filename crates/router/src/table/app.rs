//! An app as requests see it: its state, its backends, its queue.

use std::sync::Arc;

use api::{
    edge::DynoProtocol,
    ids::{AppId, DynoId},
    names::AppName,
};
use rand::Rng;
use tokio::time::Instant;

use super::{
    Routes,
    activity::Activity,
    backend::{Backend, Lease},
    news::Subject,
    secure::Secure,
    waiting::{Queue, Waiting},
};
use crate::{
    edge::{Affinity, Rules},
    files::Files,
    wire::{AppState, PageUrls},
};

/// One app behind its hosts.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) id: AppId,
    pub(crate) state: AppState,
    /// As [`super::Names`] keeps them.
    pub(super) hosts: Box<[Arc<str>]>,
    /// Where its first host does not begin with it, which is seldom.
    pub(super) other_name: Option<Box<AppName>>,
    pub(super) backends: Vec<Arc<Backend>>,
    /// Whether any of the backends has a ticket.
    pub(super) may_sleep: bool,
    pub(crate) queue: Arc<Queue>,
    pub(crate) activity: Arc<Activity>,
    pub(crate) secure: Secure,
    /// Of what was told of it.
    pub(super) fingerprint: u64,
    /// What it asks for beyond routing.
    pub(crate) rules: Option<Arc<Rules>>,
    /// The files that are served without a dyno, if there are any.
    pub(crate) files: Option<Arc<Files>>,
    /// Its own pages in the place of ours, if it has any.
    pub(crate) pages: Option<Arc<PageUrls>>,
    /// Whether a client comes to the same dyno again.
    pub(crate) has_affinity: bool,
    /// Whether it and how it does are on the status page.
    pub(crate) is_on_status_page: bool,
}

/// Which backend a request would have.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wish {
    /// That of this cookie, if it is healthy.
    pub(crate) affinity: Option<Affinity>,
    /// Else any, instead of the less busy of two.
    pub(crate) is_random: bool,
}

/// Why no backend could be leased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoLease {
    /// All of them were tried.
    NoneLeft,
    /// The table is no longer the newest: look again.
    Outdated,
    /// All have as many requests in flight as a dyno may have.
    Full,
}

impl App {
    /// Begins a request on the less busy of two random backends, not one of `tried`, and one in
    /// quarantine only when there is no other. Backends that are awake come first; of those that must
    /// be woken all requests take the same, so that one wake serves them.
    pub(crate) fn lease(
        &self,
        (routes, now): (&Routes, Instant),
        tried: &[u64],
        wish: Wish,
    ) -> Result<Lease, NoLease> {
        let now_ms = routes.elapsed_ms_at(now);
        let untried = || {
            self.backends
                .iter()
                .filter(|backend| !tried.contains(&backend.serial))
        };
        let healthy = || untried().filter(|backend| !backend.is_quarantined(now_ms));
        let wished = wish
            .affinity
            .and_then(|wished| healthy().find(|backend| Affinity::of(backend.dyno) == wished));
        let choice = if wished.is_some() {
            wished
        } else if self.may_sleep {
            less_busy(|| healthy().filter(|backend| !backend.rest.is_due()))
                .or_else(|| healthy().next())
        } else if wish.is_random {
            any(healthy)
        } else {
            less_busy(healthy)
        };
        let limit = routes.max_in_flight;
        let chosen = choice.or_else(|| less_busy(untried));
        match chosen.ok_or(NoLease::NoneLeft)?.lease(now_ms, limit) {
            Err(NoLease::Full) => {
                let room = untried().filter(|backend| backend.in_flight() < limit);
                let room = less_busy(|| room.clone()).ok_or(NoLease::Full)?;
                room.lease(now_ms, limit)
            }
            leased => leased,
        }
    }

    /// What people call it.
    pub(crate) fn name(&self) -> &str {
        match &self.other_name {
            Some(name) => name.as_str(),
            None => first_label(&self.hosts),
        }
    }

    /// Its name, unless its hosts tell.
    pub(super) fn other_name(name: &AppName, hosts: &[Arc<str>]) -> Option<Box<AppName>> {
        (first_label(hosts) != name.as_str()).then(|| Box::new(name.clone()))
    }

    /// Whether it asks for nothing beyond routing.
    pub(crate) fn is_plain(&self) -> bool {
        self.rules.is_none() && self.pages.is_none() && !self.has_affinity
    }

    /// Whether its dynos speak HTTP/2.
    pub(crate) fn speaks_h2c(&self) -> bool {
        let rules = self.rules.as_ref();
        rules.is_some_and(|rules| rules.dyno_protocol == DynoProtocol::H2c)
    }

    /// The files that may answer requests now: not during maintenance.
    pub(crate) fn files(&self) -> Option<&Arc<Files>> {
        let is_shown = !matches!(self.state, AppState::Maintenance | AppState::Blank);
        self.files.as_ref().filter(|_| is_shown)
    }

    /// Whether it names any backend at all.
    pub(crate) fn has_backends(&self) -> bool {
        !self.backends.is_empty()
    }

    /// Queues a request; `None` when `limit` requests wait already.
    pub(crate) fn wait(&self, limit: usize) -> Option<Waiting> {
        self.activity.touch();
        self.queue.join(limit)
    }

    /// Has the server told that a request waits for it, if it is asleep.
    pub(crate) fn call(&self, routes: &Routes, cause: impl FnOnce() -> String) {
        if self.state == AppState::Asleep && self.queue.call(cause) {
            routes.news.tell(Subject::App(self.id));
        }
    }

    /// Its backend of a dyno.
    pub(crate) fn backend_of(&self, dyno: DynoId) -> Option<&Arc<Backend>> {
        self.backends.iter().find(|backend| backend.dyno == dyno)
    }

    /// Its backends that have a ticket, or may have had one lately.
    pub(crate) fn sleepers(&self) -> &[Arc<Backend>] {
        if self.may_sleep { &self.backends } else { &[] }
    }

    /// The backends that `next`, which takes its place, does not have.
    pub(super) fn left_by(&self, next: Option<&Self>) -> impl Iterator<Item = Arc<Backend>> {
        let stays = move |backend: &&Arc<Backend>| {
            next.is_some_and(|next| next.backends.iter().any(|at| Arc::ptr_eq(at, backend)))
        };
        let left = self.backends.iter().filter(move |backend| !stays(backend));
        left.map(Arc::clone)
    }

    /// Requests and upgraded connections in flight on its backends, and requests that wait.
    pub(crate) fn in_flight(&self) -> usize {
        let on_backends: usize = self.backends.iter().map(|at| at.in_flight()).sum();
        on_backends + self.queue.count()
    }
}

/// A hundred thousand names need room, and nearly all are the beginning of a host.
fn first_label(hosts: &[Arc<str>]) -> &str {
    let first = hosts.first().and_then(|host| host.split('.').next());
    first.unwrap_or_default()
}

/// A random one. What `among` yields may change from one call to the next.
fn any<'a, I>(among: impl Fn() -> I) -> Option<&'a Arc<Backend>>
where
    I: Iterator<Item = &'a Arc<Backend>>,
{
    let count = among().count();
    if count < 2 {
        return among().next();
    }
    let chosen = rand::rng().random_range(0..count);
    among().nth(chosen).or_else(|| among().next())
}

/// Power of two choices. What `among` yields may change from one call to the next.
fn less_busy<'a, I>(among: impl Fn() -> I) -> Option<&'a Arc<Backend>>
where
    I: Iterator<Item = &'a Arc<Backend>>,
{
    let count = among().count();
    if count < 2 {
        return among().next();
    }
    let mut rng = rand::rng();
    let first = rng.random_range(0..count);
    let second = (first + rng.random_range(1..count)) % count;
    match (among().nth(first), among().nth(second)) {
        (Some(first), Some(second)) if second.in_flight() < first.in_flight() => Some(second),
        (Some(one), _) | (None, Some(one)) => Some(one),
        (None, None) => among().next(),
    }
}
