//! The routes as requests see them: one immutable [`Table`], swapped as a whole, whose shards are
//! shared with the table before, and whose backends carry their counters over from table to table.
//!
//! It must not know sockets. The order of writes in [`Routes::commit`] and [`Backend::lease`] is
//! what makes "drained" and "resting" true: read both together, then [`rest`].

mod activity;
mod app;
mod backend;
mod keeper;
mod names;
mod news;
mod rest;
mod secure;
mod waiting;

use std::{
    cell::RefCell,
    collections::HashMap,
    hash::Hash,
    ops::Deref,
    rc::Rc,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use api::clock::Time;
use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};

use self::{
    activity::{Activity, millis},
    keeper::Prepared,
    news::News,
};
pub(crate) use self::{
    app::{App, NoLease, Wish},
    backend::{Backend, Lease},
    keeper::{Change, Keeper},
    names::Names,
    news::Subject,
    rest::{Duty, Standing, Wake},
    secure::{Passage, Secure, to_https},
    waiting::Waiting,
};
use crate::{
    certificates::{Certificates, Shown},
    edge::Rules,
    files::Files,
    wire::{AppRoutes, AppState, Entry, EntryKey},
};

/// The newest table, shared by all threads.
#[derive(Debug)]
pub(crate) struct Routes {
    newest: RwLock<Arc<Table>>,
    /// Rises with each new table.
    generation: AtomicU64,
    next_serial: AtomicU64,
    /// See [`crate::RouterConfig::max_in_flight_per_dyno`].
    max_in_flight: usize,
    /// How many backends were cut so far: [`Backend::cut`].
    pub(crate) cuts: Arc<AtomicU64>,
    pub(crate) certificates: Arc<Certificates>,
    /// What the server may have to learn: see [`Routes::wait_news`].
    news: Arc<News>,
    /// Told when a change concerns the status page.
    status_news: Notify,
    /// The writer's view of the table; no request waits for it.
    keeper: Mutex<Keeper>,
    /// Told the serial numbers of backends that left.
    lanes: Mutex<Vec<mpsc::UnboundedSender<u64>>>,
    started: Instant,
}

/// Routes by host.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    /// 0 until the first table came, from the server or from disk.
    pub(crate) version: u64,
    apps: Arc<Names<Arc<App>>>,
}

/// What came of a change.
#[derive(Debug, Default)]
pub(crate) struct Committed {
    /// No request begins on these after this, and [`Routes::wait_news`] tells when one of theirs
    /// has ended.
    pub(crate) left: Vec<Arc<Backend>>,
    /// The entries that are gone.
    pub(crate) gone: Vec<EntryKey>,
}

/// One thread's look at the newest table.
#[derive(Debug)]
pub(crate) struct LocalRoutes {
    pub(crate) shared: Arc<Routes>,
    /// Counted by this thread alone, so that looking costs no write that others see.
    seen: RefCell<(u64, Rc<Hold>)>,
}

/// One thread's hold on a table.
#[derive(Debug)]
pub(crate) struct Hold(Arc<Table>);

impl Deref for Hold {
    type Target = Table;

    fn deref(&self) -> &Table {
        &self.0
    }
}

impl Routes {
    pub(crate) fn new(max_in_flight: usize) -> Self {
        Self {
            max_in_flight,
            newest: RwLock::default(),
            generation: AtomicU64::new(0),
            next_serial: AtomicU64::new(1),
            cuts: Arc::default(),
            certificates: Arc::default(),
            news: Arc::default(),
            status_news: Notify::new(),
            keeper: Mutex::default(),
            lanes: Mutex::default(),
            started: Instant::now(),
        }
    }

    /// A change to be filled and committed. A whole one replaces the table, else it alters it.
    pub(crate) fn begin(version: u64, is_whole: bool) -> Change {
        Change::new(version, is_whole)
    }

