//! Which dynos of the serving release to start, replace, stop and forget.
//!
//! Web dynos overlap: a replacement answers before the old one is retired. Other types do not:
//! two clock or worker dynos of one slot must never run at once, so the old one ends first.

use std::time::Duration;

use api::{clock::Time, names::ProcessType};

use super::{AppState, Boots, DynoView, Plan, ReleaseView, Stage, Step, cycles};

/// Wait after the second crash in a row; it doubles with each further one.
const CRASH_BACKOFF: Duration = Duration::from_secs(2);
/// Longest wait after a crash.
const CRASH_BACKOFF_LIMIT: Duration = Duration::from_mins(5);
/// A dyno that was up this long starts counting crashes anew.
const STABLE_AFTER: Duration = Duration::from_mins(1);

/// Adds the steps for the serving release's dynos and for those that should go.
pub(super) fn plan(app: &AppState, now: Time, plan: &mut Plan, boots: &mut Boots) {
    for dyno in &app.dynos {
        leave(app, dyno, plan);
    }
    if let Some(current) = &app.current {
        for process_type in current.process_types.keys() {
            for number in 1..=app.quantity(process_type) {
                keep_slot(
                    app,
                    &Slot {
                        current,
                        process_type,
                        number,
                    },
                    now,
                    plan,
                    boots,
                );
            }
        }
    }
    cycles::plan(app, now, plan);
}

/// Crashes in a row to carry to the dyno that replaces `ended`, which was up until `since`.
pub fn next_crash_count(crash_count: u32, was_up_for: Duration) -> u32 {
    if was_up_for >= STABLE_AFTER {
        1
    } else {
        crash_count.saturating_add(1)
    }
}

/// How long a slot that crashed `crash_count` times in a row waits before it is started again.
///
/// As at Heroku the first crash costs no wait and the waits after further ones grow exponentially,
/// and a release or a restart by hand begins anew. Heroku's waits are minutes at once and grow to
/// hours, which saves what its machines share. Here the machine is the owner's: most crashes in a
/// row are a database that is away for a while, and then an app should be back within seconds,
/// within five minutes at worst. (Source: Dev Center, "Dyno restarts", changelog item 344.)
pub fn crash_backoff(crash_count: u32) -> Duration {
    let Some(doublings) = crash_count.checked_sub(2) else {
        return Duration::ZERO;
    };
    let doublings = doublings.min(16);
    CRASH_BACKOFF
        .saturating_mul(1 << doublings)
        .min(CRASH_BACKOFF_LIMIT)
}

/// Sees a dyno out that is retired, or that nothing asks for any more.
fn leave(app: &AppState, dyno: &DynoView, plan: &mut Plan) {
    let is_of = |release: &Option<ReleaseView>| {
        release
            .as_ref()
            .is_some_and(|release| release.id == dyno.release)
    };
    if dyno.is_release_phase {
        if !is_of(&app.pending) {
            remove(dyno, plan);
        }
        return;
    }
    if dyno.is_retired {
        remove(dyno, plan);
        return;
    }
    let wanted = dyno.number >= 1 && dyno.number <= app.quantity(&dyno.process_type);
    let has_type = |release: &Option<ReleaseView>| {
        release
            .as_ref()
            .is_some_and(|r| r.process_types.contains_key(&dyno.process_type))
    };
    if is_of(&app.pending) && wanted && has_type(&app.pending) {
        return;
    }
    // A dyno of an older release stays until its slot's successor takes over, see `keep_slot`.
    let stays = has_type(&app.current) && (wanted || is_last_to_answer(app, dyno));
    let is_abandoned_candidate = match &app.current {
        Some(current) => is_younger(app, dyno, current),
        None => true,
    };
    if !stays || is_abandoned_candidate {
        plan.steps.push(Step::Retire(dyno.id));
    }
}

/// Whether a surplus web dyno is the only one that answers while the wanted ones still boot.
fn is_last_to_answer(app: &AppState, dyno: &DynoView) -> bool {
    let quantity = app.quantity(&dyno.process_type);
    dyno.process_type.is_web()
        && dyno.stage == Stage::Up
        && quantity > 0
        && !app.dynos.iter().any(|other| {
            other.process_type.is_web()
                && other.number <= quantity
                && !other.is_retired
                && other.stage == Stage::Up
        })
}

/// Whether `dyno` was made for a release later than the serving one: a candidate that failed.
fn is_younger(app: &AppState, dyno: &DynoView, current: &ReleaseView) -> bool {
    dyno.release > current.id && app.pending.as_ref().is_none_or(|p| p.id != dyno.release)
}

fn remove(dyno: &DynoView, plan: &mut Plan) {
    match dyno.stage {
        Stage::Recorded | Stage::Ended { .. } => plan.steps.push(Step::Forget(dyno.id)),
        Stage::Starting | Stage::Up => plan.steps.push(Step::Stop(dyno.id)),
    }
}

