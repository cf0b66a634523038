//! Decisions: pure functions from what an app should be and what it is to the next steps.
//!
//! Nothing here reads a clock, a database or an engine; `reconcile` gathers an [`AppState`],
//! calls [`plan`] and performs the [`Step`]s. Read [`AppState`] first, then [`dynos`] (which dynos
//! to start, replace and stop), [`releases`] (when a release goes live or fails) and [`routes`].
//! Before all of these, [`sleep`] says whether the app shall fall asleep or wake.

pub mod certificates;
mod cycles;
pub mod disk;
pub mod disk_use;
pub mod dynos;
pub mod health;
pub mod pace;
pub mod pressure;
pub mod releases;
pub mod routes;
#[cfg(test)]
mod simulation;
pub mod sleep;
#[cfg(test)]
mod tests;
pub mod usage;

use std::{collections::BTreeMap, time::Duration};

use api::{
    clock::Time,
    ids::{DynoId, ReleaseId},
    names::{AppName, DynoName, ProcessType},
};

use self::sleep::SleepView;

/// One app: what is wanted and what is there.
#[derive(Clone, Debug)]
pub struct AppState {
    /// The app's name, for messages.
    pub name: AppName,
    /// The release that serves.
    pub current: Option<ReleaseView>,
    /// The oldest release that is not decided yet.
    pub pending: Option<ReleaseView>,
    /// How many dynos of each type.
    pub formation: BTreeMap<ProcessType, FormationView>,
    /// The dynos on record, formation and release phase alike, oldest first.
    pub dynos: Vec<DynoView>,
    /// How long a web dyno may take until it answers.
    pub boot_timeout: Duration,
    /// How many dynos may boot at the same time.
    pub boots_at_once: usize,
    /// How long a dyno lives before it is replaced, if not for ever.
    pub cycle_every: Option<Duration>,
    /// Whether it sleeps.
    pub sleep: SleepView,
}

/// A release as the planner sees it.
#[derive(Clone, Debug)]
pub struct ReleaseView {
    /// Its id.
    pub id: ReleaseId,
    /// Its number.
    pub version: u64,
    /// Whether there is anything to run.
    pub has_slug: bool,
    /// Process type → command; empty without a slug.
    pub process_types: BTreeMap<ProcessType, String>,
    /// How long dynos of the types with a startup check may take until they pass it.
    pub startup: BTreeMap<ProcessType, Duration>,
}

/// Quantity and size of a process type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormationView {
    /// How many dynos.
    pub quantity: u32,
    /// Their size, as `standard-1x`.
    pub size: String,
}

/// A dyno on record, and what the engine says of it.
#[derive(Clone, Debug)]
pub struct DynoView {
    /// Its id; ids sort by creation.
    pub id: DynoId,
    /// The release it runs.
    pub release: ReleaseId,
    /// Its process type.
    pub process_type: ProcessType,
    /// Its number: the 1 of `web.1`.
    pub number: u32,
    /// Its size.
    pub size: String,
    /// Whether it runs the release phase rather than a formation.
    pub is_release_phase: bool,
    /// Where it is in its life.
    pub stage: Stage,
    /// Marked to be stopped; it gets no more requests.
    pub is_retired: bool,
    /// Its readiness check has not failed.
    pub is_ready: bool,
    /// When `stage` was reached.
    pub since: Time,
    /// How often this slot has crashed in a row.
    pub crash_count: u32,
}

/// A dyno's life as the planner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// On record, not yet known to the engine.
    Recorded,
    /// The engine runs it; it does not answer yet.
    Starting,
    /// It answers, or needs not to.
    Up,
    /// It has ended.
    Ended {
        /// 0 means it ended well.
        status: i32,
        /// Killed for lack of memory.
        is_out_of_memory: bool,
    },
}

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Put a new dyno on record; a later pass starts it.
    Record {
        /// The release to run.
        release: ReleaseId,
        /// Its process type.
        process_type: ProcessType,
        /// Its number.
        number: u32,
        /// Its size.
        size: String,
        /// Crashes in a row of the slot so far.
        crash_count: u32,
    },
    /// Put the release phase dyno of a release on record.
    RecordReleasePhase {
        /// The release.
        release: ReleaseId,
    },
    /// Have the engine start a dyno on record.
    Start(DynoId),
    /// Mark a dyno so that it gets no more requests and is stopped.
    Retire(DynoId),
    /// Count a web dyno of the serving release that did not answer in time as crashed: R10.
    GiveUp(DynoId),
    /// Replace a dyno that has lived long enough, as by a restart.
    Cycle(DynoId),
    /// Stop a retired dyno, once its requests are done.
    Stop(DynoId),
    /// Take an ended dyno off the record.
    Forget(DynoId),
    /// The pending release goes live.
    Succeed(ReleaseId),
    /// The pending release failed; what serves goes on serving.
    Fail {
        /// The release.
        release: ReleaseId,
        /// Why.
        failure: Failure,
    },
}

