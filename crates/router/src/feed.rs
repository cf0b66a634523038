//! The server's end of the route feed: publishes tables, learns what the router made of them.
//!
//! It must not know how a table is planned nor how a request is routed. Read [`Feed`] first.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use api::ids::DynoId;
use tokio::{
    io::{AsyncWrite, BufReader},
    net::UnixStream,
    sync::{broadcast, watch},
    task::AbortHandle,
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::wire::{
    AppState, FromRouter, MessageReader, PROTOCOL, RouteTable, ToRouter, WireError, write_message,
};

/// Without a router for this long, nobody waits for it any more.
const ROUTER_GRACE: Duration = Duration::from_secs(2);
/// How long a router may take to greet.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// The first protocol that speaks of sleep.
pub(crate) const PROTOCOL_WITH_SLEEP: u32 = 2;
/// Notices kept for a receiver that lags behind.
const NOTICES: usize = 4096;
const FIRST_BACK_OFF: Duration = Duration::from_millis(20);
const LAST_BACK_OFF: Duration = Duration::from_secs(1);

/// A standing connection to the router. Clones share it; it ends with the last one.
#[derive(Clone, Debug)]
pub struct Feed {
    newest: Arc<watch::Sender<Option<Arc<Published>>>>,
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

/// A table with the dynos it names.
#[derive(Debug)]
struct Published {
    table: RouteTable,
    dynos: HashSet<DynoId>,
}

/// What is known of the router.
#[derive(Clone, Debug)]
struct View {
    /// `Err` holds since when no router is connected.
    connected: Result<(), Instant>,
    connections: u64,
    sent: Option<Arc<Published>>,
    applied: Option<Arc<Published>>,
    in_flight: HashMap<DynoId, u64>,
    addresses: Option<Addresses>,
}

/// Where what the router says goes.
struct Told {
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
        let (newest, newest_receiver) = watch::channel(None);
        let (view_sender, view) = watch::channel(View {
            connected: Err(Instant::now()),
            connections: 0,
            sent: None,
            applied: None,
            in_flight: HashMap::new(),
            addresses: None,
        });
        let (notices, _) = broadcast::channel(NOTICES);
        let told = Told {
            view: view_sender,
            notices: notices.clone(),
        };
        let task = tokio::spawn(keep_connected(socket, newest_receiver, told));
        Self {
            newest: Arc::new(newest),
            view,
            notices,
            _link: Arc::new(Link(task.abort_handle())),
        }
    }

    /// What the router tells of sleep from now on: [`FromRouter::Resting`], `Woken`, `WakeApp` and
    /// `Activity`, nothing else.
    pub fn notices(&self) -> broadcast::Receiver<FromRouter> {
        self.notices.subscribe()
    }

    /// Makes `table` the one the router shall serve by. Returns at once; tables published while
    /// the router is busy or away are skipped but for the newest. Versions must rise.
    pub fn publish(&self, table: RouteTable) {
        let dynos = table
            .apps
            .iter()
            .flat_map(|app| &app.backends)
            .map(|backend| backend.dyno)
            .collect();
        self.newest
            .send_replace(Some(Arc::new(Published { table, dynos })));
    }

    /// Waits until the router serves by the table of this version or a newer one. Safe to drop.
    pub async fn wait_applied(&self, version: u64) -> Wait {
        self.wait(|view| {
            view.applied
                .as_ref()
                .is_some_and(|at| at.table.version >= version)
        })
        .await
    }

    /// Waits until no request can reach the dyno and none is in flight on it: the router serves by
    /// a table without it, and its requests and upgraded connections have ended (the router cuts
    /// them after its drain time). The newest published table must be one without the dyno: until
    /// then this waits, router or not. Safe to drop.
    pub async fn wait_drained(&self, dyno: DynoId) -> Wait {
        let mut newest = self.newest.subscribe();
        let without = newest
            .wait_for(|newest| newest.as_ref().is_some_and(|at| !at.dynos.contains(&dyno)))
            .await
            .map(|newest| newest.as_ref().map_or(0, |at| at.table.version));
        debug_assert!(without.is_ok(), "the sender lives in self");
        let version = without.unwrap_or(0);
        self.wait(|view| view.has_drained(dyno, version)).await
    }

    /// Whether [`Feed::wait_drained`] would return at once.
    pub fn is_drained(&self, dyno: DynoId) -> bool {
        let version = match &*self.newest.borrow() {
            Some(at) if !at.dynos.contains(&dyno) => at.table.version,
            _ => return false,
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
    /// `version` is that of a table without the dyno. An older one without it tells nothing: a
    /// table with the dyno may be on its way.
    fn has_drained(&self, dyno: DynoId, version: u64) -> bool {
        self.applied
            .as_ref()
            .is_some_and(|at| at.table.version >= version && !at.dynos.contains(&dyno))
            && !self.in_flight.contains_key(&dyno)
    }
}

async fn keep_connected(
    socket: PathBuf,
    mut newest: watch::Receiver<Option<Arc<Published>>>,
    told: Told,
) {
    let mut back_off = FIRST_BACK_OFF;
    while newest.has_changed().is_ok() {
        match follow(&socket, &mut newest, &told).await {
            Ok(()) => tracing::info!("the router closed its connection"),
            Err(error) => tracing::debug!(%error, socket = %socket.display(), "no router"),
        }
        if told.view.borrow().connected.is_ok() {
            back_off = FIRST_BACK_OFF;
            told.view
                .send_modify(|view| view.connected = Err(Instant::now()));
        }
        sleep(back_off).await;
        back_off = (back_off * 2).min(LAST_BACK_OFF);
    }
}

/// One connection, from greeting to its end.
async fn follow(
    socket: &Path,
    newest: &mut watch::Receiver<Option<Arc<Published>>>,
    told: &Told,
) -> Result<(), WireError> {
    let (reader, writer) = UnixStream::connect(socket).await?.into_split();
    let mut messages = MessageReader::new(BufReader::new(reader));
    let hello = timeout(HELLO_TIMEOUT, messages.next())
        .await
        .map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))??;
    let Some(FromRouter::Hello {
        protocol,
        http_addr,
        https_addr,
        pid,
        ..
    }) = hello
    else {
        return Ok(());
    };
    tracing::info!(pid, protocol, %http_addr, %https_addr, "the router is connected");
    let connections = told.view.borrow().connections + 1;
    told.view.send_replace(View {
        connected: Ok(()),
        connections,
        sent: None,
        applied: None,
        in_flight: HashMap::new(),
        addresses: Some(Addresses {
            http: http_addr,
            https: https_addr,
        }),
    });
    let heard = async {
        while let Some(message) = messages.next().await? {
            told.hear(message);
        }
        Ok(())
    };
    tokio::select! {
        heard = heard => heard,
        sent = send_tables(writer, protocol, newest, &told.view) => sent,
    }
}

impl Told {
    fn hear(&self, message: FromRouter) {
        self.view.send_modify(|view| hear(view, &message));
        if matches!(
            message,
            FromRouter::Resting { .. }
                | FromRouter::Woken { .. }
                | FromRouter::WakeApp { .. }
                | FromRouter::Activity { .. }
        ) {
            // Nobody listening is fine: then nobody puts dynos to sleep either.
            drop(self.notices.send(message));
        }
    }
}

fn hear(view: &mut View, message: &FromRouter) {
    match *message {
        FromRouter::Applied { version } => {
            if view
                .sent
                .as_ref()
                .is_some_and(|sent| sent.table.version == version)
            {
                view.applied.clone_from(&view.sent);
            }
        }
        FromRouter::InFlight { dyno, count } => {
            view.in_flight.insert(dyno, count);
        }
        FromRouter::Drained { dyno } => {
            view.in_flight.remove(&dyno);
        }
        FromRouter::Hello { .. }
        | FromRouter::Resting { .. }
        | FromRouter::Woken { .. }
        | FromRouter::WakeApp { .. }
        | FromRouter::Activity { .. } => {}
    }
}

/// Sends the newest table whenever the router has taken the one before.
async fn send_tables(
    mut writer: impl AsyncWrite + Unpin,
    protocol: u32,
    newest: &mut watch::Receiver<Option<Arc<Published>>>,
    view: &watch::Sender<View>,
) -> Result<(), WireError> {
    let mut answers = view.subscribe();
    let knows_sleep = protocol >= PROTOCOL_WITH_SLEEP;
    if knows_sleep {
        let hello = ToRouter::Hello { protocol: PROTOCOL };
        write_message(&mut writer, &hello).await?;
    } else {
        tracing::warn!(
            protocol,
            "the router is of an old release: no app can sleep"
        );
    }
    loop {
        let published = newest.borrow_and_update().clone();
        if let Some(published) = published {
            view.send_modify(|view| view.sent = Some(Arc::clone(&published)));
            let mut table = published.table.clone();
            if !knows_sleep {
                forget_sleep(&mut table);
            }
            write_message(&mut writer, &ToRouter::Routes(table)).await?;
            let is_taken = |view: &View| {
                view.applied
                    .as_ref()
                    .is_some_and(|applied| Arc::ptr_eq(applied, &published))
            };
            if answers.wait_for(is_taken).await.is_err() {
                return Ok(());
            }
        }
        if newest.changed().await.is_err() {
            return Ok(());
        }
    }
}

/// Says it in the words of protocol 1.
fn forget_sleep(table: &mut RouteTable) {
    for app in &mut table.apps {
        if app.state == AppState::Asleep {
            app.state = AppState::Booting;
        }
        for backend in &mut app.backends {
            backend.sleep = None;
        }
    }
}