struct Slot<'a> {
    current: &'a ReleaseView,
    process_type: &'a ProcessType,
    number: u32,
}

/// Keeps one slot of the serving release filled: the newest dyno of the right release and size
/// wins, all others go.
fn keep_slot(app: &AppState, slot: &Slot<'_>, now: Time, plan: &mut Plan, boots: &mut Boots) {
    let is_candidate =
        |dyno: &&DynoView| app.pending.as_ref().is_some_and(|p| p.id == dyno.release);
    let present: Vec<&DynoView> = app
        .slot(slot.process_type, slot.number)
        .filter(|dyno| !is_candidate(dyno) && dyno.release <= slot.current.id)
        .collect();
    let size = app.size(slot.process_type);
    let keeper = present
        .iter()
        .rev()
        .find(|dyno| dyno.release == slot.current.id && dyno.size == size)
        .copied();
    let others = present
        .iter()
        .copied()
        .filter(|dyno| keeper.is_none_or(|k| k.id != dyno.id));
    if slot.process_type.is_web() {
        keep_web(slot, keeper, others, plan, &size);
    } else {
        keep_other(app, slot, keeper, &others.collect::<Vec<_>>(), plan);
    }
    if let Some(keeper) = keeper {
        let patience = app.patience(slot.current, slot.process_type);
        if is_given_up(keeper, patience, now, plan) {
            plan.steps.push(Step::GiveUp(keeper.id));
        }
        tend(app, keeper, now, plan, boots);
    }
}

/// A web slot: a missing keeper is recorded beside what serves; the others go once it answers.
fn keep_web<'a>(
    slot: &Slot<'_>,
    keeper: Option<&DynoView>,
    others: impl Iterator<Item = &'a DynoView>,
    plan: &mut Plan,
    size: &str,
) {
    match keeper {
        None => plan.steps.push(record(slot, size.to_owned(), 0)),
        Some(keeper) => {
            for other in others {
                // One that does not answer either would only keep the newer one from booting.
                if keeper.stage == Stage::Up || other.stage != Stage::Up {
                    plan.steps.push(Step::Retire(other.id));
                }
            }
        }
    }
}

/// Any other slot: the others go first, and only when they have ended a new one is recorded.
fn keep_other(
    app: &AppState,
    slot: &Slot<'_>,
    keeper: Option<&DynoView>,
    others: &[&DynoView],
    plan: &mut Plan,
) {
    plan.steps
        .extend(others.iter().map(|other| Step::Retire(other.id)));
    if keeper.is_none() && others.is_empty() && !is_occupied(app, slot) {
        plan.steps
            .push(record(slot, app.size(slot.process_type), 0));
    }
}

/// Whether a retired dyno of the slot still runs.
fn is_occupied(app: &AppState, slot: &Slot<'_>) -> bool {
    app.dynos.iter().any(|dyno| {
        !dyno.is_release_phase
            && dyno.is_retired
            && dyno.number == slot.number
            && dyno.process_type == *slot.process_type
            && matches!(dyno.stage, Stage::Starting | Stage::Up)
    })
}

fn record(slot: &Slot<'_>, size: String, crash_count: u32) -> Step {
    Step::Record {
        release: slot.current.id,
        process_type: slot.process_type.clone(),
        number: slot.number,
        size,
        crash_count,
    }
}

/// R10: a dyno of the serving release that does not come up in its time is tried again.
fn is_given_up(keeper: &DynoView, patience: Option<Duration>, now: Time, plan: &mut Plan) -> bool {
    let (Stage::Starting, Some(patience)) = (&keeper.stage, patience) else {
        return false;
    };
    let deadline = keeper.since.after(patience);
    if now < deadline {
        plan.wake(deadline);
    }
    now >= deadline
}

/// Starts the slot's dyno if the engine does not know it, and replaces it after a crash.
fn tend(app: &AppState, keeper: &DynoView, now: Time, plan: &mut Plan, boots: &mut Boots) {
    match &keeper.stage {
        Stage::Recorded => {
            let occupied = !keeper.process_type.is_web()
                && app.dynos.iter().any(|dyno| {
                    dyno.id != keeper.id
                        && !dyno.is_release_phase
                        && dyno.number == keeper.number
                        && dyno.process_type == keeper.process_type
                        && matches!(dyno.stage, Stage::Starting | Stage::Up)
                });
            if !occupied {
                boots.start(keeper.id, plan);
            }
        }
        Stage::Starting | Stage::Up => {}
        Stage::Ended { .. } => {
            let due = keeper.since.after(crash_backoff(keeper.crash_count));
            if now >= due {
                plan.steps.push(Step::Record {
                    release: keeper.release,
                    process_type: keeper.process_type.clone(),
                    number: keeper.number,
                    size: keeper.size.clone(),
                    crash_count: keeper.crash_count,
                });
            } else {
                plan.wake(due);
            }
        }
    }
}
