//! The router's threads: lanes for requests, one for the control plane, one for the access log.
//!
//! Read [`run`], which is the whole life of a router process, then [`Router::start`].

use std::{
    io::{self, Write},
    net::SocketAddr,
    num::NonZeroUsize,
    rc::Rc,
    sync::{Arc, mpsc as sync_mpsc},
    thread::{self, JoinHandle, available_parallelism},
    time::Duration,
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    net::TcpListener,
    runtime::{Builder, LocalOptions},
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
    task::{JoinSet, spawn_local},
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use crate::{
    access::{self, SpoolSender},
    config::RouterConfig,
    control::{Control, Doors, Given},
    error::RouterError,
    feed::Addresses,
    handover::{Former, READY, Share, Sockets},
    lane::Lane,
    listen,
    metrics::{Door, Ledger, Sources},
    saved::{Said, Saved},
    status::Watcher,
    table::Routes,
    tls::Tls,
    traces::{Exporter, Tracer, Traces},
    watch::{Pulse, Watch},
    wire::entry::fingerprint,
};

/// Between two looks at the threads' pulses.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How long those have to read their page whom the router fails when its time is over.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Between two beats.
const BEAT_INTERVAL: Duration = Duration::from_millis(400);

/// Whether the router shall end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stop {
    /// It shall not.
    #[default]
    No,
    /// Accept nothing more; requests in flight have [`crate::Timeouts::stop`] to end.
    Gracefully,
    /// Another router has taken over: the same, with [`crate::Timeouts::leave`].
    Leaving,
    /// Now.
    AtOnce,
}

/// A running router. Dropping it stops it at once.
#[derive(Debug)]
pub struct Router {
    addresses: Addresses,
    metrics: Option<SocketAddr>,
    given: Given,
    stop: watch::Sender<Stop>,
    watch: Watch,
    /// See [`crate::Timeouts::stuck_seconds`].
    stuck_seconds: u32,
    threads: Vec<JoinHandle<()>>,
    /// Names of threads that ended.
    ended: mpsc::UnboundedReceiver<String>,
}

/// What every lane starts from.
#[derive(Clone)]
struct LaneStart {
    config: Arc<RouterConfig>,
    routes: Arc<Routes>,
    ledger: Arc<Ledger>,
    tracer: Option<Tracer>,
    watcher: Arc<Watcher>,
    spool: SpoolSender,
    tls: Tls,
    https_port: u16,
    stop: watch::Receiver<Stop>,
}

/// Runs a router until SIGTERM or SIGINT; a second one ends it at once. Blocks the thread; call it
/// from none that belongs to a tokio runtime.
///
/// # Errors
/// When it cannot start, or when one of its threads ends by itself: then start the process again.
pub fn run(config: RouterConfig) -> Result<(), RouterError> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(RouterError::Thread)?;
    let mut signals = runtime.block_on(async {
        let forward = mpsc::unbounded_channel();
        for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
            let mut signals = signal(kind).map_err(RouterError::Thread)?;
            let sender = forward.0.clone();
            tokio::spawn(async move {
                while signals.recv().await.is_some() && sender.send(()).is_ok() {}
            });
        }
        Ok::<_, RouterError>(forward.1)
    })?;
    raise_file_limit();
    let parent = config.parent.clone();
    let mut router = Router::start(config)?;
    if let Some(parent) = parent
        && let Err(error) = (&*parent).write_all(READY.as_bytes())
    {
        tracing::warn!(%error, "cannot tell who started the router that it is ready");
    }
    let ended = runtime.block_on(async {
        let mut next = Stop::Gracefully;
        loop {
            tokio::select! {
                _ = signals.recv() => {
                    tracing::info!(stop = ?next, "the router was asked to stop");
                    router.stop(next);
                    next = Stop::AtOnce;
                }
                ended = router.wait_ended() => return ended,
            }
        }
    });
    if let Err(error @ RouterError::ThreadStuck { .. }) = &ended {
        tracing::error!(%error, "giving the process up");
        router.abandon();
    }
    ended
}

