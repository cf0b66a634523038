//! The server's end of the route feed: publishes tables, learns what the router made of them.
//!
//! It must not know how a table is planned nor how a request is routed. Read [`Feed`] first.

mod link;
mod model;

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use api::ids::DynoId;
use tokio::{
    sync::{broadcast, watch},
    task::AbortHandle,
    time::{Instant, sleep_until},
};

use self::model::Model;
use crate::wire::{Entry, EntryKey, FromRouter, RouteTable};

/// Without a router for this long, nobody waits for it any more.
const ROUTER_GRACE: Duration = Duration::from_secs(2);
/// How long a router may take to greet.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// The first protocol that speaks of sleep.
pub(crate) const PROTOCOL_WITH_SLEEP: u32 = 2;
/// The first that tells the table entry by entry.
pub(crate) const PROTOCOL_WITH_ENTRIES: u32 = 3;
/// The first in which the server gives its word, and tells notes.
pub(crate) const PROTOCOL_WITH_WORD: u32 = 4;
/// The first in which the router says how long requests take.
pub(crate) const PROTOCOL_WITH_SERVICE_TIMES: u32 = 5;
/// Between two words.
const WORD_INTERVAL: Duration = Duration::from_secs(5);
/// A connected server that says nothing for so long is stuck.
pub(crate) const SILENCE: Duration = Duration::from_secs(15);
/// Notices kept for a receiver that lags behind.
const NOTICES: usize = 4096;
const FIRST_BACK_OFF: Duration = Duration::from_millis(20);
const LAST_BACK_OFF: Duration = Duration::from_secs(1);

/// A standing connection to the router. Clones share it; it ends with the last one.
#[derive(Clone, Debug)]
pub struct Feed {
    model: Arc<Mutex<Model>>,
    /// The model's version.
    newest: Arc<watch::Sender<u64>>,
    view: watch::Receiver<View>,
    notices: broadcast::Sender<FromRouter>,
    _link: Arc<Link>,
}

/// Where the router accepts requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Plain HTTP.
    pub http: SocketAddr,
    /// TLS.
    pub https: SocketAddr,
}

/// How a wait for the router ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Wait {
    /// The router confirmed it.
    Done,
    /// No router has been connected for a moment; it gets the newest table when it comes back.
    NoRouter,
}

/// What is known of the router.
#[derive(Clone, Debug)]
struct View {
    /// `Err` holds since when no router is connected.
    connected: Result<(), Instant>,
    connections: u64,
    /// The version last told on this connection, and the one it was said to serve by.
    sent: Option<u64>,
    applied: Option<u64>,
    /// It asks to be told the whole table.
    is_lost: bool,
    in_flight: HashMap<DynoId, u64>,
    addresses: Option<Addresses>,
    /// As in [`FromRouter::ServiceTimes`].
    service_times: Vec<u64>,
}

/// Where what the router says goes.
struct Told {
    model: Arc<Mutex<Model>>,
    view: watch::Sender<View>,
    notices: broadcast::Sender<FromRouter>,
}

/// The task that keeps the connection.
#[derive(Debug)]
struct Link(AbortHandle);

impl Drop for Link {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Feed {
    /// Connects to the router's socket, and again for ever when it is not there or goes away. Needs
    /// a tokio runtime around it.
    pub fn connect(socket: PathBuf) -> Self {
        let model = Arc::default();
        let (newest, newest_receiver) = watch::channel(0);
        let (view_sender, view) = watch::channel(View {
            connected: Err(Instant::now()),
            connections: 0,
            sent: None,
            applied: None,
            is_lost: false,
            in_flight: HashMap::new(),
            addresses: None,
            service_times: Vec::new(),
        });
        let (notices, _) = broadcast::channel(NOTICES);
        let told = Told {
            model: Arc::clone(&model),
            view: view_sender,
            notices: notices.clone(),
        };
        let link = link::keep_connected(socket, Arc::clone(&model), newest_receiver, told);
        Self {
            model,
            newest: Arc::new(newest),
            view,
            notices,
            _link: Arc::new(Link(tokio::spawn(link).abort_handle())),
        }
    }

    /// What the router tells of sleep from now on: [`FromRouter::Resting`], `Woken`, `WakeApp` and
    /// `Activity`, nothing else.
    pub fn notices(&self) -> broadcast::Receiver<FromRouter> {
        self.notices.subscribe()
    }

    /// What the connected router said last in [`FromRouter::ServiceTimes`]; empty if it has not.
    pub fn service_times(&self) -> Vec<u64> {
        self.view.borrow().service_times.clone()
    }

    /// Makes `table` the one the router shall serve by. Returns at once; versions published while
    /// the router is busy or away are skipped but for the newest. Versions must rise.
    pub fn publish(&self, table: RouteTable) {
        self.replace(table.version, table.into_entries().collect());
    }

    /// The same for a table given as its entries.
    pub fn replace(&self, version: u64, entries: Vec<Entry>) {
        locked(&self.model).replace(version, entries);
        self.newest.send_replace(version);
    }

    /// Changes the table that the router shall serve by; costs what it changes. Returns whether it
    /// changes anything: else there is no such version.
    pub fn change(&self, version: u64, set: Vec<Entry>, unset: Vec<EntryKey>) -> bool {
        let differs = locked(&self.model).alter(version, set, unset);
        if differs {
            self.newest.send_replace(version);
        }
        differs
    }

