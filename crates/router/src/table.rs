//! The routes as requests see them: one immutable [`Table`], swapped as a whole, whose backends
//! carry their counters over from table to table.
//!
//! It must not know sockets. The order of writes in [`Routes::apply`] and [`Backend::lease`] is
//! what makes "drained" true: read both together.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use api::{
    ids::{AppId, DynoId},
    names::DynoName,
};
use rand::Rng;
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use crate::wire::{self, AppState, RouteTable};

/// The newest table, shared by all threads.
#[derive(Debug)]
pub(crate) struct Routes {
    newest: RwLock<Arc<Table>>,
    generation: watch::Sender<u64>,
    /// The same number where reading it costs nothing.
    fast_generation: AtomicU64,
    next_serial: AtomicU64,
    /// Told whenever a request ends on a backend that left the table.
    retired_ended: Arc<Notify>,
    started: Instant,
}

/// Routes by host.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// 0 until the first table came, from the server or from disk.
    pub(crate) version: u64,
    hosts: HashMap<String, Arc<App>>,
    apps: HashMap<AppId, Arc<App>>,
    backends: HashMap<(DynoId, SocketAddr), Arc<Backend>>,
}

/// One app behind its hosts.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) id: AppId,
    pub(crate) state: AppState,
    backends: Vec<Arc<Backend>>,
    /// Requests that wait for it to boot.
    waiting: Arc<AtomicUsize>,
}

/// A web dyno and what is going on with it.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) dyno: DynoId,
    pub(crate) name: DynoName,
    pub(crate) address: SocketAddr,
    /// Unlike dyno and address, never used twice.
    pub(crate) serial: u64,
    in_flight: AtomicUsize,
    is_retired: AtomicBool,
    /// Milliseconds after [`Routes::started`].
    quarantined_until: AtomicU64,
    cut: watch::Sender<bool>,
    retired_ended: Arc<Notify>,
}

/// A request in flight on a backend; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Lease(Arc<Backend>);

/// A request waiting for its app to boot; it stops waiting when this is dropped.
#[derive(Debug)]
pub(crate) struct Waiting(Arc<AtomicUsize>);

/// Why no backend could be leased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoLease {
    /// All of them were tried.
    NoneLeft,
    /// The table is no longer the newest: look again.
    Outdated,
}

/// One thread's look at the newest table.
#[derive(Debug)]
pub(crate) struct LocalRoutes {
    pub(crate) shared: Arc<Routes>,
    seen: RefCell<(u64, Arc<Table>)>,
}

impl Routes {
    pub(crate) fn new() -> Self {
        Self {
            newest: RwLock::default(),
            generation: watch::Sender::new(0),
            fast_generation: AtomicU64::new(0),
            next_serial: AtomicU64::new(1),
            retired_ended: Arc::new(Notify::new()),
            started: Instant::now(),
        }
    }

    /// Routes by this table from now on. Returns the backends that left: no request begins on one
    /// after this, and [`Routes::wait_retired_ended`] tells when one of theirs has ended.
    pub(crate) fn apply(&self, table: &RouteTable) -> Vec<Arc<Backend>> {
        let before = self.current();
        let after = Arc::new(self.build(table, &before));
        let left: Vec<_> = before
            .backends
            .iter()
            .filter(|(key, _)| !after.backends.contains_key(key))
            .map(|(_, backend)| Arc::clone(backend))
            .collect();
        *self.newest.write().unwrap_or_else(PoisonError::into_inner) = after;
        let generation = self.fast_generation.fetch_add(1, Ordering::SeqCst) + 1;
        // Only now: a request that finds its backend retired looks again and finds the new table.
        for backend in &left {
            backend.is_retired.store(true, Ordering::SeqCst);
        }
        self.generation.send_replace(generation);
        left
    }

