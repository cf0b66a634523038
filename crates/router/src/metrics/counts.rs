//! What one lane counts: its requests by app, their times by dyno, its connections.
//!
//! A request that ends costs one look into a small map and a few additions; everything else happens
//! once an app or dyno. Nothing here is made before the first request, so idle routes cost nothing.
//! The counts are read in [`super::ledger`]. Read [`LaneCounts::record`].

use std::{
    cell::RefCell,
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use api::ids::AppId;

use super::{
    cells::{AppCells, Count, DynoCells},
    ledger::{AppSeat, LaneCells, Ledger},
};
use crate::{codes::Code, pages::Page, table::Backend};

/// A lane's counters.
#[derive(Debug)]
pub(crate) struct LaneCounts {
    ledger: Arc<Ledger>,
    lane: Arc<LaneCells>,
    /// By [`Backend::serial`].
    dynos: RefCell<HashMap<u64, Dyno, BuildHasherDefault<SerialHasher>>>,
    /// For requests that came to no dyno.
    apps: RefCell<HashMap<AppId, AppSeat>>,
}

/// Where the requests to a dyno are counted.
#[derive(Debug, Clone)]
struct Dyno {
    app: Arc<AppCells>,
    dyno: Arc<DynoCells>,
}

/// A request that has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended<'a> {
    pub(crate) app: AppId,
    /// The dyno that had it last.
    pub(crate) dyno: Option<&'a Arc<Backend>>,
    pub(crate) code: Option<Code>,
    pub(crate) status: u16,
    /// From the connection to the end of the response.
    pub(crate) service: Option<Duration>,
    /// How long it waited for a dyno that could take it, if it had to.
    pub(crate) waited: Option<Duration>,
    /// Of its body.
    pub(crate) bytes_in: u64,
    /// Of the response's body.
    pub(crate) bytes_out: u64,
}

/// Why a request belongs to no app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unrouted {
    /// It is not HTTP as we take it.
    Malformed,
    /// No app answers on its host.
    NoApp,
    /// There are no routes yet.
    NoRoutes,
}

/// Serial numbers need no more than to be spread over a table's places.
#[derive(Debug, Default)]
pub(crate) struct SerialHasher(u64);

impl Hasher for SerialHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        // Odd, and about 2^64 divided by the golden ratio.
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl LaneCounts {
    pub(crate) fn new(ledger: Arc<Ledger>) -> Self {
        Self {
            lane: ledger.add_lane(),
            ledger,
            dynos: RefCell::default(),
            apps: RefCell::default(),
        }
    }

    /// Counts a request that has ended.
    pub(crate) fn record(&self, ended: &Ended<'_>) {
        match ended.dyno {
            Some(backend) => self.with_dyno(backend, |at| {
                if let Some(service) = ended.service {
                    at.dyno.services.observe(service);
                }
                count_in(&at.app, ended);
            }),
            None => self.with_app(ended.app, |app| count_in(app, ended)),
        }
    }

    /// A new connection to a dyno was made.
    pub(crate) fn connected(&self, backend: &Arc<Backend>, connect: Duration) {
        self.with_dyno(backend, |at| at.dyno.connections().made.observe(connect));
    }

    /// None could be made.
    pub(crate) fn not_connected(&self, backend: &Arc<Backend>) {
        self.with_dyno(backend, |at| at.dyno.connections().failed.add(1));
    }

    /// A request begins to wait for a dyno of this app.
    pub(crate) fn waits(&self, app: AppId) {
        self.with_app(app, |_| {});
    }

    /// A request came that belongs to no app.
    pub(crate) fn unrouted(&self, why: Unrouted) {
        if let Some(count) = self.lane.unrouted.get(why as usize) {
            count.add(1);
        }
    }

    /// A client has connected.
    pub(crate) fn opened(&self) {
        self.lane.accepted.add(1);
        self.lane.open.add(1);
    }

    /// A client's connection has ended.
    pub(crate) fn closed(&self) {
        self.lane.open.subtract(1);
    }

    /// A backend has left the table.
    pub(crate) fn forget(&self, serial: u64) {
        self.dynos.borrow_mut().remove(&serial);
        // Few, and only those without a dyno: now is as good a time as any.
        let is_current = |_: &AppId, seat: &mut AppSeat| !seat.is_vacated.load(Ordering::Acquire);
        self.apps.borrow_mut().retain(is_current);
    }

    fn with_dyno(&self, backend: &Arc<Backend>, count: impl FnOnce(&Dyno)) {
        let mut dynos = self.dynos.borrow_mut();
        if let Some(at) = dynos.get(&backend.serial) {
            return count(at);
        }
        let (app, dyno) = self.ledger.dyno(&self.lane, backend);
        let at = Dyno { app, dyno };
        count(&at);
        // What has left the table is not told of a second time.
        if !backend.is_retired() {
            dynos.insert(backend.serial, at);
        }
    }

    fn with_app(&self, id: AppId, count: impl FnOnce(&AppCells)) {
        let mut apps = self.apps.borrow_mut();
        let seat = apps
            .get(&id)
            .filter(|seat| !seat.is_vacated.load(Ordering::Acquire));
        if let Some(seat) = seat {
            return count(&seat.cells);
        }
        let seat = self.ledger.app(&self.lane, id);
        count(&seat.cells);
        apps.insert(id, seat);
    }
}

impl Unrouted {
    pub(crate) const ALL: [Self; 3] = [Self::Malformed, Self::NoApp, Self::NoRoutes];

    /// Of a request that is answered with this page before an app is asked.
    pub(crate) fn by(page: Page) -> Self {
        match page {
            Page::NoSuchApp => Self::NoApp,
            _ => Self::NoRoutes,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::NoApp => "no_app",
            Self::NoRoutes => "no_routes",
        }
    }
}

fn count_in(app: &AppCells, ended: &Ended<'_>) {
    let class = usize::from(ended.status / 100).saturating_sub(1);
    let class: Option<&Count> = app.classes.get(class).or(app.classes.last());
    if let Some(class) = class {
        class.add(1);
    }
    app.bytes_in.add(ended.bytes_in);
    app.bytes_out.add(ended.bytes_out);
    if let Some(code) = ended.code
        && let Some(count) = app.trouble().codes.get(code as usize)
    {
        count.add(1);
    }
    if let Some(waited) = ended.waited {
        app.trouble().waits.observe(waited);
    }
}
