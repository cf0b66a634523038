//! The counts of all lanes, as who reads them finds them.
//!
//! # To read what the apps had to do
//!
//! [`Ledger::apps`] adds up, for each app that ever had a request, what all lanes have counted since
//! the router started: [`AppTotals::classes`] (requests by 1xx to 5xx) and [`AppTotals::codes`]
//! (by H-code). The numbers only grow; what happened in a minute is the difference of two readings a
//! minute apart, kept by who asks. Reading takes no lock that a request waits for (only the first
//! request of an app or dyno on a lane does) and may be done on any thread, as often as one likes.
//! An app that is gone is forgotten after [`crate::Timeouts::forget`], and starts from zero should
//! it come back, so a smaller number than before means that the former is not to be subtracted.
//!
//! It must not know who is told. Read [`Ledger`].

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use api::{
    ids::AppId,
    names::{AppName, DynoName},
};

use super::{
    cells::{AppCells, CLASSES, Count, Distribution, DynoCells},
    contact::Contact,
    counts::Unrouted,
};
use crate::{
    codes::Code,
    table::{Backend, Keeper},
};

/// Apps that are counted by themselves; further ones are counted together.
const MAX_APPS: usize = 20_000;
/// Dynos that are, over all apps.
const MAX_DYNOS: usize = 40_000;
/// Between two looks for what is gone.
const TIDY_INTERVAL: Duration = Duration::from_secs(2);

/// Everything that is counted.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    inner: Mutex<Inner>,
    contact: Contact,
}

#[derive(Debug, Default)]
struct Inner {
    lanes: Vec<Arc<LaneCells>>,
    apps: HashMap<AppId, AppRecord>,
    /// Those for which there was no place.
    others: AppRecord,
    other_dynos: DynoRecord,
    /// Of all apps.
    dynos: usize,
    /// When it was last looked for what is gone.
    tidied: Option<Duration>,
}

/// One lane's counters that belong to no app.
#[derive(Debug)]
pub(crate) struct LaneCells {
    number: usize,
    /// Connections of clients that were accepted.
    pub(super) accepted: Count,
    /// Those of them that have not ended.
    pub(super) open: Count,
    /// By [`Unrouted`].
    pub(super) unrouted: [Count; Unrouted::ALL.len()],
}

/// Where one lane counts an app's requests.
#[derive(Clone, Debug)]
pub(crate) struct AppSeat {
    pub(super) cells: Arc<AppCells>,
    /// Nobody reads it any more.
    pub(super) is_vacated: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
struct AppRecord {
    /// By the lane's number.
    lanes: HashMap<usize, Arc<AppCells>>,
    dynos: BTreeMap<DynoName, DynoRecord>,
    /// As it was last called.
    name: Option<AppName>,
    is_vacated: Arc<AtomicBool>,
    gone_since: Option<Duration>,
}

/// Of all dynos of a name, one after the other: what follows under the name goes on counting.
#[derive(Debug, Default)]
struct DynoRecord {
    /// By the lane's number.
    lanes: HashMap<usize, Arc<DynoCells>>,
    backends: Vec<Weak<Backend>>,
    gone_since: Option<Duration>,
}

/// What all lanes counted of an app.
#[derive(Clone, Debug, Default)]
pub(crate) struct AppTotals {
    /// None for those that have no place of their own.
    pub(crate) app: Option<AppId>,
    /// As it was last called, once that was looked up.
    pub(crate) name: Option<AppName>,
    /// Requests that have ended, 1xx first.
    pub(crate) classes: [u64; CLASSES],
    /// By [`Code::ALL`].
    pub(crate) codes: [u64; Code::COUNT],
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    /// How long requests waited for a dyno, of those that had to.
    pub(crate) waits: Distribution,
    pub(crate) dynos: Vec<DynoTotals>,
}

/// What all lanes counted of a dyno.
#[derive(Clone, Debug, Default)]
pub(crate) struct DynoTotals {
    /// None for those that have no place of their own.
    pub(crate) name: Option<DynoName>,
    /// From the connection to the end of the response.
    pub(crate) services: Distribution,
    /// New connections and how long they took.
    pub(crate) connects: Distribution,
    /// Connections that could not be made.
    pub(crate) failed_connects: u64,
    /// Requests that have not ended.
    pub(crate) in_flight: u64,
}

/// What all lanes counted beside apps.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LaneTotals {
    pub(crate) accepted: u64,
    pub(crate) open: u64,
    /// By [`Unrouted::ALL`].
    pub(crate) unrouted: [u64; Unrouted::ALL.len()],
}

