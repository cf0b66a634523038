//! The routes as requests see them: one immutable [`Table`], swapped as a whole, whose backends
//! carry their counters over from table to table.
//!
//! It must not know sockets. The order of writes in [`Routes::apply`] and [`Backend::lease`] is
//! what makes "drained" and "resting" true: read both together, then [`rest`].

mod activity;
mod app;
mod backend;
mod rest;
mod secure;
mod waiting;

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use api::{
    clock::Time,
    ids::{AppId, DynoId},
};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use self::activity::{Activity, millis};
pub(crate) use self::{
    app::{App, NoLease},
    backend::{Backend, Lease},
    rest::{Duty, Standing, Wake},
    secure::{Passage, Secure, to_https},
    waiting::Waiting,
};
use crate::{
    certificates::Certificates,
    wire::{self, AppState, RouteTable},
};

/// The newest table, shared by all threads.
#[derive(Debug)]
pub(crate) struct Routes {
    newest: RwLock<Arc<Table>>,
    generation: watch::Sender<u64>,
    /// The same number where reading it costs nothing.
    fast_generation: AtomicU64,
    next_serial: AtomicU64,
    pub(crate) certificates: Arc<Certificates>,
    /// Told whenever the server may have something to learn: see [`Routes::wait_news`].
    news: Arc<Notify>,
    started: Instant,
}

/// Routes by host.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// 0 until the first table came, from the server or from disk.
    pub(crate) version: u64,
    hosts: HashMap<String, Arc<App>>,
    apps: HashMap<AppId, Arc<App>>,
    /// The backends with a ticket.
    pub(crate) sleepers: Vec<Arc<Backend>>,
    /// The apps that are [`AppState::Asleep`].
    pub(crate) asleep: Vec<Arc<App>>,
    backends: HashMap<(DynoId, SocketAddr), Arc<Backend>>,
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
            certificates: Arc::default(),
            news: Arc::new(Notify::new()),
            started: Instant::now(),
        }
    }

    /// Routes by this table from now on. Returns the backends that left: no request begins on one
    /// after this, and [`Routes::wait_news`] tells when one of theirs has ended.
    ///
    /// Must not be called on two threads at once.
    pub(crate) fn apply(&self, table: &RouteTable) -> Vec<Arc<Backend>> {
        // First: who sees the new routes shall not be shown a former certificate.
        self.certificates.apply(table);
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
            backend.retire();
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

    /// Returns when a request has ended on a backend outside the table, or the last one on a
    /// backend with a ticket; when a wake is over; when a request waits for an app that is asleep.
    /// Safe to drop.
    pub(crate) async fn wait_news(&self) {
        self.news.notified().await;
    }

    fn build(&self, table: &RouteTable, before: &Table) -> Table {
        let mut after = Table {
            version: table.version,
            ..Table::default()
        };
        for routes in &table.apps {
            let app = Arc::new(self.build_app(routes, before));
            for (live, told) in app.backends.iter().zip(&routes.backends) {
                after
                    .backends
                    .insert((live.dyno, live.address), Arc::clone(live));
                if told.sleep.is_some() {
                    after.sleepers.push(Arc::clone(live));
                }
            }
            for host in &routes.hosts {
                after
                    .hosts
                    .insert(host.to_ascii_lowercase(), Arc::clone(&app));
            }
            if app.state == AppState::Asleep {
                after.asleep.push(Arc::clone(&app));
            }
            after.apps.insert(routes.app, app);
        }
        after
    }

    fn build_app(&self, routes: &wire::AppRoutes, before: &Table) -> App {
        let former = before.apps.get(&routes.app);
        let activity = former.map_or_else(
            || Arc::new(Activity::new(self.started)),
            |app| Arc::clone(&app.activity),
        );
        let queue = former.map_or_else(Arc::default, |app| Arc::clone(&app.queue));
        if former.is_some_and(|app| app.state != AppState::Asleep) {
            queue.forget_call();
        }
        let carry_over = |backend: &wire::Backend| {
            let live = match before.backends.get(&(backend.dyno, backend.address)) {
                Some(live) => Arc::clone(live),
                None => Arc::new(Backend::new(routes.app, backend, self, &activity)),
            };
            // Before anybody looks whether a request is in flight on it.
            live.rest.tell(backend.sleep.as_ref());
            live
        };
        App {
            id: routes.app,
            state: routes.state,
            backends: routes.backends.iter().map(carry_over).collect(),
            may_sleep: routes.backends.iter().any(|at| at.sleep.is_some()),
            queue,
            activity,
            secure: Secure::new(&routes.tls),
        }
    }

    /// When the router started, if it is `now` now: what [`Activity`] counts from.
    pub(crate) fn started_at(&self, now: Time) -> Time {
        let elapsed = i64::try_from(self.started.elapsed().as_micros()).unwrap_or(i64::MAX);
        Time::from_micros(now.as_micros().saturating_sub(elapsed))
    }

    /// Milliseconds since the router started.
    fn elapsed_ms(&self) -> u64 {
        millis(self.started.elapsed())
    }
}

impl Table {
    /// The app that answers on a host (lower case, without port): the one that names it, else the
    /// one that names all hosts one label below its parent.
    pub(crate) fn find(&self, host: &str) -> Option<&Arc<App>> {
        if let Some(app) = self.hosts.get(host) {
            return Some(app);
        }
        let (_, parent) = host.split_once('.')?;
        self.hosts.get(&format!("*.{parent}"))
    }

    /// The serial numbers of all backends.
    pub(crate) fn serials(&self) -> HashSet<u64> {
        self.backends
            .values()
            .map(|backend| backend.serial)
            .collect()
    }

    pub(crate) fn apps(&self) -> impl Iterator<Item = &Arc<App>> {
        self.apps.values()
    }

    /// Whether requests may reach the dyno.
    pub(crate) fn has_dyno(&self, dyno: DynoId) -> bool {
        self.backends.keys().any(|(named, _)| *named == dyno)
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
    use std::time::Duration;

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
                tls: wire::AppTls::default(),
            }],
            ..RouteTable::default()
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
