//! The control plane's thread: takes the table from the server, keeps it, reports what drains.
//!
//! It must not touch a request. Routing goes on whatever happens here. Read [`Control::run`].

mod give;
mod receive;
mod told;

use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use api::{
    clock::Clock,
    ids::{AppId, DynoId},
};
use tokio::{
    io::BufReader,
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf, SocketAddr},
    },
    sync::watch,
    task::{JoinError, JoinHandle, spawn_blocking},
    time::{Instant, Interval, MissedTickBehavior, interval, sleep, sleep_until, timeout},
};

pub(crate) use self::give::Given;
use self::{receive::Incoming, told::Told};
use crate::{
    access::SpoolSender,
    config::RouterConfig,
    feed::{Addresses, PROTOCOL_WITH_SERVICE_TIMES},
    handover,
    metrics::Ledger,
    run::Stop,
    saved::{Done, Saved},
    status::Watcher,
    surplus::{Seen, Surplus},
    table::{Backend, Routes},
    wire::{
        FromRouter, MessageReader, PROTOCOL, ToRouter, WireError,
        entry::{self, Misread},
        write_message,
    },
};

/// A server that does not read for this long is let go; it connects again.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// When the server's socket cannot be made again.
const OPEN_BACK_OFF: Duration = Duration::from_secs(1);

/// What the thread needs.
pub(crate) struct Control {
    routes: Arc<Routes>,
    ledger: Arc<Ledger>,
    saved: Saved,
    /// What is done to the routes file at present.
    upkeep: Option<JoinHandle<Done>>,
    addresses: Addresses,
    given: Given,
    spool: SpoolSender,
    stop: watch::Sender<Stop>,
    clock: Clock,
    /// See [`crate::Timeouts::drain`].
    drain: Duration,
    /// See [`crate::Timeouts::activity`].
    activity: Duration,
    /// See [`crate::Timeouts::forget`].
    forget: Duration,
    draining: Vec<Draining>,
    /// Of the status page.
    watcher: Arc<Watcher>,
    surplus: Surplus,
    /// What the server said, since the router's start.
    messages: u64,
    /// See [`RouterConfig::give_back`].
    give_back: Option<fn()>,
}

/// A backend that left the table with requests in flight.
struct Draining {
    backend: Arc<Backend>,
    /// When its requests are cut; `None` when they have been.
    deadline: Option<Instant>,
}

/// The connected server.
struct Server {
    messages: MessageReader<BufReader<OwnedReadHalf>>,
    writer: OwnedWriteHalf,
    /// What it was last told of each draining dyno.
    reported: HashMap<DynoId, u64>,
    /// What it was told of sleep; `None` while it is not known to understand that.
    told: Option<Told>,
    /// Whether it is to be told all there is of sleep.
    knows_nothing: bool,
    /// What it speaks, 1 before it has said so.
    protocol: u32,
    /// The version of the table that this connection brought last.
    version: Option<u64>,
    incoming: Option<Incoming>,
}

/// Where others find this router.
pub(crate) struct Doors {
    path: PathBuf,
    server: UnixListener,
    /// For a router that takes this one's place.
    successor: UnixListener,
}

impl Doors {
    /// Makes the sockets, mode 0600, in place of those that a former router left.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let directory = path.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(directory)?;
        Ok(Self {
            path: path.to_owned(),
            server: listen(path)?,
            successor: listen(&handover::path(path))?,
        })
    }
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    let unfinished = path.with_extension(format!("{}", std::process::id()));
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&unfinished)?;
    fs::set_permissions(&unfinished, fs::Permissions::from_mode(0o600))?;
    fs::rename(&unfinished, path)?;
    Ok(listener)
}

impl Control {
    pub(crate) fn new(
        saved: Saved,
        (routes, ledger, spool): (Arc<Routes>, Arc<Ledger>, SpoolSender),
        (given, addresses): (Given, Addresses),
        stop: watch::Sender<Stop>,
        (config, watcher): (&RouterConfig, Arc<Watcher>),
    ) -> Self {
        Self {
            routes,
            ledger,
            saved,
            upkeep: None,
            addresses,
            given,
            spool,
            stop,
            clock: config.clock.clone(),
            drain: config.timeouts.drain,
            activity: config.timeouts.activity,
            forget: config.timeouts.forget,
            draining: Vec::new(),
            watcher,
            surplus: Surplus::default(),
            messages: 0,
            give_back: config.give_back,
        }
    }