impl Router {
    /// Starts a router and returns when it accepts requests. It serves by the last known routes
    /// until the server connects.
    pub fn start(config: RouterConfig) -> Result<Self, RouterError> {
        let mut config = config;
        let former = Former::ask(&config.socket);
        let sockets = sockets(&mut config, former.as_ref())?;
        let config = Arc::new(config);
        let routes = Arc::new(Routes::new(config.max_in_flight_per_dyno));
        let tls = Tls::load(
            Arc::clone(&routes.certificates),
            (&config.certificate, &config.key),
        )?;
        let saved = load_routes(&routes, &config);
        let (spool, spool_thread) = access::start_spool(config.spool.clone(), config.clock.clone())
            .map_err(RouterError::Thread)?;
        let (ended_sender, ended) = mpsc::unbounded_channel();
        let addresses = sockets.addresses().map_err(RouterError::Sockets)?;
        // An early return drops first the lane's hold on the access log, then the router, which
        // ends the threads that run already.
        let mut router = Self {
            addresses,
            metrics: None,
            given: Given::new(Arc::clone(&sockets)),
            stop: watch::Sender::new(Stop::No),
            watch: Watch::default(),
            stuck_seconds: config.timeouts.stuck_seconds,
            threads: vec![spool_thread],
            ended,
        };
        let ledger = Arc::default();
        let watcher = Watcher::open(&config, Arc::clone(&routes), Arc::clone(&ledger));
        let mut lane = LaneStart {
            config,
            routes,
            ledger,
            tracer: None,
            watcher: Arc::new(watcher),
            spool,
            tls,
            https_port: addresses.https.port(),
            stop: router.stop.subscribe(),
        };
        if let Some(traces) = &lane.config.traces {
            lane.tracer = Some(router.start_traces(traces.clone(), &ended_sender)?);
        }
        router.start_lanes(&lane, &sockets, &ended_sender)?;
        drop(sockets);
        if let Some(address) = lane.config.metrics {
            router.start_metrics(address, &lane, &ended_sender)?;
        }
        let (spool, stop) = (lane.spool.clone(), lane.stop.clone());
        router.start_control(lane, saved, &ended_sender)?;
        if let Some(former) = former {
            succeed(former, spool, stop);
        }
        Ok(router)
    }

