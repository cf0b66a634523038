//! The router's threads: lanes for requests, one for the control plane, one for the access log.
//!
//! Read [`run`], which is the whole life of a router process, then [`Router::start`].

use std::{
    io,
    net::SocketAddr,
    num::NonZeroUsize,
    rc::Rc,
    sync::{Arc, mpsc as sync_mpsc},
    thread::{self, JoinHandle, available_parallelism},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    runtime::{Builder, LocalOptions},
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
    task::spawn_local,
    time::timeout,
};

use crate::{
    access::{self, SpoolSender},
    config::RouterConfig,
    control::{self, Control},
    error::RouterError,
    feed::Addresses,
    lane::Lane,
    listen::{self, Listeners},
    saved::{Said, Saved},
    table::Routes,
    tls::Tls,
    wire::entry::fingerprint,
};

/// Whether the router shall end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stop {
    /// It shall not.
    #[default]
    No,
    /// Accept nothing more; requests in flight have [`crate::Timeouts::stop`] to end.
    Gracefully,
    /// Now.
    AtOnce,
}

/// A running router. Dropping it stops it at once.
#[derive(Debug)]
pub struct Router {
    addresses: Addresses,
    stop: watch::Sender<Stop>,
    threads: Vec<JoinHandle<()>>,
    /// Names of threads that ended.
    ended: mpsc::UnboundedReceiver<String>,
}

/// What every lane starts from.
#[derive(Clone)]
struct LaneStart {
    config: Arc<RouterConfig>,
    routes: Arc<Routes>,
    spool: SpoolSender,
    tls: Tls,
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
    let mut router = Router::start(config)?;
    runtime.block_on(async {
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
    })
}

impl Router {
    /// Starts a router and returns when it accepts requests. It serves by the last known routes
    /// until the server connects.
    pub fn start(config: RouterConfig) -> Result<Self, RouterError> {
        let config = Arc::new(config);
        let routes = Arc::new(Routes::new());
        let tls = Tls::load(
            Arc::clone(&routes.certificates),
            (&config.certificate, &config.key),
        )?;
        let saved = load_routes(&routes, &config);
        let (spool, spool_thread) = access::start_spool(config.spool.clone(), config.clock.clone())
            .map_err(RouterError::Thread)?;
        let (ended_sender, ended) = mpsc::unbounded_channel();
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        // An early return drops first the lane's hold on the access log, then the router, which
        // ends the threads that run already.
        let mut router = Self {
            addresses: Addresses {
                http: unknown,
                https: unknown,
            },
            stop: watch::Sender::new(Stop::No),
            threads: vec![spool_thread],
            ended,
        };
        let lane = LaneStart {
            config,
            routes,
            spool,
            tls,
            stop: router.stop.subscribe(),
        };
        router.start_lanes(&lane, &ended_sender)?;
        router.start_control(lane, saved, &ended_sender)?;
        Ok(router)
    }

    /// Where it accepts requests.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Asks it to end; [`Router::wait_ended`] tells when it has.
    pub fn stop(&self, stop: Stop) {
        self.stop.send_replace(stop);
    }

    /// Waits until all its threads have ended after [`Router::stop`], and no longer than until one
    /// has without. Safe to drop.
    pub async fn wait_ended(&mut self) -> Result<(), RouterError> {
        while let Some(name) = self.ended.recv().await {
            if *self.stop.borrow() == Stop::No {
                return Err(RouterError::ThreadEnded { name });
            }
        }
        self.join();
        Ok(())
    }

    fn start_lanes(
        &mut self,
        lane: &LaneStart,
        ended: &mpsc::UnboundedSender<String>,
    ) -> Result<(), RouterError> {
        let cores = available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let configured = Addresses {
            http: lane.config.http,
            https: lane.config.https,
        };
        let mut claimed = None;
        for index in 0..lane.config.threads.unwrap_or(cores).get() {
            let (ready, listening) = sync_mpsc::channel();
            let start = lane.clone();
            self.spawn(format!("lane-{index}"), ended, move || {
                run_lane(&start, claimed, configured, &ready);
            })?;
            let gone = || RouterError::ThreadEnded {
                name: format!("lane-{index}"),
            };
            self.addresses = listening.recv().map_err(|_| gone())??;
            claimed = Some(self.addresses);
        }
        Ok(())
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
            stop,
            ..
        } = lane;
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(RouterError::Thread)?;
        let listener = {
            let _inside = runtime.enter();
            control::listen(&config.socket).map_err(|source| RouterError::ControlSocket {
                path: config.socket.clone(),
                source,
            })?
        };
        let control = Control::new(routes, saved, self.addresses, &config);
        self.spawn("control".to_owned(), ended, move || {
            runtime.block_on(control.run(listener, stop));
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

/// A lane's thread, from its sockets to its last request.
fn run_lane(
    start: &LaneStart,
    claimed: Option<Addresses>,
    configured: Addresses,
    ready: &sync_mpsc::Sender<Result<Addresses, RouterError>>,
) {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default());
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return drop(ready.send(Err(RouterError::Thread(error)))),
    };
    runtime.block_on(async {
        let listeners = match claimed {
            None => Listeners::claim(configured),
            Some(addresses) => Listeners::join(addresses),
        };
        let unnamed = |source: io::Error| RouterError::Bind {
            address: configured.http,
            source,
        };
        let bound = listeners.and_then(|listeners| {
            listeners
                .addresses()
                .map_err(unnamed)
                .map(|addresses| (listeners, addresses))
        });
        match bound {
            Ok((listeners, addresses)) => {
                drop(ready.send(Ok(addresses)));
                serve(start, listeners).await;
            }
            Err(error) => drop(ready.send(Err(error))),
        }
    });
}

async fn serve(start: &LaneStart, listeners: Listeners) {
    let https_port = listeners
        .addresses()
        .map_or(start.config.https.port(), |at| at.https.port());
    let lane = Rc::new(Lane::new(
        Arc::clone(&start.routes),
        start.spool.clone(),
        (&start.config, https_port),
    ));
    let house = Rc::clone(&lane);
    spawn_local(async move { house.keep_house().await });
    let mut stop = start.stop.clone();
    tokio::join!(
        listen::accept(&lane, listeners.http, None, stop.clone()),
        listen::accept(
            &lane,
            listeners.https,
            Some(start.tls.clone()),
            stop.clone()
        ),
    );
    tokio::select! {
        _ = timeout(start.config.timeouts.stop, lane.wait_all_closed()) => {}
        _ = stop.wait_for(|stop| *stop == Stop::AtOnce) => {}
    }
}