    /// Puts an entry into a change. Returns whether it is news; `fingerprint` tells.
    pub(crate) fn set(&self, change: &mut Change, entry: Entry, fingerprint: u64) -> bool {
        let keeper = self.keeper();
        let key = entry.key();
        if !change.see(&key, fingerprint, &keeper) {
            return false;
        }
        match entry {
            Entry::App(routes) => {
                let former = keeper.apps.get(&routes.app);
                let prepared = self.prepare(routes, fingerprint, former);
                change.apps.insert(prepared.app.id, Some(prepared));
            }
            Entry::Certificate(certificate) => {
                let id = certificate.id;
                change
                    .certificates
                    .insert(id, Some((fingerprint, certificate)));
            }
            Entry::Challenge(challenge) => {
                let told = Some((fingerprint, challenge));
                change.challenges.insert(key, told);
            }
            Entry::Note(note) => drop(change.notes.insert(note.id, Some((fingerprint, note)))),
        }
        true
    }

    /// Routes by the changed table from now on.
    ///
    /// Must not be called on two threads at once, nor while another change is being made.
    pub(crate) fn commit(&self, mut change: Change) -> Committed {
        let mut keeper = self.keeper();
        let gone = change.close(&keeper);
        let mut after = Table::clone(&self.current());
        after.version = change.version;
        // First: who sees the new routes shall not be shown a former certificate.
        self.show_certificates(&mut keeper, &mut change);
        let is_first = self.current().version == 0;
        let mut concerns_status = is_first || !change.notes.is_empty();
        for (id, told) in change.notes {
            match told {
                Some(told) => keeper.notes.insert(id, told),
                None => keeper.notes.remove(&id),
            };
        }
        let mut left = Vec::new();
        let mut subjects = Vec::new();
        let mut changed = Vec::new();
        if !change.apps.is_empty() {
            let names = Arc::make_mut(&mut after.apps);
            for (id, prepared) in change.apps {
                // Before anybody looks whether a request is in flight on its backends.
                let app = prepared.map(Prepared::tell);
                let former = match &app {
                    Some(app) => keeper.apps.insert(id, Arc::clone(app)),
                    None => keeper.apps.remove(&id),
                };
                let wants = app.as_ref().is_some_and(|app| app.is_on_status_page);
                concerns_status |= keeper.show(id, wants);
                take_place(names, former.as_deref(), app.as_ref());
                changed.extend(former.as_ref().or(app.as_ref()).map(Arc::clone));
                subjects_of(former.as_deref(), app.as_deref(), &mut subjects);
                left.extend(
                    former
                        .iter()
                        .flat_map(|former| former.left_by(app.as_deref())),
                );
            }
        }
        drop(keeper);
        *self.newest.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(after);
        self.generation.fetch_add(1, Ordering::SeqCst);
        // Only now: a request that finds its backend retired looks again and finds the new table.
        for backend in &left {
            backend.retire();
        }
        for app in changed {
            app.queue.tell_changed();
        }
        self.tell_lanes(&left);
        for subject in subjects {
            self.news.tell(subject);
        }
        if concerns_status {
            self.status_news.notify_one();
        }
        Committed { left, gone }
    }

