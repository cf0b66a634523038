//! A lane: one thread of the data plane with everything it needs to route without asking another
//! thread. There is one a core.

use std::{cell::Cell, rc::Rc, sync::Arc};

use api::clock::Clock;
use tokio::sync::Notify;

use crate::{
    access::{Recorder, SpoolSender},
    config::{RouterConfig, Timeouts},
    proxy::Pool,
    table::{LocalRoutes, Routes},
};

/// What the requests of one thread share.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) routes: LocalRoutes,
    pub(crate) pool: Pool,
    pub(crate) recorder: Recorder,
    pub(crate) timeouts: Timeouts,
    pub(crate) clock: Clock,
    /// Where clients are sent that should have come over TLS.
    pub(crate) https_port: u16,
    open: Cell<usize>,
    closed: Notify,
}

/// An open client connection; counted until it is dropped.
#[derive(Debug)]
pub(crate) struct Open(Rc<Lane>);

impl Lane {
    pub(crate) fn new(
        routes: Arc<Routes>,
        spool: SpoolSender,
        (config, https_port): (&RouterConfig, u16),
    ) -> Self {
        Self {
            routes: LocalRoutes::new(routes),
            pool: Pool::default(),
            recorder: Recorder::new(spool),
            timeouts: config.timeouts,
            clock: config.clock.clone(),
            https_port,
            open: Cell::new(0),
            closed: Notify::new(),
        }
    }

    /// Counts a connection in.
    pub(crate) fn open(self: &Rc<Self>) -> Open {
        self.open.set(self.open.get() + 1);
        Open(Rc::clone(self))
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
                // Or the former table would stay in memory until the next request.
                self.routes.table();
            }
        };
        tokio::join!(
            self.recorder.keep_flushing(),
            self.pool.keep_fresh(self.timeouts.upstream_idle),
            follow_routes,
        );
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get().saturating_sub(1));
        self.0.closed.notify_one();
    }
}