/// Why a release failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The release phase command ended with this status.
    ReleasePhase {
        /// Its exit status.
        status: i32,
    },
    /// A dyno ended before it answered.
    Crashed(DynoId),
    /// A web dyno did not answer in time.
    BootTimeout(DynoId),
}

/// What to do now, and when to look again even if nothing happens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In order.
    pub steps: Vec<Step>,
    /// The next moment at which time alone changes the answer.
    pub wake_at: Option<Time>,
}

impl Plan {
    fn wake(&mut self, at: Time) {
        self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
    }
}

/// The next steps for one app.
pub fn plan(app: &AppState, now: Time) -> Plan {
    let mut plan = Plan::default();
    let mut boots = Boots::of(app);
    releases::plan(app, now, &mut plan, &mut boots);
    dynos::plan(app, now, &mut plan, &mut boots);
    plan
}

/// How many dynos of an app may boot at the same time on a machine with this many processors: at
/// least two, one a processor, a quarter of all. A release of many dynos shall neither take all the
/// processor time from what serves nor wait for each dyno in turn.
pub fn boots_at_once(processors: usize, dynos: usize) -> usize {
    processors.max(2).max(dynos.div_ceil(4))
}

/// How many more formation dynos may begin to boot now. What comes first gets them: a pending
/// release, which may be what heals the serving one, then the serving one.
struct Boots(usize);

impl Boots {
    fn of(app: &AppState) -> Self {
        let is_booting = |dyno: &&DynoView| {
            !dyno.is_release_phase && !dyno.is_retired && dyno.stage == Stage::Starting
        };
        let booting = app.dynos.iter().filter(is_booting).count();
        Self(app.boots_at_once.saturating_sub(booting))
    }

    /// Starts the dyno, unless enough boot already; it is looked at again when one of them is done.
    fn start(&mut self, dyno: DynoId, plan: &mut Plan) {
        if self.0 > 0 {
            self.0 -= 1;
            plan.steps.push(Step::Start(dyno));
        }
    }
}

impl AppState {
    /// Dynos wanted of a process type now: none while the app is stopped for want of requests.
    fn quantity(&self, process_type: &ProcessType) -> u32 {
        if self.sleep.is_stopped() {
            0
        } else {
            self.wanted(process_type)
        }
    }

    /// Dynos of a process type: as the formation says, else one web dyno and no others.
    fn wanted(&self, process_type: &ProcessType) -> u32 {
        if process_type.is_release() {
            return 0;
        }
        self.formation.get(process_type).map_or_else(
            || u32::from(process_type.is_web()),
            |formation| formation.quantity,
        )
    }

    /// The places of the serving release's formation, also of an app that is stopped.
    pub(crate) fn slots(&self) -> Vec<DynoName> {
        let types = self.current.iter().flat_map(|at| at.process_types.keys());
        types
            .flat_map(|kind| (1..=self.wanted(kind)).map(|number| DynoName::new(kind, number)))
            .collect()
    }

    /// How long a dyno of the type may take until it is up; for ever if nothing is asked of it.
    fn patience(&self, release: &ReleaseView, process_type: &ProcessType) -> Option<Duration> {
        let startup = release.startup.get(process_type).copied();
        startup.or_else(|| process_type.is_web().then_some(self.boot_timeout))
    }

    /// The size wanted for a process type.
    fn size(&self, process_type: &ProcessType) -> String {
        self.formation.get(process_type).map_or_else(
            || crate::sizes::DEFAULT_SIZE.to_owned(),
            |formation| formation.size.clone(),
        )
    }

    /// Formation dynos of one slot that are not retired, oldest first.
    fn slot<'a>(
        &'a self,
        process_type: &'a ProcessType,
        number: u32,
    ) -> impl Iterator<Item = &'a DynoView> + 'a {
        self.dynos.iter().filter(move |dyno| {
            !dyno.is_release_phase
                && !dyno.is_retired
                && dyno.number == number
                && dyno.process_type == *process_type
        })
    }
}
