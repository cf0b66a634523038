//! Daily cycling: each dyno of a formation is replaced when it has lived long enough, one of a type
//! at a time, and only while the app is awake and nothing else goes on.
//!
//! Source: Heroku Dev Center, "Dyno restarts": every 24 hours plus up to 216 minutes at random.
//! Restarts and releases make new dynos and so begin the time anew.

use std::time::Duration;

use api::{clock::Time, ids::DynoId, names::ProcessType};

use super::{AppState, DynoView, Plan, Stage, Step};

/// The most that is added to a dyno's time, in percent of it: 216 minutes of 24 hours.
const SPREAD_PERCENT: u32 = 15;

/// Adds a step for each process type that has a dyno whose time is over and none that changes.
pub(super) fn plan(app: &AppState, now: Time, plan: &mut Plan) {
    let (Some(every), Some(current), None) = (app.cycle_every, &app.current, &app.pending) else {
        return;
    };
    if !app.sleep.is_awake() {
        // It is not woken for this; it has another look when it wakes.
        return;
    }
    for process_type in current.process_types.keys() {
        if is_changing(app, process_type) {
            // Whatever changes ends with a nudge, and then it is looked at again.
            continue;
        }
        let next = app
            .dynos
            .iter()
            .filter(|dyno| !dyno.is_release_phase && dyno.process_type == *process_type)
            .map(|dyno| (due(dyno, every), dyno.id))
            .min();
        match next {
            Some((due, dyno)) if due <= now => plan.steps.push(Step::Cycle(dyno)),
            Some((due, _)) => plan.wake(due),
            None => {}
        }
    }
}

/// Whether not all dynos of the type are up, the only ones of their slots, and wanted.
fn is_changing(app: &AppState, process_type: &ProcessType) -> bool {
    let of_type = || {
        app.dynos
            .iter()
            .filter(|dyno| !dyno.is_release_phase && dyno.process_type == *process_type)
    };
    let is_steady = |dyno: &DynoView| {
        dyno.stage == Stage::Up
            && !dyno.is_retired
            && app
                .current
                .as_ref()
                .is_some_and(|current| current.id == dyno.release)
            && of_type()
                .filter(|other| other.number == dyno.number)
                .count()
                == 1
    };
    of_type().count() != usize::try_from(app.quantity(process_type)).unwrap_or(usize::MAX)
        || !of_type().all(is_steady)
}

fn due(dyno: &DynoView, every: Duration) -> Time {
    dyno.since.after(every + spread(dyno.id, every))
}

/// A part of the spread that is fixed by the dyno's id, whose low bits are random.
fn spread(dyno: DynoId, every: Duration) -> Duration {
    let part = u32::try_from(dyno.as_uuid().as_u128() % 1_000).unwrap_or(0);
    every * SPREAD_PERCENT * part / (100 * 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dyno_lives_a_day_and_up_to_216_minutes() {
        let day = Duration::from_hours(24);
        let spreads: Vec<Duration> = (0..1_000).map(|_| spread(DynoId::new(), day)).collect();
        assert!(
            spreads
                .iter()
                .all(|spread| *spread < Duration::from_mins(216))
        );
        assert!(
            spreads
                .iter()
                .any(|spread| *spread < Duration::from_mins(40))
        );
        assert!(
            spreads
                .iter()
                .any(|spread| *spread > Duration::from_hours(3))
        );
    }
}