    pub(crate) fn current(&self) -> Arc<Table> {
        Arc::clone(&self.newest.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// All entries. For the thread that commits changes; no other may wait for it.
    pub(crate) fn keeper(&self) -> MutexGuard<'_, Keeper> {
        self.keeper.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when a request has ended on a backend outside the table, or the last one on a
    /// backend with a ticket; when a wake is over; when a request waits for an app that is asleep;
    /// when a change concerned any of these. Safe to drop.
    pub(crate) async fn wait_news(&self) {
        self.news.wait().await;
    }

    /// Returns when a change concerned the status page: its notes, or an app on it. For one waiter.
    /// Safe to drop.
    pub(crate) async fn wait_status_news(&self) {
        self.status_news.notified().await;
    }

    /// What that was.
    pub(crate) fn take_news(&self) -> Vec<Subject> {
        self.news.take()
    }

    fn prepare(&self, routes: AppRoutes, fingerprint: u64, former: Option<&Arc<App>>) -> Prepared {
        let activity = former.map_or_else(
            || Arc::new(Activity::new(self.started)),
            |app| Arc::clone(&app.activity),
        );
        let mut extras = *routes.extras.unwrap_or_default();
        // Which makes no difference to a request.
        let is_on_status_page = std::mem::take(&mut extras.edge.is_on_status_page);
        let has_affinity = extras.has_affinity;
        let former_rules = former.and_then(|app| app.rules.as_ref());
        let rules = Rules::build(&extras, &routes.name, former_rules);
        let mut backends: Vec<Arc<Backend>> = Vec::with_capacity(routes.backends.len());
        let mut tickets = Vec::with_capacity(routes.backends.len());
        for told in routes.backends {
            let is_it = |at: &&Arc<Backend>| at.dyno == told.dyno && at.address == told.address;
            if backends.iter().any(|at| is_it(&at)) {
                continue;
            }
            let live = former.and_then(|app| app.backends.iter().find(is_it));
            let live = live.map_or_else(
                || Arc::new(Backend::new(routes.app, &told, self, &activity)),
                Arc::clone,
            );
            backends.push(live);
            tickets.push(told.sleep);
        }
        let hosts = routes.hosts.iter().map(|host| Names::<()>::key(host));
        let hosts: Box<[_]> = hosts.collect();
        let app = App {
            id: routes.app,
            state: routes.state,
            other_name: App::other_name(&routes.name, &hosts),
            hosts,
            may_sleep: tickets.iter().any(Option::is_some),
            backends,
            queue: former.map_or_else(Arc::default, |app| Arc::clone(&app.queue)),
            activity,
            secure: Secure::new(&routes.tls),
            rules,
            files: Files::build(&extras),
            pages: (!extras.pages.is_empty()).then(|| Arc::new(extras.pages)),
            has_affinity,
            is_on_status_page,
            fingerprint,
        };
        Prepared {
            app,
            tickets,
            authority: routes.tls.client_authority,
        }
    }

    fn show_certificates(&self, keeper: &mut Keeper, change: &mut Change) {
        let mut shown = Shown::clone(&self.certificates.shown());
        let mut differs = false;
        for (id, told) in change.certificates.drain() {
            differs = true;
            shown.set_certificate(id, told.as_ref().map(|(_, certificate)| certificate));
            keep(&mut keeper.certificates, id, told.as_ref());
        }
        for (key, told) in change.challenges.drain() {
            differs = true;
            shown.set_answer(&key, told.as_ref().map(|(_, challenge)| challenge));
            keep(&mut keeper.challenges, key, told.as_ref());
        }
        for (id, prepared) in &change.apps {
            let former = keeper.apps.get(id).map_or(&[][..], |app| &app.hosts);
            let (hosts, authority) = match prepared {
                Some(Prepared { app, authority, .. }) => (&app.hosts[..], authority.as_ref()),
                None => (&[][..], None),
            };
            differs |= shown.set_demand(*id, (former, hosts), authority);
        }
        if differs {
            self.certificates.show(shown);
        }
    }

    fn tell_lanes(&self, left: &[Arc<Backend>]) {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        for backend in left {
            lanes.retain(|lane| lane.send(backend.serial).is_ok());
        }
    }

    /// When the router started, if it is `now` now: what [`Activity`] counts from.
    pub(crate) fn started_at(&self, now: Time) -> Time {
        let elapsed = i64::try_from(self.started.elapsed().as_micros()).unwrap_or(i64::MAX);
        Time::from_micros(now.as_micros().saturating_sub(elapsed))
    }

    /// Milliseconds since the router started.
    pub(crate) fn elapsed_ms(&self) -> u64 {
        self.elapsed_ms_at(Instant::now())
    }

    /// The same for who knows the time.
    pub(crate) fn elapsed_ms_at(&self, now: Instant) -> u64 {
        millis(now.duration_since(self.started))
    }
}

impl Prepared {
    /// Has the tickets told. From now on a request finds them due.
    fn tell(self) -> Arc<App> {
        for (backend, ticket) in self.app.backends.iter().zip(&self.tickets) {
            backend.rest.tell(ticket.as_ref());
        }
        Arc::new(self.app)
    }
}

/// Has `app` answer on its hosts, and nobody on those that only `former` had.
fn take_place(names: &mut Names<Arc<App>>, former: Option<&App>, app: Option<&Arc<App>>) {
    if let Some(former) = former {
        let kept = app.map_or(&[][..], |app| &app.hosts);
        for host in former.hosts.iter().filter(|host| !kept.contains(host)) {
            // Another app may have taken it over.
            names.remove_if(host, |owner| owner.id == former.id);
        }
        if former.state != AppState::Asleep {
            former.queue.forget_call();
        }
    }
    if let Some(app) = app {
        for host in &app.hosts {
            names.insert(Arc::clone(host), Arc::clone(app));
        }
    }
}

/// Notes the fingerprint of what was told under a key, or that it is gone.
fn keep<K: Eq + Hash, T>(fingerprints: &mut HashMap<K, u64>, key: K, told: Option<&(u64, T)>) {
    match told {
        Some((fingerprint, _)) => fingerprints.insert(key, *fingerprint),
        None => fingerprints.remove(&key),
    };
}

/// What the server may have to learn of sleep when one takes the other's place.
fn subjects_of(former: Option<&App>, app: Option<&App>, subjects: &mut Vec<Subject>) {
    for app in former.iter().chain(&app) {
        if app.knows_sleep() {
            subjects.push(Subject::App(app.id));
            let dynos = app.backends.iter().map(|at| Subject::Dyno(app.id, at.dyno));
            subjects.extend(dynos);
        }
    }
}

impl Table {
    /// The app that answers on a host (lower case, without port): the one that names it, else the
    /// one that names all hosts one label below its parent.
    pub(crate) fn find(&self, host: &str) -> Option<&Arc<App>> {
        self.apps.find(host)
    }
}

impl LocalRoutes {
    pub(crate) fn new(shared: Arc<Routes>) -> Self {
        let seen = RefCell::new((0, Rc::new(Hold(shared.current()))));
        let local = Self { shared, seen };
        local.table();
        local
    }

    /// The newest table; costs one atomic read while nothing changes.
    pub(crate) fn table(&self) -> Rc<Hold> {
        let generation = self.shared.generation.load(Ordering::SeqCst);
        let mut seen = self.seen.borrow_mut();
        if seen.0 != generation {
            *seen = (generation, Rc::new(Hold(self.shared.current())));
        }
        Rc::clone(&seen.1)
    }

    /// The serial numbers of the backends that leave from now on.
    pub(crate) fn leaving(&self) -> mpsc::UnboundedReceiver<u64> {
        let (sender, leaving) = mpsc::unbounded_channel();
        let mut lanes = self.shared.lanes.lock();
        lanes
            .as_mut()
            .unwrap_or_else(|poisoned| poisoned.get_mut())
            .push(sender);
        leaving
    }
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, time::Duration};

    use api::ids::{AppId, DynoId};

    use super::*;
    use crate::wire::{self, RouteTable, entry};

    impl Routes {
        /// Routes by a whole table from now on.
        fn apply(&self, table: &RouteTable) -> Vec<Arc<Backend>> {
            let mut change = Self::begin(table.version, true);
            for entry in table.clone().into_entries() {
                let fingerprint = entry::fingerprint(&serde_json::to_vec(&entry).unwrap());
                self.set(&mut change, entry, fingerprint);
            }
            self.commit(change).left
        }
    }

    fn table(version: u64, ports: &[(DynoId, u16)]) -> RouteTable {
        let backends = ports.iter().map(|(dyno, port)| wire::Backend {
            dyno: *dyno,
            name: "web.1".parse().unwrap(),
            address: SocketAddr::from(([127, 0, 0, 1], *port)),
            sleep: None,
        });
        RouteTable {
            version,
            apps: vec![AppRoutes {
                app: AppId::from(uuid::Uuid::nil()),
                name: "example".parse().unwrap(),
                hosts: vec!["Example.localhost".to_owned()],
                state: AppState::Serving,
                backends: backends.collect(),
                tls: wire::AppTls::default(),
                extras: None,
            }],
            ..RouteTable::default()
        }
    }

    fn lease(routes: &Routes, tried: &[u64]) -> Result<Lease, NoLease> {
        routes.current().find("example.localhost").unwrap().lease(
            (routes, Instant::now()),
            tried,
            Wish::default(),
        )
    }

    #[test]
    fn counts_survive_a_new_table_and_a_retired_backend_gets_no_request() {
        let routes = Routes::new(100);
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
        assert_eq!(
            app.lease((&routes, Instant::now()), &[], Wish::default())
                .unwrap_err(),
            NoLease::Outdated
        );
        drop(held);
        assert_eq!(left[0].in_flight(), 0);
        assert_eq!(lease(&routes, &[]).unwrap().backend().dyno, new);
    }

    #[test]
    fn two_choices_prefer_the_idle_and_quarantine_is_a_last_resort() {
        let routes = Routes::new(100);
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
        let routes = Routes::new(100);
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