    /// Waits until the router serves by the table of this version or a newer one. Safe to drop.
    pub async fn wait_applied(&self, version: u64) -> Wait {
        self.wait(|view| view.applied.is_some_and(|applied| applied >= version))
            .await
    }

    /// Waits until no request can reach the dyno and none is in flight on it: the router serves by
    /// a table without it, and its requests and upgraded connections have ended (the router cuts
    /// them after its drain time). The newest published table must be one without the dyno: until
    /// then this waits, router or not. Safe to drop.
    pub async fn wait_drained(&self, dyno: DynoId) -> Wait {
        let mut newest = self.newest.subscribe();
        let version = loop {
            newest.borrow_and_update();
            if let Some(version) = locked(&self.model).is_without(dyno) {
                break version;
            }
            let changed = newest.changed().await;
            debug_assert!(changed.is_ok(), "the sender lives in self");
        };
        self.wait(|view| view.has_drained(dyno, version)).await
    }

    /// Whether [`Feed::wait_drained`] would return at once.
    pub fn is_drained(&self, dyno: DynoId) -> bool {
        let Some(version) = locked(&self.model).is_without(dyno) else {
            return false;
        };
        let view = self.view.borrow();
        let given_up = view
            .connected
            .is_err_and(|since| since.elapsed() >= ROUTER_GRACE);
        given_up || view.has_drained(dyno, version)
    }

    /// How often a router has connected: what was heard before the last time may be outdated.
    pub fn connections(&self) -> u64 {
        self.view.borrow().connections
    }

    /// Whether a router is connected.
    pub fn is_connected(&self) -> bool {
        self.view.borrow().connected.is_ok()
    }

    /// Where the router accepts requests, as it last said; `None` before the first connection.
    pub fn addresses(&self) -> Option<Addresses> {
        self.view.borrow().addresses
    }

    /// Waits for the first connection. Safe to drop.
    pub async fn wait_addresses(&self) -> Addresses {
        let mut view = self.view.clone();
        loop {
            if let Some(addresses) = view.borrow_and_update().addresses {
                return addresses;
            }
            if view.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    async fn wait(&self, is_done: impl Fn(&View) -> bool) -> Wait {
        let mut view = self.view.clone();
        loop {
            let lost = {
                let now = view.borrow_and_update();
                if now.connected.is_ok() && is_done(&now) {
                    return Wait::Done;
                }
                now.connected.err()
            };
            let give_up = async {
                match lost {
                    Some(since) => sleep_until(since + ROUTER_GRACE).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = view.changed() => if changed.is_err() { return Wait::NoRouter },
                () = give_up => return Wait::NoRouter,
            }
        }
    }
}

impl View {
    fn connected(connections: u64, addresses: Addresses) -> Self {
        Self {
            connected: Ok(()),
            connections,
            sent: None,
            applied: None,
            is_lost: false,
            in_flight: HashMap::new(),
            addresses: Some(addresses),
            service_times: Vec::new(),
        }
    }

    /// The table is without the dyno from `version` on. An older one without it tells nothing: a
    /// table with the dyno may be on its way.
    fn has_drained(&self, dyno: DynoId, version: u64) -> bool {
        self.applied.is_some_and(|applied| applied >= version)
            && !self.in_flight.contains_key(&dyno)
    }
}

impl Told {
    fn hear(&self, message: FromRouter) {
        self.view.send_modify(|view| hear(view, &message));
        match message {
            FromRouter::Applied { version } => locked(&self.model).is_applied(version),
            FromRouter::Rejected { key, error } => {
                tracing::error!(?key, error, "the router cannot use an entry of the routes");
            }
            FromRouter::Resting { .. }
            | FromRouter::Woken { .. }
            | FromRouter::WakeApp { .. }
            | FromRouter::Activity { .. } => {
                // Nobody listening is fine: then nobody puts dynos to sleep either.
                drop(self.notices.send(message));
            }
            FromRouter::Hello { .. }
            | FromRouter::InFlight { .. }
            | FromRouter::Drained { .. }
            | FromRouter::ServiceTimes { .. }
            | FromRouter::Resync => {}
        }
    }
}

fn hear(view: &mut View, message: &FromRouter) {
    match *message {
        FromRouter::ServiceTimes { ref counts } => view.service_times.clone_from(counts),
        FromRouter::Applied { version } if view.sent == Some(version) => {
            view.applied = Some(version);
        }
        FromRouter::InFlight { dyno, count } => {
            view.in_flight.insert(dyno, count);
        }
        FromRouter::Drained { dyno } => {
            view.in_flight.remove(&dyno);
        }
        FromRouter::Resync => view.is_lost = true,
        FromRouter::Applied { .. }
        | FromRouter::Hello { .. }
        | FromRouter::Rejected { .. }
        | FromRouter::Resting { .. }
        | FromRouter::Woken { .. }
        | FromRouter::WakeApp { .. }
        | FromRouter::Activity { .. } => {}
    }
}

fn locked(model: &Mutex<Model>) -> MutexGuard<'_, Model> {
    model.lock().unwrap_or_else(PoisonError::into_inner)
}
