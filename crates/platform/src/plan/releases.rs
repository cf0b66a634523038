//! When a pending release goes live or fails: release phase first, then its web dynos must answer.
//!
//! What serves is not touched before the new release is proven.

use api::{clock::Time, names::ProcessType};

use super::{AppState, Boots, DynoView, Failure, Plan, ReleaseView, Stage, Step};

/// Adds the steps of the pending release, if there is one.
pub(super) fn plan(app: &AppState, now: Time, plan: &mut Plan, boots: &mut Boots) {
    let Some(pending) = &app.pending else { return };
    match release_phase(app, pending) {
        Phase::Record => plan.steps.push(Step::RecordReleasePhase {
            release: pending.id,
        }),
        Phase::Start(dyno) => plan.steps.push(Step::Start(dyno.id)),
        Phase::Running => {}
        Phase::Failed(status) => fail(plan, pending, Failure::ReleasePhase { status }),
        Phase::Done => boot_web(app, pending, now, plan, boots),
    }
}

enum Phase<'a> {
    Record,
    Start(&'a DynoView),
    Running,
    Failed(i32),
    Done,
}

fn release_phase<'a>(app: &'a AppState, pending: &ReleaseView) -> Phase<'a> {
    if !pending.process_types.keys().any(ProcessType::is_release) {
        return Phase::Done;
    }
    let dyno = app
        .dynos
        .iter()
        .find(|dyno| dyno.is_release_phase && dyno.release == pending.id);
    match dyno.map(|dyno| (&dyno.stage, dyno)) {
        None => Phase::Record,
        Some((Stage::Recorded, dyno)) => Phase::Start(dyno),
        Some((Stage::Starting | Stage::Up, _)) => Phase::Running,
        Some((Stage::Ended { status: 0, .. }, _)) => Phase::Done,
        Some((Stage::Ended { status, .. }, _)) => Phase::Failed(*status),
    }
}

fn fail(plan: &mut Plan, pending: &ReleaseView, failure: Failure) {
    plan.steps.push(Step::Fail {
        release: pending.id,
        failure,
    });
}

/// Boots the pending release's web dynos beside the serving ones, some at a time; all must answer.
fn boot_web(app: &AppState, pending: &ReleaseView, now: Time, plan: &mut Plan, boots: &mut Boots) {
    let web = pending
        .process_types
        .keys()
        .find(|process_type| process_type.is_web());
    let Some(web) = web else {
        plan.steps.push(Step::Succeed(pending.id));
        return;
    };
    let mut answering = 0;
    let quantity = app.quantity(web);
    for number in 1..=quantity {
        let candidate = app
            .slot(web, number)
            .filter(|dyno| dyno.release == pending.id)
            .last();
        let Some(candidate) = candidate else {
            plan.steps.push(Step::Record {
                release: pending.id,
                process_type: web.clone(),
                number,
                size: app.size(web),
                crash_count: 0,
            });
            continue;
        };
        match candidate.stage {
            Stage::Recorded => boots.start(candidate.id, plan),
            Stage::Up => answering += 1,
            Stage::Ended { .. } => return fail(plan, pending, Failure::Crashed(candidate.id)),
            Stage::Starting => {
                let patience = app.patience(pending, web).unwrap_or(app.boot_timeout);
                let deadline = candidate.since.after(patience);
                if now >= deadline {
                    return fail(plan, pending, Failure::BootTimeout(candidate.id));
                }
                plan.wake(deadline);
            }
        }
    }
    if answering == quantity {
        plan.steps.push(Step::Succeed(pending.id));
    }
}
