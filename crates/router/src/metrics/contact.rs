//! Since when nobody has heard of the server: written by the control thread, read by anybody.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use api::clock::Time;

/// What there is between router and server.
#[derive(Debug, Default)]
pub(crate) struct Contact {
    is_connected: AtomicBool,
    /// Microseconds of the Unix epoch; 0 is never.
    heard: AtomicI64,
    /// The same, of the last change of the table.
    changed: AtomicI64,
}

impl Contact {
    /// The server is connected from now on, or is not.
    pub(crate) fn set_connected(&self, is_connected: bool) {
        self.is_connected.store(is_connected, Ordering::Relaxed);
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.is_connected.load(Ordering::Relaxed)
    }

    /// The server has said something.
    pub(crate) fn hear(&self, now: Time) {
        self.heard.store(now.as_micros(), Ordering::Relaxed);
    }

    /// When it last did.
    pub(crate) fn heard(&self) -> Option<Time> {
        read(&self.heard)
    }

    /// The routes are new.
    pub(crate) fn change(&self, now: Time) {
        self.changed.store(now.as_micros(), Ordering::Relaxed);
    }

    /// When they last were.
    pub(crate) fn changed(&self) -> Option<Time> {
        read(&self.changed)
    }
}

fn read(at: &AtomicI64) -> Option<Time> {
    let micros = at.load(Ordering::Relaxed);
    (micros != 0).then(|| Time::from_micros(micros))
}