/// The cells of a record, taken out so that nobody waits while they are read.
struct Taken {
    totals: AppTotals,
    lanes: Vec<Arc<AppCells>>,
    dynos: Vec<TakenDyno>,
}

struct TakenDyno {
    name: Option<DynoName>,
    lanes: Vec<Arc<DynoCells>>,
    in_flight: u64,
}

impl Ledger {
    /// Every app that had a request.
    pub(crate) fn apps(&self) -> Vec<AppTotals> {
        let taken: Vec<Taken> = {
            let inner = self.lock();
            let known = inner.apps.iter().map(|(id, record)| record.take(Some(*id)));
            known.chain(inner.take_others()).collect()
        };
        taken.into_iter().map(Taken::add_up).collect()
    }

    /// How long the dynos of all apps took.
    pub(crate) fn services(&self) -> Distribution {
        let lanes: Vec<Arc<DynoCells>> = {
            let inner = self.lock();
            let apps = inner.apps.values().chain([&inner.others]);
            let dynos = apps.flat_map(|app| app.dynos.values());
            let dynos = dynos.chain([&inner.other_dynos]);
            dynos
                .flat_map(|dyno| dyno.lanes.values().cloned())
                .collect()
        };
        let mut sum = Distribution::default();
        for lane in lanes {
            sum.add(&lane.services.read());
        }
        sum
    }

    /// What there is between router and server.
    pub(crate) fn contact(&self) -> &Contact {
        &self.contact
    }

    /// What belongs to no app.
    pub(crate) fn lanes(&self) -> LaneTotals {
        let mut totals = LaneTotals::default();
        for lane in &self.lock().lanes {
            totals.accepted += lane.accepted.get();
            totals.open += lane.open.get();
            for (sum, count) in totals.unrouted.iter_mut().zip(&lane.unrouted) {
                *sum += count.get();
            }
        }
        totals
    }

    /// Learns names, and forgets what has been gone for `linger`. For the thread that commits
    /// changes; to be called often. `now` is since the router's start.
    pub(crate) fn tidy(&self, keeper: &Keeper, linger: Duration, now: Duration) {
        let mut inner = self.lock();
        let inner = &mut *inner;
        let since = inner.tidied.map(|at| now.saturating_sub(at));
        if since.is_some_and(|since| since < TIDY_INTERVAL.min(linger)) {
            return;
        }
        inner.tidied = Some(now);
        inner.apps.retain(|id, record| {
            let app = keeper.app(*id);
            if let Some(app) = app {
                record.call(app.name());
            }
            record.forget_dynos(linger, now);
            let is_there = app.is_some() || !record.dynos.is_empty();
            let stays = stays(&mut record.gone_since, is_there, linger, now);
            record.is_vacated.store(!stays, Ordering::Release);
            stays
        });
        inner.other_dynos.look_for_backends();
        let counts = inner.apps.values().map(|record| record.dynos.len());
        inner.dynos = counts.sum();
    }

    pub(super) fn add_lane(&self) -> Arc<LaneCells> {
        let mut inner = self.lock();
        let lane = Arc::new(LaneCells {
            number: inner.lanes.len(),
            accepted: Count::default(),
            open: Count::default(),
            unrouted: Default::default(),
        });
        inner.lanes.push(Arc::clone(&lane));
        lane
    }

    /// Where a lane counts an app's requests.
    pub(super) fn app(&self, lane: &LaneCells, id: AppId) -> AppSeat {
        let mut inner = self.lock();
        let record = inner.record(id);
        AppSeat {
            cells: record.cells(lane.number),
            is_vacated: Arc::clone(&record.is_vacated),
        }
    }

    /// Where a lane counts the requests to a dyno.
    pub(super) fn dyno(
        &self,
        lane: &LaneCells,
        backend: &Arc<Backend>,
    ) -> (Arc<AppCells>, Arc<DynoCells>) {
        let mut inner = self.lock();
        let has_place = inner.dynos < MAX_DYNOS;
        let record = inner.record(backend.app);
        let app = record.cells(lane.number);
        let is_known = record.dynos.contains_key(&backend.name);
        if !is_known && !has_place {
            inner.other_dynos.see(backend);
            return (app, inner.other_dynos.cells(lane.number));
        }
        let dyno = record.dynos.entry(backend.name.clone()).or_default();
        dyno.see(backend);
        let cells = dyno.cells(lane.number);
        inner.dynos += usize::from(!is_known);
        (app, cells)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn record(&mut self, id: AppId) -> &mut AppRecord {
        if self.apps.len() >= MAX_APPS && !self.apps.contains_key(&id) {
            return &mut self.others;
        }
        self.apps.entry(id).or_default()
    }

    /// What was counted together, if anything was.
    fn take_others(&self) -> Option<Taken> {
        let mut taken = self.others.take(None);
        if !self.other_dynos.lanes.is_empty() {
            taken.dynos.push(self.other_dynos.take(None));
        }
        (!taken.lanes.is_empty() || !taken.dynos.is_empty()).then_some(taken)
    }
}

impl AppRecord {
    fn cells(&mut self, lane: usize) -> Arc<AppCells> {
        Arc::clone(self.lanes.entry(lane).or_default())
    }

