//! Idle connections to dynos, one pool a thread and protocol: kept, checked, dropped in time.
//!
//! It goes by a backend's serial number: addresses and names are used again, serials never.

use std::{cell::RefCell, collections::HashMap, hash::BuildHasherDefault, time::Duration};

use tokio::{sync::Notify, time::Instant};

use crate::{config::MAX_IDLE_PER_BACKEND, metrics::SerialHasher, table::Backend};

/// What can be kept.
pub(crate) trait Keep {
    /// Whether a request may be sent on it. Looks closely for one that may not be sent twice.
    fn is_usable(&self, use_for: Use) -> bool;
}

/// What a kept connection is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// A request that may be sent once more when the connection turns out to be dead.
    Repeatable,
    /// One that may not.
    Once,
}

/// How good a kept connection has to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fresh {
    pub(crate) use_for: Use,
    pub(crate) max_idle: Duration,
    pub(crate) now: Instant,
}

/// A thread's idle connections.
#[derive(Debug)]
pub(crate) struct Pool<L> {
    /// By [`Backend::serial`].
    idle: RefCell<HashMap<u64, Vec<Idle<L>>, BuildHasherDefault<SerialHasher>>>,
    filled: Notify,
}

#[derive(Debug)]
struct Idle<L> {
    leg: L,
    since: Instant,
}

impl<L> Default for Pool<L> {
    fn default() -> Self {
        Self {
            idle: RefCell::default(),
            filled: Notify::new(),
        }
    }
}

impl<L: Keep> Pool<L> {
    /// The connection that was used last, if it is alive and has not been idle for too long.
    pub(crate) fn check_out(&self, backend: &Backend, fresh: Fresh) -> Option<L> {
        let mut idle = self.idle.borrow_mut();
        let kept = idle.get_mut(&backend.serial)?;
        while let Some(Idle { leg, since }) = kept.pop() {
            if fresh.now.duration_since(since) >= fresh.max_idle {
                // The others have been idle for longer, but may do for another request.
                kept.push(Idle { leg, since });
                return None;
            }
            if leg.is_usable(fresh.use_for) {
                return Some(leg);
            }
        }
        None
    }

    /// Keeps a connection whose response has gone through.
    pub(crate) fn check_in(&self, backend: &Backend, leg: L) {
        if backend.is_retired() || !leg.is_usable(Use::Repeatable) {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        let kept = idle.entry(backend.serial).or_default();
        if kept.len() < MAX_IDLE_PER_BACKEND {
            kept.push(Idle {
                leg,
                since: Instant::now(),
            });
            self.filled.notify_one();
        }
    }

    /// Drops the connections of a backend.
    pub(crate) fn forget(&self, serial: u64) {
        self.idle.borrow_mut().remove(&serial);
    }

    /// Drops what has been idle for too long. Never ends.
    #[expect(clippy::infinite_loop, reason = "it is dropped with its thread")]
    pub(crate) async fn keep_fresh(&self, max_idle: Duration) {
        loop {
            if self.idle.borrow().is_empty() {
                self.filled.notified().await;
            }
            tokio::time::sleep(max_idle / 4).await;
            self.idle.borrow_mut().retain(|_, kept| {
                kept.retain(|idle| {
                    idle.leg.is_usable(Use::Repeatable) && idle.since.elapsed() < max_idle
                });
                !kept.is_empty()
            });
        }
    }
}
