//! A router that serves nobody: it takes every table, remembers it and says so.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use api::ids::{AppId, DynoId};
use router::wire::{
    AppRoutes, AppState, Entry, EntryKey, FromRouter, MessageReader, PROTOCOL, RouteTable,
    ToRouter, write_message,
};
use tokio::{
    io::BufReader,
    net::{UnixListener, UnixStream},
    runtime::Runtime,
    sync::{mpsc, watch},
};

/// Runs beside the platform and survives its restarts, as the real one does.
pub(crate) struct RecordingRouter {
    memory: Arc<Memory>,
    runtime: Option<Runtime>,
}

#[derive(Default)]
struct Memory {
    tables: Mutex<Vec<RouteTable>>,
    /// Dynos with a request that does not end.
    busy: watch::Sender<BTreeSet<DynoId>>,
    /// What it says of itself, see [`RecordingRouter::say`].
    said: Mutex<Option<mpsc::UnboundedSender<FromRouter>>>,
}

impl RecordingRouter {
    pub(crate) fn listen(socket: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let memory = Arc::new(Memory::default());
        let _inside = runtime.enter();
        let listener = UnixListener::bind(socket).unwrap();
        runtime.spawn(accept(listener, Arc::clone(&memory)));
        Self {
            memory,
            runtime: Some(runtime),
        }
    }

    /// Every table so far, oldest first.
    pub(crate) fn tables(&self) -> Vec<RouteTable> {
        self.memory.tables().clone()
    }

    /// The number of the newest table and what it says of the app.
    pub(crate) fn newest(&self, app: AppId) -> (u64, Option<AppRoutes>) {
        let tables = self.memory.tables();
        let Some(table) = tables.last() else {
            return (0, None);
        };
        let routes = table.apps.iter().find(|routes| routes.app == app);
        (table.version, routes.cloned())
    }

    /// What the tables said of the app, one after the other, without repeats.
    pub(crate) fn history(&self, app: AppId) -> Vec<AppRoutes> {
        let mut history: Vec<AppRoutes> = self
            .memory
            .tables()
            .iter()
            .filter_map(|table| table.apps.iter().find(|routes| routes.app == app))
            .cloned()
            .collect();
        history.dedup();
        history
    }

    /// Whether the app, once it served, was ever without a dyno to serve it.
    pub(crate) fn had_gap(&self, app: AppId) -> bool {
        let history = self.history(app);
        let mut states = history.iter().map(|routes| routes.state);
        states.any(|state| state == AppState::Serving)
            && states.any(|state| state != AppState::Serving)
    }
}

impl RecordingRouter {
    /// From now on the dyno has a request that does not end.
    pub(crate) fn occupy(&self, dyno: DynoId) {
        self.memory.busy.send_if_modified(|busy| busy.insert(dyno));
    }

    /// Its request ends.
    pub(crate) fn free(&self, dyno: DynoId) {
        self.memory.busy.send_if_modified(|busy| busy.remove(&dyno));
    }
}

impl RecordingRouter {
    /// Says something to the server that is connected; nobody hears it without one.
    pub(crate) fn say(&self, word: FromRouter) {
        let said = self.memory.said.lock().unwrap();
        if let Some(server) = said.as_ref() {
            drop(server.send(word));
        }
    }
}

impl Drop for RecordingRouter {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Listens to one server at a time, the one that connected last: what a killed one left in its
/// socket must not come after the tables of its successor.
async fn accept(listener: UnixListener, memory: Arc<Memory>) {
    let mut serving: Option<tokio::task::JoinHandle<_>> = None;
    while let Ok((server, _)) = listener.accept().await {
        if let Some(former) = serving.take() {
            former.abort();
        }
        serving = Some(tokio::spawn(serve(server, Arc::clone(&memory))));
    }
}

/// Ends, as it should, when the server goes away.
async fn serve(server: UnixStream, memory: Arc<Memory>) -> Option<()> {
    let (reader, mut writer) = server.into_split();
    let mut messages = MessageReader::new(BufReader::new(reader));
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
    let hello = FromRouter::Hello {
        protocol: PROTOCOL,
        version: memory.tables().last().map_or(0, |table| table.version),
        http_addr: nowhere,
        https_addr: nowhere,
        pid: std::process::id(),
    };
    write_message(&mut writer, &hello).await.ok()?;
    let (said, mut words) = mpsc::unbounded_channel();
    *memory.said.lock().unwrap() = Some(said);
    let mut busy = memory.busy.subscribe();
    let mut reported = BTreeSet::new();
    let mut apps = BTreeMap::new();
    loop {
        tokio::select! {
            message = messages.next() => {
                let version = match message.ok()?? {
                    ToRouter::Begin { after: None, .. } => {
                        apps.clear();
                        continue;
                    }
                    ToRouter::Set { entry: Entry::App(routes) } => {
                        apps.insert(routes.app, routes);
                        continue;
                    }
                    ToRouter::Unset { key: EntryKey::App(app) } => {
                        apps.remove(&app);
                        continue;
                    }
                    ToRouter::End { version } => version,
                    _ => continue,
                };
                let table = RouteTable {
                    version,
                    apps: apps.values().cloned().collect(),
                    ..RouteTable::default()
                };
                let served = table.apps.iter().flat_map(|app| &app.backends);
                let served: BTreeSet<DynoId> = served.map(|backend| backend.dyno).collect();
                memory.tables().push(table);
                let draining: Vec<DynoId> = busy.borrow().difference(&served).copied().collect();
                for dyno in draining {
                    reported.insert(dyno);
                    let in_flight = FromRouter::InFlight { dyno, count: 1 };
                    write_message(&mut writer, &in_flight).await.ok()?;
                }
                let applied = FromRouter::Applied { version };
                write_message(&mut writer, &applied).await.ok()?;
            }
            word = words.recv() => {
                write_message(&mut writer, &word?).await.ok()?;
            }
            changed = busy.changed() => {
                changed.ok()?;
                let drained: Vec<DynoId> = reported.difference(&busy.borrow()).copied().collect();
                for dyno in drained {
                    reported.remove(&dyno);
                    write_message(&mut writer, &FromRouter::Drained { dyno }).await.ok()?;
                }
            }
        }
    }
}

impl Memory {
    fn tables(&self) -> MutexGuard<'_, Vec<RouteTable>> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
