//! A lane: one thread of the data plane with everything it needs to route without asking another
//! thread. There is one a core.

use std::{
    cell::Cell,
    path::PathBuf,
    rc::Rc,
    sync::{Arc, atomic::Ordering},
};

use api::clock::Clock;
use tokio::{
    sync::{Notify, watch},
    task::spawn_local,
};

use crate::{
    access::{Recorder, SpoolSender},
    buffers::Buffers,
    compression::Seats,
    config::{RouterConfig, Timeouts},
    dates::Dates,
    h1::Dyno,
    metrics::{LaneCounts, Ledger},
    pool::Pool,
    proxy::{Http1, Streams},
    run::Stop,
    status::Board,
    table::{LocalRoutes, Routes},
    timers::Timers,
    traces::Tracer,
};

/// What the requests of one thread share.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) routes: LocalRoutes,
    /// For HTTP/1.x clients.
    pub(crate) dynos: Pool<Dyno>,
    /// hyper's: for HTTP/2 clients, and apps that ask for more than carrying bytes.
    pub(crate) pool: Pool<Http1>,
    /// To dynos that speak HTTP/2.
    pub(crate) streams: Streams,
    pub(crate) buffers: Rc<Buffers>,
    pub(crate) timers: Rc<Timers>,
    pub(crate) recorder: Recorder,
    pub(crate) counts: LaneCounts,
    /// If requests are traced.
    pub(crate) tracer: Option<Tracer>,
    pub(crate) timeouts: Timeouts,
    pub(crate) clock: Clock,
    /// Where clients are sent that should have come over TLS.
    pub(crate) https_port: u16,
    pub(crate) dates: Dates,
    pub(crate) seats: Seats,
    /// Where the layers of slugs lie.
    pub(crate) layers: PathBuf,
    /// Answers at the status page's hosts.
    pub(crate) board: Arc<Board>,
    is_stopping: Cell<bool>,
    /// Another router has taken over: idle connections may bring one more request.
    is_leaving: Cell<bool>,
    follows_stop: Cell<bool>,
    /// The time for requests in flight is over.
    is_forced: Cell<bool>,
    open: Cell<usize>,
    closed: Notify,
}

/// An open client connection; counted until it is dropped.
#[derive(Debug)]
pub(crate) struct Open(Rc<Lane>);

impl Lane {
    pub(crate) fn new(
        routes: Arc<Routes>,
        (spool, ledger): (SpoolSender, Arc<Ledger>),
        (tracer, board): (Option<Tracer>, Arc<Board>),
        (config, https_port): (&RouterConfig, u16),
    ) -> Self {
        Self {
            routes: LocalRoutes::new(routes),
            dynos: Pool::default(),
            pool: Pool::default(),
            streams: Streams::default(),
            buffers: Rc::default(),
            timers: Timers::new(),
            dates: Dates::default(),
            seats: Seats::default(),
            layers: config.layers.clone(),
            is_stopping: Cell::new(false),
            is_leaving: Cell::new(false),
            follows_stop: Cell::new(false),
            is_forced: Cell::new(false),
            recorder: Recorder::new(spool),
            counts: LaneCounts::new(ledger),
            tracer,
            timeouts: config.timeouts,
            clock: config.clock.clone(),
            https_port,
            board,
            open: Cell::new(0),
            closed: Notify::new(),
        }
    }

    /// Counts a connection in.
    pub(crate) fn open(self: &Rc<Self>) -> Open {
        self.open.set(self.open.get() + 1);
        self.counts.opened();
        Open(Rc::clone(self))
    }

    /// Whether connections shall end as soon as they can.
    pub(crate) fn is_stopping(&self) -> bool {
        self.is_stopping.get()
    }

    /// Whether those without a request shall end at once. Not after a take-over: a request may be on
    /// its way, so they end with their next answer, or with their time.
    pub(crate) fn closes_idle(&self) -> bool {
        self.is_stopping.get() && !self.is_leaving.get()
    }

    /// Whether requests still in flight shall fail now.
    pub(crate) fn is_forced(&self) -> bool {
        self.is_forced.get()
    }

    /// Has every request that is still in flight fail with H24.
    pub(crate) fn force(&self) {
        self.is_forced.set(true);
        self.timers.wake_all();
    }

    /// From the first call on, wakes every connection when the router is asked to stop.
    pub(crate) fn follow_stop(self: &Rc<Self>, stop: &watch::Receiver<Stop>) {
        if self.follows_stop.replace(true) {
            return;
        }
        let (lane, mut stop) = (Rc::clone(self), stop.clone());
        spawn_local(async move {
            loop {
                let asked = stop.wait_for(|stop| *stop != Stop::No).await;
                let Ok(is_leaving) = asked.map(|stop| *stop == Stop::Leaving) else {
                    return;
                };
                lane.is_leaving.set(is_leaving);
                lane.is_stopping.set(true);
                lane.timers.wake_all();
                let is_over = stop.wait_for(|stop| *stop != Stop::Leaving).await;
                if !is_leaving || is_over.is_err() {
                    return;
                }
            }
        });
    }

    /// Returns when no connection is open. Safe to drop.
    pub(crate) async fn wait_all_closed(&self) {
        while self.open.get() > 0 {
            self.closed.notified().await;
        }
    }

    /// Everything that goes on beside the requests. Never ends.
    pub(crate) async fn keep_house(&self) {
        let follow_routes = async {
            let mut leaving = self.routes.leaving();
            while let Some(serial) = leaving.recv().await {
                self.pool.forget(serial);
                self.streams.forget(serial);
                self.dynos.forget(serial);
                self.counts.forget(serial);
                // Or the former table would stay in memory until the next request.
                self.routes.table();
            }
        };
        // Who is in flight on a backend that is cut must learn of it.
        let (cuts, seen) = (&self.routes.shared.cuts, Cell::new(0));
        let is_news = || {
            let now = cuts.load(Ordering::SeqCst);
            seen.replace(now) != now
        };
        tokio::join!(
            self.timers.tick(is_news),
            self.recorder.keep_flushing(),
            self.dynos.keep_fresh(self.timeouts.upstream_idle),
            self.pool.keep_fresh(self.timeouts.upstream_idle),
            self.streams.keep_fresh(),
            follow_routes,
        );
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get().saturating_sub(1));
        self.0.counts.closed();
        self.0.closed.notify_one();
    }
}
