//! A web dyno with its counters, which outlive the tables that name it.

use std::{
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use api::{
    ids::{AppId, DynoId},
    names::DynoName,
};
use tokio::sync::Notify;

use super::{
    Routes,
    activity::{Activity, millis},
    app::NoLease,
    news::{News, Subject},
    rest::Rest,
};
use crate::wire;

/// A web dyno and what is going on with it.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) app: AppId,
    pub(crate) dyno: DynoId,
    pub(crate) name: DynoName,
    pub(crate) address: SocketAddr,
    /// Unlike dyno and address, never used twice.
    pub(crate) serial: u64,
    pub(crate) rest: Rest,
    in_flight: AtomicUsize,
    is_retired: AtomicBool,
    /// Milliseconds after [`Routes::started`].
    quarantined_until: AtomicU64,
    is_cut: AtomicBool,
    /// How many were cut in all.
    cuts: Arc<AtomicU64>,
    /// Made when first needed, since most backends are idle.
    cut: OnceLock<Arc<Notify>>,
    activity: Arc<Activity>,
    news: Arc<News>,
}

/// A request in flight on a backend; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Lease(Arc<Backend>);

impl Backend {
    pub(super) fn new(
        app: AppId,
        backend: &wire::Backend,
        routes: &Routes,
        activity: &Arc<Activity>,
    ) -> Self {
        Self {
            app,
            dyno: backend.dyno,
            name: backend.name.clone(),
            address: backend.address,
            serial: routes.next_serial.fetch_add(1, Ordering::Relaxed),
            rest: Rest::default(),
            in_flight: AtomicUsize::new(0),
            is_retired: AtomicBool::new(false),
            quarantined_until: AtomicU64::new(0),
            is_cut: AtomicBool::new(false),
            cuts: Arc::clone(&routes.cuts),
            cut: OnceLock::new(),
            activity: Arc::clone(activity),
            news: Arc::clone(&routes.news),
        }
    }

    /// Requests and upgraded connections in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// Avoids it for a while.
    pub(crate) fn quarantine(&self, routes: &Routes, duration: Duration) {
        let until_ms = routes.elapsed_ms().saturating_add(millis(duration));
        self.quarantined_until.store(until_ms, Ordering::Relaxed);
    }

    /// Ends whatever is still in flight.
    pub(crate) fn cut(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
        self.cuts.fetch_add(1, Ordering::SeqCst);
        self.cut_notify().notify_waiters();
    }

    /// Whether that has happened.
    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::SeqCst)
    }

    /// Returns when [`Backend::cut`] is called. Safe to drop.
    pub(crate) fn wait_cut(self: &Arc<Self>) -> impl Future<Output = ()> + 'static {
        let (backend, cut) = (Arc::clone(self), self.cut_notify());
        async move {
            // Listen first, then look: either we see that it is cut, or whoever cuts it wakes us.
            let told = cut.notified();
            if !backend.is_cut() {
                told.await;
            }
        }
    }

    fn cut_notify(&self) -> Arc<Notify> {
        Arc::clone(self.cut.get_or_init(Arc::default))
    }

    /// Whether it has left the table.
    pub(crate) fn is_retired(&self) -> bool {
        self.is_retired.load(Ordering::SeqCst)
    }

    pub(super) fn retire(&self) {
        self.is_retired.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_quarantined(&self, now_ms: u64) -> bool {
        self.quarantined_until.load(Ordering::Relaxed) > now_ms
    }

    /// The server may want to know what became of it.
    pub(super) fn tell_news(&self) {
        self.news.tell(Subject::Dyno(self.app, self.dyno));
    }

    /// Counts a request in, unless the backend has left the table or has `limit` of them.
    ///
    /// Count first, then look: either we see that it is retired, or whoever retired it sees our
    /// count. The same holds for [`Rest::is_due`], which is looked at with the lease in hand.
    pub(super) fn lease(self: &Arc<Self>, now_ms: u64, limit: usize) -> Result<Lease, NoLease> {
        self.activity.touch_at(now_ms);
        let before = self.in_flight.fetch_add(1, Ordering::SeqCst);
        let lease = Lease(Arc::clone(self));
        if self.is_retired() {
            Err(NoLease::Outdated)
        } else if before >= limit {
            Err(NoLease::Full)
        } else {
            Ok(lease)
        }
    }
}

impl Lease {
    pub(crate) fn backend(&self) -> &Arc<Backend> {
        &self.0
    }

    /// One more in flight beside this one.
    pub(super) fn another(&self) -> Self {
        self.0.in_flight.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(&self.0))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Who sees that nothing is in flight sees when the last request ended.
        self.0.activity.touch();
        let before = self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
        if self.0.is_retired() || (before == 1 && self.0.rest.is_due()) {
            self.0.tell_news();
        }
    }
}