    pub(crate) fn current(&self) -> Arc<Table> {
        Arc::clone(&self.newest.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sees every change of the table.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    /// Returns when a request has ended on a backend outside the table. Safe to drop.
    pub(crate) async fn wait_retired_ended(&self) {
        self.retired_ended.notified().await;
    }

    fn build(&self, table: &RouteTable, before: &Table) -> Table {
        let mut after = Table {
            version: table.version,
            ..Table::default()
        };
        for routes in &table.apps {
            let backends = routes
                .backends
                .iter()
                .map(|backend| {
                    let live = self.carry_over(backend, before);
                    after
                        .backends
                        .insert((live.dyno, live.address), Arc::clone(&live));
                    live
                })
                .collect();
            let waiting = before
                .apps
                .get(&routes.app)
                .map(|app| Arc::clone(&app.waiting));
            let app = Arc::new(App {
                id: routes.app,
                state: routes.state,
                backends,
                waiting: waiting.unwrap_or_default(),
            });
            for host in &routes.hosts {
                after
                    .hosts
                    .insert(host.to_ascii_lowercase(), Arc::clone(&app));
            }
            after.apps.insert(routes.app, app);
        }
        after
    }

    fn carry_over(&self, backend: &wire::Backend, before: &Table) -> Arc<Backend> {
        if let Some(live) = before.backends.get(&(backend.dyno, backend.address)) {
            return Arc::clone(live);
        }
        Arc::new(Backend {
            dyno: backend.dyno,
            name: backend.name.clone(),
            address: backend.address,
            serial: self.next_serial.fetch_add(1, Ordering::Relaxed),
            in_flight: AtomicUsize::new(0),
            is_retired: AtomicBool::new(false),
            quarantined_until: AtomicU64::new(0),
            cut: watch::Sender::new(false),
            retired_ended: Arc::clone(&self.retired_ended),
        })
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Table {
    /// The app that answers on a host: lower case, without port.
    pub(crate) fn find(&self, host: &str) -> Option<&Arc<App>> {
        self.hosts.get(host)
    }

    /// The serial numbers of all backends.
    pub(crate) fn serials(&self) -> HashSet<u64> {
        self.backends
            .values()
            .map(|backend| backend.serial)
            .collect()
    }

    /// Whether requests may reach the dyno.
    pub(crate) fn has_dyno(&self, dyno: DynoId) -> bool {
        self.backends.keys().any(|(named, _)| *named == dyno)
    }
}

impl App {
    /// Begins a request on the less busy of two random backends, not one of `tried`, and one in
    /// quarantine only when there is no other.
    pub(crate) fn lease(&self, routes: &Routes, tried: &[u64]) -> Result<Lease, NoLease> {
        let now_ms = routes.elapsed_ms();
        let untried = || {
            self.backends
                .iter()
                .filter(|backend| !tried.contains(&backend.serial))
        };
        let healthy = || untried().filter(|backend| !backend.is_quarantined(now_ms));
        let choice = match healthy().count() {
            0 => less_busy(untried().count(), |index| untried().nth(index)),
            count => less_busy(count, |index| healthy().nth(index)),
        };
        choice
            .ok_or(NoLease::NoneLeft)?
            .lease()
            .ok_or(NoLease::Outdated)
    }

    /// Whether it names any backend at all.
    pub(crate) fn has_backends(&self) -> bool {
        !self.backends.is_empty()
    }

    /// Queues a request; `None` when `limit` requests wait already.
    pub(crate) fn wait(&self, limit: usize) -> Option<Waiting> {
        let waiting = Waiting(Arc::clone(&self.waiting));
        (waiting.0.fetch_add(1, Ordering::Relaxed) < limit).then_some(waiting)
    }
}

/// Power of two choices among `count` backends.
fn less_busy<'a>(
    count: usize,
    nth: impl Fn(usize) -> Option<&'a Arc<Backend>>,
) -> Option<&'a Arc<Backend>> {
    if count < 2 {
        return nth(0);
    }
    let mut rng = rand::rng();
    let first = rng.random_range(0..count);
    let second = (first + rng.random_range(1..count)) % count;
    let (first, second) = (nth(first)?, nth(second)?);
    Some(if second.in_flight() < first.in_flight() {
        second
    } else {
        first
    })
}

impl Backend {
    /// Requests and upgraded connections in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// Avoids it for a while.
    pub(crate) fn quarantine(&self, routes: &Routes, duration: Duration) {
        let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let until_ms = routes.elapsed_ms().saturating_add(duration_ms);
        self.quarantined_until.store(until_ms, Ordering::Relaxed);
    }

    /// Ends whatever is still in flight.
    pub(crate) fn cut(&self) {
        self.cut.send_replace(true);
    }

    /// Whether that has happened.
    pub(crate) fn is_cut(&self) -> bool {
        *self.cut.borrow()
    }

    /// Returns when [`Backend::cut`] is called. Safe to drop.
    pub(crate) fn wait_cut(&self) -> impl Future<Output = ()> + 'static {
        let mut cut = self.cut.subscribe();
        async move {
            if cut.wait_for(|is_cut| *is_cut).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Whether it has left the table.
    pub(crate) fn is_retired(&self) -> bool {
        self.is_retired.load(Ordering::SeqCst)
    }

    fn is_quarantined(&self, now_ms: u64) -> bool {
        self.quarantined_until.load(Ordering::Relaxed) > now_ms
    }

    /// Counts a request in, unless the backend has left the table.
    ///
    /// Count first, then look: either we see that it is retired, or whoever retired it sees our
    /// count.
    fn lease(self: &Arc<Self>) -> Option<Lease> {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        let lease = Lease(Arc::clone(self));
        (!self.is_retired()).then_some(lease)
    }
}

impl Lease {
    pub(crate) fn backend(&self) -> &Arc<Backend> {
        &self.0
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
        if self.0.is_retired() {
            self.0.retired_ended.notify_one();
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl LocalRoutes {
    pub(crate) fn new(shared: Arc<Routes>) -> Self {
        let seen = RefCell::new((0, shared.current()));
        let local = Self { shared, seen };
        local.table();
        local
    }

    /// The newest table; costs one atomic read while nothing changes.
    pub(crate) fn table(&self) -> Arc<Table> {
        let generation = self.shared.fast_generation.load(Ordering::SeqCst);
        let mut seen = self.seen.borrow_mut();
        if seen.0 != generation {
            *seen = (generation, self.shared.current());
        }
        Arc::clone(&seen.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(version: u64, ports: &[(DynoId, u16)]) -> RouteTable {
        let backends = ports.iter().map(|(dyno, port)| wire::Backend {
            dyno: *dyno,
            name: "web.1".parse().unwrap(),
            address: SocketAddr::from(([127, 0, 0, 1], *port)),
            sleep: None,
        });
        RouteTable {
            version,
            apps: vec![wire::AppRoutes {
                app: AppId::from(uuid::Uuid::nil()),
                name: "example".parse().unwrap(),
                hosts: vec!["Example.localhost".to_owned()],
                state: AppState::Serving,
                backends: backends.collect(),
            }],
        }
    }

    fn lease(routes: &Routes, tried: &[u64]) -> Result<Lease, NoLease> {
        routes
            .current()
            .find("example.localhost")
            .unwrap()
            .lease(routes, tried)
    }

    #[test]
    fn counts_survive_a_new_table_and_a_retired_backend_gets_no_request() {
        let routes = Routes::new();
        let (old, new) = (DynoId::new(), DynoId::new());
        assert!(routes.apply(&table(1, &[(old, 1)])).is_empty());
        let outdated = routes.current();
        let held = lease(&routes, &[]).unwrap();
        assert!(routes.apply(&table(2, &[(old, 1), (new, 2)])).is_empty());
        let left = routes.apply(&table(3, &[(new, 2)]));
        assert_eq!(
            left.iter()
                .map(|at| (at.dyno, at.in_flight()))
                .collect::<Vec<_>>(),
            [(old, 1)]
        );
        let app = outdated.find("example.localhost").unwrap();
        assert_eq!(app.lease(&routes, &[]).unwrap_err(), NoLease::Outdated);
        drop(held);
        assert_eq!(left[0].in_flight(), 0);
        assert_eq!(lease(&routes, &[]).unwrap().backend().dyno, new);
    }

    #[test]
    fn two_choices_prefer_the_idle_and_quarantine_is_a_last_resort() {
        let routes = Routes::new();
        let (one, two) = (DynoId::new(), DynoId::new());
        routes.apply(&table(1, &[(one, 1), (two, 2)]));
        let first = lease(&routes, &[]).unwrap();
        let second = lease(&routes, &[]).unwrap();
        assert_ne!(first.backend().dyno, second.backend().dyno);
        second.backend().quarantine(&routes, Duration::from_mins(1));
        for _ in 0..20 {
            assert_eq!(
                lease(&routes, &[]).unwrap().backend().dyno,
                first.backend().dyno
            );
        }
        let tried = [first.backend().serial];
        assert_eq!(
            lease(&routes, &tried).unwrap().backend().dyno,
            second.backend().dyno
        );
        let tried = [first.backend().serial, second.backend().serial];
        assert_eq!(lease(&routes, &tried).unwrap_err(), NoLease::NoneLeft);
    }

    #[test]
    fn the_queue_of_a_booting_app_is_bounded() {
        let routes = Routes::new();
        routes.apply(&table(1, &[]));
        let table = routes.current();
        let app = table.find("example.localhost").unwrap();
        let first = app.wait(1);
        assert!(first.is_some());
        assert!(app.wait(1).is_none());
        drop(first);
        assert!(app.wait(1).is_some());
    }
}