    /// Where it accepts requests.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Where its metrics are read.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics
    }

    /// Asks it to end; [`Router::wait_ended`] tells when it has.
    pub fn stop(&self, stop: Stop) {
        self.given.close();
        self.stop.send_replace(stop);
    }

    /// Leaves its threads alone, so that the process can end although one of them does not.
    fn abandon(&mut self) {
        self.threads.clear();
    }

    /// Waits until all its threads have ended after [`Router::stop`], and no longer than until one
    /// has without. Safe to drop.
    pub async fn wait_ended(&mut self) -> Result<(), RouterError> {
        let mut looks = interval(LOOK_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let ended = tokio::select! {
                ended = self.ended.recv() => ended,
                _ = looks.tick() => {
                    if let Some(name) = self.watch.look(self.stuck_seconds)
                        && *self.stop.borrow() == Stop::No
                    {
                        let name = name.to_owned();
                        return Err(RouterError::ThreadStuck { name });
                    }
                    continue;
                }
            };
            match ended {
                Some(name) if *self.stop.borrow() == Stop::No => {
                    return Err(RouterError::ThreadEnded { name });
                }
                Some(_) => {}
                None => break,
            }
        }
        self.join();
        Ok(())
    }

    fn start_lanes(
        &mut self,
        lane: &LaneStart,
        sockets: &Sockets,
        ended: &mpsc::UnboundedSender<String>,
    ) -> Result<(), RouterError> {
        let cores = available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let lanes = lane.config.threads.unwrap_or(cores).get();
        for index in 0..lanes {
            let name = format!("lane-{index}");
            let share = sockets.share(index, lanes).map_err(RouterError::Sockets)?;
            let pulse = self.watch.add(name.clone());
            let (ready, listening) = sync_mpsc::channel();
            let start = lane.clone();
            self.spawn(name.clone(), ended, move || {
                run_lane(&start, share, (&pulse, &ready));
            })?;
            listening
                .recv()
                .map_err(|_| RouterError::ThreadEnded { name })??;
        }
        Ok(())
    }

    /// The thread ends when all lanes have, which hold what it is fed by.
    fn start_traces(
        &mut self,
        traces: Traces,
        ended: &mpsc::UnboundedSender<String>,
    ) -> Result<Tracer, RouterError> {
        let (tracer, spans) = Tracer::new(traces.per_million);
        let exporter = Exporter::new(traces.endpoint, spans, tracer.tally());
        self.spawn("traces".to_owned(), ended, move || {
            let runtime = Builder::new_current_thread()
                .enable_all()
                .build_local(LocalOptions::default());
            match runtime {
                Ok(runtime) => runtime.block_on(exporter.run()),
                Err(error) => tracing::error!(%error, "cannot export traces"),
            }
        })?;
        Ok(tracer)
    }

    fn start_metrics(
        &mut self,
        address: SocketAddr,
        lane: &LaneStart,
        ended: &mpsc::UnboundedSender<String>,
    ) -> Result<(), RouterError> {
        let door = Door::open(address);
        self.metrics = Some(door.address());
        let sources = Sources {
            ledger: Arc::clone(&lane.ledger),
            routes: Arc::clone(&lane.routes),
            loss: lane.spool.loss(),
            spans: lane.tracer.as_ref().map(Tracer::tally),
            clock: lane.config.clock.clone(),
        };
        let stop = lane.stop.clone();
        self.spawn("metrics".to_owned(), ended, move || {
            let runtime = Builder::new_current_thread()
                .enable_all()
                .build_local(LocalOptions::default());
            match runtime {
                Ok(runtime) => runtime.block_on(door.serve(sources, stop)),
                Err(error) => tracing::error!(%error, "cannot show metrics"),
            }
        })
    }

    fn start_control(
        &mut self,
        lane: LaneStart,
        saved: Saved,
        ended: &mpsc::UnboundedSender<String>,
    ) -> Result<(), RouterError> {
        let LaneStart {
            config,
            routes,
            ledger,
            watcher,
            spool,
            ..
        } = lane;
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(RouterError::Thread)?;
        let doors = {
            let _inside = runtime.enter();
            Doors::open(&config.socket).map_err(|source| RouterError::ControlSocket {
                path: config.socket.clone(),
                source,
            })?
        };
        let control = Control::new(
            saved,
            (routes, ledger, spool),
            (self.given.clone(), self.addresses),
            self.stop.clone(),
            (&config, Arc::clone(&watcher)),
        );
        self.spawn("control".to_owned(), ended, move || {
            runtime.block_on(async {
                tokio::select! {
                    () = control.run(doors) => {}
                    () = watcher.run() => {}
                }
                drop(watcher.hold().await);
            });
        })
    }

    fn spawn(
        &mut self,
        name: String,
        ended: &mpsc::UnboundedSender<String>,
        body: impl FnOnce() + Send + 'static,
    ) -> Result<(), RouterError> {
        let notice = EndNotice {
            name: name.clone(),
            ended: ended.clone(),
        };
        let thread = thread::Builder::new().name(name).spawn(move || {
            let _notice = notice;
            body();
        });
        self.threads.push(thread.map_err(RouterError::Thread)?);
        Ok(())
    }

    /// The access log's thread comes first and ends last, when all lanes have let go of it.
    fn join(&mut self) {
        while let Some(thread) = self.threads.pop() {
            let name = thread.thread().name().unwrap_or_default().to_owned();
            if thread.join().is_err() {
                tracing::error!(name, "a thread of the router panicked");
            }
        }
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        self.stop(Stop::AtOnce);
        self.join();
    }
}

/// Tells that a thread has ended, however it did.
struct EndNotice {
    name: String,
    ended: mpsc::UnboundedSender<String>,
}

impl Drop for EndNotice {
    fn drop(&mut self) {
        // Nobody listens when the router is being dropped.
        drop(self.ended.send(std::mem::take(&mut self.name)));
    }
}

/// Each request needs two files, and shells give a process 1024 unless it asks for more.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            ..limit
        },
    ) {
        tracing::warn!(%error, ?limit, "cannot raise the limit of open files");
    }
}

/// The last known routes, served from now on, and the file that they are in.
fn load_routes(routes: &Routes, config: &RouterConfig) -> Saved {
    let mut change = Routes::begin(0, true);
    let told = |said| match said {
        Said::Set(entry) => {
            // What is told again by the server is known by what it would be written as.
            let json = serde_json::to_vec(&entry).unwrap_or_default();
            routes.set(&mut change, entry, fingerprint(&json));
        }
        Said::Unset(key) => change.unset(key),
    };
    match Saved::open(&config.routes, told) {
        Ok((saved, version)) => {
            if version > 0 {
                change.number(version);
                routes.commit(change);
                let apps = routes.keeper().apps().count();
                tracing::info!(version, apps, "last known routes");
            }
            saved
        }
        Err(error) => {
            tracing::error!(%error, path = %config.routes.display(), "cannot read the last routes");
            Saved::nowhere(&config.routes)
        }
    }
}