    /// Serves one server at a time, the one that connected last, until told to stop.
    pub(crate) async fn run(mut self, mut doors: Doors) {
        let mut stop = self.stop.subscribe();
        let mut server: Option<Server> = None;
        let routes = Arc::clone(&self.routes);
        let mut activity: Interval = interval(self.activity);
        activity.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let told = tokio::select! {
                _ = stop.wait_for(|stop| *stop != Stop::No) => return,
                accepted = doors.server.accept() => {
                    match accepted {
                        Ok((stream, _)) => server = self.greet(stream).await,
                        Err(error) => tracing::warn!(%error, "cannot accept the server"),
                    }
                    Ok(())
                }
                accepted = doors.successor.accept() => {
                    // While it hands over nothing may change, and nobody wait here for an answer.
                    server = None;
                    match self.hand_over(doors, accepted).await {
                        Some(again) => doors = again,
                        None => return,
                    }
                    Ok(())
                }
                message = next_message(&mut server) => {
                    self.messages += 1;
                    self.hear(&mut server, message).await
                }
                () = routes.wait_news() => self.report(server.as_mut()).await,
                _ = activity.tick() => {
                    self.look_after_file();
                    self.tidy_ledger();
                    self.give_back();
                    self.report_activity(server.as_mut()).await
                }
                done = upkeep_done(&mut self.upkeep) => {
                    self.end_upkeep(done);
                    Ok(())
                }
                () = next_deadline(&self.draining) => {
                    self.cut_overdue();
                    Ok(())
                }
            };
            if let Err(error) = told {
                tracing::warn!(%error, "the connection to the server broke");
                server = None;
            }
            self.ledger.contact().set_connected(server.is_some());
            let protocol = server.as_ref().map(|server| server.protocol);
            self.watcher.ear().connected(protocol);
        }
    }

    /// Returns the sockets to go on with, if this router goes on.
    async fn hand_over(
        &self,
        doors: Doors,
        accepted: io::Result<(UnixStream, SocketAddr)>,
    ) -> Option<Doors> {
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept another router");
                return Some(doors);
            }
        };
        let path = doors.path.clone();
        drop(doors);
        let Err(error) = self.give(stream).await else {
            tracing::info!("another router has taken over; ending with the last request");
            return None;
        };
        tracing::warn!(%error, "another router did not take over; going on");
        loop {
            match Doors::open(&path) {
                Ok(doors) => return Some(doors),
                Err(error) => {
                    tracing::error!(%error, path = %path.display(), "cannot listen for the server");
                    sleep(OPEN_BACK_OFF).await;
                }
            }
        }
    }

    async fn greet(&self, stream: UnixStream) -> Option<Server> {
        let peer = stream
            .peer_cred()
            .map(|credentials| credentials.uid())
            .ok()?;
        let (reader, writer) = stream.into_split();
        let messages = MessageReader::new(BufReader::new(reader));
        let mut server = Server {
            messages,
            writer,
            reported: HashMap::new(),
            told: None,
            knows_nothing: true,
            protocol: 1,
            version: None,
            incoming: None,
        };
        let hello = FromRouter::Hello {
            protocol: PROTOCOL,
            version: self.routes.current().version,
            http_addr: self.addresses.http,
            https_addr: self.addresses.https,
            pid: std::process::id(),
        };
        if let Err(error) = server.tell(&hello).await {
            tracing::warn!(%error, "cannot greet the server");
            return None;
        }
        tracing::info!(uid = peer, "the server is connected");
        Some(server)
    }

    /// Has the routes file brought to the disk or written anew, if that is due.
    fn look_after_file(&mut self) {
        if self.upkeep.is_none()
            && let Some(task) = self.saved.task()
        {
            self.upkeep = Some(spawn_blocking(|| task.run()));
        }
    }

    fn end_upkeep(&mut self, done: Result<Done, JoinError>) {
        self.upkeep = None;
        let ended = done
            .map_err(io::Error::other)
            .and_then(|done| self.saved.finish(done));
        if let Err(error) = ended {
            tracing::error!(%error, "cannot look after the routes file");
        }
    }

    /// Has the counters learn what apps there are.
    fn tidy_ledger(&self) {
        let now = Duration::from_millis(self.routes.elapsed_ms());
        let keeper = self.routes.keeper();
        self.ledger.tidy(&keeper, self.forget, now);
    }

    /// Memory, if there is much of it to give.
    fn give_back(&mut self) {
        let lanes = self.ledger.lanes();
        let seen = Seen {
            connections: (2 * lanes.accepted).saturating_sub(lanes.open),
            messages: self.messages,
        };
        if self.surplus.is_due(seen)
            && let Some(give_back) = self.give_back
        {
            give_back();
        }
    }

    /// Tells the server what it does not know yet.
    async fn report(&mut self, server: Option<&mut Server>) -> Result<(), WireError> {
        self.draining
            .retain(|draining| draining.backend.in_flight() > 0);
        let Some(server) = server else { return Ok(()) };
        self.report_draining(server).await?;
        self.report_sleep(server).await
    }

    /// What may sleep, what was woken and what is called for.
    async fn report_sleep(&self, server: &mut Server) -> Result<(), WireError> {
        let mut subjects = self.routes.take_news();
        let Some(told) = &mut server.told else {
            return Ok(());
        };
        if std::mem::take(&mut server.knows_nothing) {
            subjects = told::all_subjects(&self.routes.keeper());
        }
        let is_draining = |dyno| {
            let mut backends = self.draining.iter().map(|draining| &draining.backend);
            backends.any(|backend| backend.dyno == dyno && backend.in_flight() > 0)
        };
        let news = told.news(&self.routes.keeper(), subjects, is_draining);
        for message in news {
            server.tell(&message).await?;
        }
        Ok(())
    }

    async fn report_activity(&self, server: Option<&mut Server>) -> Result<(), WireError> {
        let Some(server) = server else { return Ok(()) };
        let Some(told) = &mut server.told else {
            return Ok(());
        };
        let mut draining: HashMap<AppId, u64> = HashMap::new();
        for Draining { backend, .. } in &self.draining {
            *draining.entry(backend.app).or_default() += backend.in_flight() as u64;
        }
        let activity = told.activity(&self.routes.keeper(), &draining);
        let times = (server.protocol >= PROTOCOL_WITH_SERVICE_TIMES)
            .then(|| told.service_times(&self.ledger.services()))
            .flatten();
        for message in activity.into_iter().chain(times) {
            server.tell(&message).await?;
        }
        Ok(())
    }

    /// Every count that changed since it was last told.
    async fn report_draining(&self, server: &mut Server) -> Result<(), WireError> {
        let counts = self.draining_counts();
        let drained: Vec<_> = server
            .reported
            .keys()
            .filter(|dyno| !counts.contains_key(dyno))
            .copied()
            .collect();
        for dyno in drained {
            server.reported.remove(&dyno);
            server.tell(&FromRouter::Drained { dyno }).await?;
        }
        for (dyno, count) in counts {
            if server.reported.insert(dyno, count) != Some(count) {
                server.tell(&FromRouter::InFlight { dyno, count }).await?;
            }
        }
        Ok(())
    }

    /// Requests in flight on dynos outside the table.
    fn draining_counts(&self) -> HashMap<DynoId, u64> {
        let keeper = self.routes.keeper();
        let mut counts: HashMap<DynoId, u64> = HashMap::new();
        for Draining { backend, .. } in &self.draining {
            if !keeper.has_dyno_of(backend) {
                *counts.entry(backend.dyno).or_default() += backend.in_flight() as u64;
            }
        }
        counts
    }

    fn cut_overdue(&mut self) {
        let now = Instant::now();
        for draining in &mut self.draining {
            if draining.deadline.is_some_and(|deadline| deadline <= now) {
                tracing::info!(
                    dyno = %draining.backend.dyno,
                    in_flight = draining.backend.in_flight(),
                    "the drain time is over"
                );
                draining.deadline = None;
                draining.backend.cut();
            }
        }
    }
}

impl Server {
    async fn tell(&mut self, message: &FromRouter) -> Result<(), WireError> {
        timeout(WRITE_TIMEOUT, write_message(&mut self.writer, message))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }
}

async fn next_message(
    server: &mut Option<Server>,
) -> Result<Option<Result<ToRouter, Misread>>, WireError> {
    match server {
        Some(server) => Ok(server.messages.next_line().await?.map(entry::read)),
        None => std::future::pending().await,
    }
}

async fn upkeep_done(upkeep: &mut Option<JoinHandle<Done>>) -> Result<Done, JoinError> {
    match upkeep {
        Some(upkeep) => upkeep.await,
        None => std::future::pending().await,
    }
}

async fn next_deadline(draining: &[Draining]) {
    match draining
        .iter()
        .filter_map(|draining| draining.deadline)
        .min()
    {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