    fn call(&mut self, name: &str) {
        if self.name.as_ref().is_none_or(|at| at.as_str() != name) {
            self.name = name.parse().ok();
        }
    }

    fn forget_dynos(&mut self, linger: Duration, now: Duration) {
        self.dynos.retain(|_, dyno| {
            dyno.look_for_backends();
            let is_there = !dyno.backends.is_empty();
            stays(&mut dyno.gone_since, is_there, linger, now)
        });
    }

    fn take(&self, app: Option<AppId>) -> Taken {
        let dynos = self.dynos.iter();
        Taken {
            lanes: self.lanes.values().map(Arc::clone).collect(),
            dynos: dynos.map(|(name, dyno)| dyno.take(Some(name))).collect(),
            totals: AppTotals {
                app,
                name: self.name.clone(),
                ..AppTotals::default()
            },
        }
    }
}

impl DynoRecord {
    fn cells(&mut self, lane: usize) -> Arc<DynoCells> {
        Arc::clone(self.lanes.entry(lane).or_default())
    }

    fn see(&mut self, backend: &Arc<Backend>) {
        let seen = Arc::downgrade(backend);
        if !self.backends.iter().any(|at| at.ptr_eq(&seen)) {
            self.backends.push(seen);
        }
    }

    fn look_for_backends(&mut self) {
        self.backends.retain(|at| at.strong_count() > 0);
    }

    fn take(&self, name: Option<&DynoName>) -> TakenDyno {
        let backends = self.backends.iter().filter_map(Weak::upgrade);
        TakenDyno {
            name: name.cloned(),
            lanes: self.lanes.values().map(Arc::clone).collect(),
            in_flight: backends.map(|at| at.in_flight() as u64).sum(),
        }
    }
}

impl Taken {
    fn add_up(self) -> AppTotals {
        let mut totals = self.totals;
        for cells in self.lanes {
            for (sum, count) in totals.classes.iter_mut().zip(&cells.classes) {
                *sum += count.get();
            }
            totals.bytes_in += cells.bytes_in.get();
            totals.bytes_out += cells.bytes_out.get();
            let Some(trouble) = cells.trouble.get() else {
                continue;
            };
            for (sum, count) in totals.codes.iter_mut().zip(&trouble.codes) {
                *sum += count.get();
            }
            totals.waits.add(&trouble.waits.read());
        }
        totals.dynos = self.dynos.into_iter().map(TakenDyno::add_up).collect();
        totals
    }
}

impl TakenDyno {
    fn add_up(self) -> DynoTotals {
        let mut totals = DynoTotals {
            name: self.name,
            in_flight: self.in_flight,
            ..DynoTotals::default()
        };
        for cells in self.lanes {
            totals.services.add(&cells.services.read());
            if let Some(connections) = cells.connections.get() {
                totals.connects.add(&connections.made.read());
                totals.failed_connects += connections.failed.get();
            }
        }
        totals
    }
}

impl AppTotals {
    /// All but its dynos.
    pub(super) fn add(&mut self, other: &Self) {
        add(&mut self.classes, &other.classes);
        add(&mut self.codes, &other.codes);
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.waits.add(&other.waits);
    }

    /// How often requests failed with a code.
    pub(crate) fn code(&self, code: Code) -> u64 {
        self.codes.get(code as usize).copied().unwrap_or_default()
    }
}

impl DynoTotals {
    pub(super) fn add(&mut self, other: &Self) {
        self.services.add(&other.services);
        self.connects.add(&other.connects);
        self.failed_connects += other.failed_connects;
        self.in_flight += other.in_flight;
    }
}

fn add(sums: &mut [u64], more: &[u64]) {
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum += more;
    }
}

/// Whether something that is there, or was, is kept; `gone_since` is when it was first missed.
fn stays(
    gone_since: &mut Option<Duration>,
    is_there: bool,
    linger: Duration,
    now: Duration,
) -> bool {
    if is_there {
        *gone_since = None;
        return true;
    }
    let since = *gone_since.get_or_insert(now);
    now.saturating_sub(since) < linger
}