/// What to accept from: what was given, else what the former router has, else sockets of its own.
fn sockets(
    config: &mut RouterConfig,
    former: Option<&Former>,
) -> Result<Arc<Sockets>, RouterError> {
    if let Some(given) = config.sockets.take() {
        return Ok(given);
    }
    match former {
        Some(former) => former.sockets.try_clone().map_err(RouterError::Sockets),
        None => Sockets::claim(config.http, config.https, config.threads),
    }
    .map(Arc::new)
}

/// Takes the place of a former router, and its last access lines.
fn succeed(former: Former, spool: SpoolSender, stop: watch::Receiver<Stop>) {
    let take = move || -> io::Result<()> {
        let mut lines = former.dismiss()?;
        let goes_on = || *stop.borrow() == Stop::No;
        while let Some(record) = lines.next(LOOK_INTERVAL, goes_on)? {
            spool.adopt(record);
        }
        Ok(())
    };
    // Not waited for at the end: it may outlive what it listens to by one look.
    let started = thread::Builder::new().name("former".to_owned()).spawn(|| {
        if let Err(error) = take() {
            tracing::warn!(%error, "the last lines of the former router are lost");
        }
    });
    if let Err(error) = started {
        tracing::error!(%error, "cannot dismiss the former router");
    }
}

/// A lane's thread, from its sockets to its last request.
fn run_lane(
    start: &LaneStart,
    share: Share,
    (pulse, ready): (&Pulse, &sync_mpsc::Sender<Result<(), RouterError>>),
) {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default());
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return drop(ready.send(Err(RouterError::Thread(error)))),
    };
    runtime.block_on(async {
        let listeners = |sockets: Vec<std::net::TcpListener>| {
            let listeners = sockets.into_iter().map(TcpListener::from_std);
            listeners.collect::<io::Result<Vec<_>>>()
        };
        match (listeners(share.http), listeners(share.https)) {
            (Ok(http), Ok(https)) => {
                drop(ready.send(Ok(())));
                serve(start, (http, https), pulse.clone()).await;
            }
            (Err(error), _) | (_, Err(error)) => {
                drop(ready.send(Err(RouterError::Sockets(error))));
            }
        }
    });
}

async fn serve(
    start: &LaneStart,
    (http, https): (Vec<TcpListener>, Vec<TcpListener>),
    pulse: Pulse,
) {
    let lane = Rc::new(Lane::new(
        Arc::clone(&start.routes),
        (start.spool.clone(), Arc::clone(&start.ledger)),
        (start.tracer.clone(), start.watcher.board()),
        (&start.config, start.https_port),
    ));
    let house = Rc::clone(&lane);
    spawn_local(async move { house.keep_house().await });
    spawn_local(keep_beating(pulse));
    let plain = http.into_iter().map(|listener| (listener, None));
    let secure = https.into_iter();
    let secure = secure.map(|listener| (listener, Some(start.tls.clone())));
    let mut accepting = JoinSet::new();
    for (listener, tls) in plain.chain(secure) {
        accepting.spawn_local(listen::accept(
            Rc::clone(&lane),
            listener,
            tls,
            start.stop.clone(),
        ));
    }
    accepting.join_all().await;
    let mut stop = start.stop.clone();
    let limit = match *stop.borrow() {
        Stop::Leaving => start.config.timeouts.leave,
        Stop::No | Stop::Gracefully | Stop::AtOnce => start.config.timeouts.stop,
    };
    tokio::select! {
        closed = timeout(limit, lane.wait_all_closed()) => if closed.is_ok() { return },
        _ = stop.wait_for(|stop| *stop == Stop::AtOnce) => {}
    }
    lane.force();
    drop(timeout(LAST_WORDS, lane.wait_all_closed()).await);
}

#[expect(clippy::infinite_loop, reason = "it is dropped with its thread")]
async fn keep_beating(pulse: Pulse) {
    loop {
        pulse.beat();
        sleep(BEAT_INTERVAL).await;
    }
}
