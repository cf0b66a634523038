//! Compares an app's dynos on record with what the engine says, and records what has ended.

use std::time::Duration;

use api::clock::Time;
use engine::{DynoExit, DynoReport, EngineError};
use logs::LogSource;
use store::{App, Dyno, DynoKind, DynoState};

use super::one_offs;
use crate::{
    Platform,
    caller::system_change,
    error::Result,
    plan::{DynoView, Stage, dynos::next_crash_count},
};

/// What is to be seen of a dyno.
pub(super) struct Sight {
    pub(super) stage: Stage,
    /// When it came to be so, as far as the planner's waits go.
    since: Time,
    /// When it ended, if the engine has told just now.
    ended_at: Option<Time>,
}

/// The formation and release phase dynos of an app, oldest first, as the planner wants them.
pub(crate) async fn dynos(platform: &Platform, app: &App) -> Result<Vec<DynoView>> {
    let mut rows = platform.store.dynos(app.id).await?;
    rows.sort_by_key(|row| row.id);
    let mut views = Vec::with_capacity(rows.len());
    for row in rows {
        let sight = look(platform, &row).await?;
        if row.kind == DynoKind::OneOff {
            one_offs::tend(platform, &row, &sight).await?;
            continue;
        }
        let (row, sight) = record_end(platform, row, sight).await?;
        views.push(view(&row, sight));
    }
    Ok(views)
}

fn view(row: &Dyno, sight: Sight) -> DynoView {
    DynoView {
        id: row.id,
        release: row.release,
        process_type: row.process_type.clone(),
        number: row.number,
        size: row.size.clone(),
        is_release_phase: row.kind == DynoKind::Release,
        stage: sight.stage,
        is_retired: row.is_retired,
        since: sight.since,
        crash_count: row.crash_count,
    }
}

async fn look(platform: &Platform, row: &Dyno) -> Result<Sight> {
    let (stage, ended_at) = if has_ended(row) {
        (ended(row.exit_status.unwrap_or(1), false), None)
    } else {
        match platform.engine.inspect(row.id).await {
            Ok(report) => return Ok(look_at_report(platform, row, &report)),
            Err(EngineError::UnknownDyno(_)) if row.state == DynoState::Starting => {
                (Stage::Recorded, None)
            }
            // It was up and is gone without a trace: the machine was restarted.
            Err(EngineError::UnknownDyno(_)) => (ended(137, false), Some(platform.clock.now())),
            Err(error) => return Err(error.into()),
        }
    };
    Ok(Sight {
        stage,
        since: row.state_changed_at,
        ended_at,
    })
}

fn look_at_report(platform: &Platform, row: &Dyno, report: &DynoReport) -> Sight {
    platform.watch(row);
    let starting = || Sight {
        stage: Stage::Starting,
        // Time during which nobody looked for its answer does not count against it.
        since: platform
            .watches
            .following_since(row.id)
            .map_or(report.started_at, |since| since.max(report.started_at)),
        ended_at: None,
    };
    match &report.state {
        // What a release phase has printed is read before its end counts.
        engine::DynoState::Ended(_)
            if row.kind == DynoKind::Release && !platform.watches.is_done(row.id) =>
        {
            starting()
        }
        engine::DynoState::Ended(exit) => Sight {
            stage: ended(exit.status(), exit.is_out_of_memory),
            since: row.state_changed_at,
            ended_at: Some(exit.at),
        },
        engine::DynoState::Running if row.state == DynoState::Starting => starting(),
        engine::DynoState::Running => Sight {
            stage: Stage::Up,
            since: row.state_changed_at,
            ended_at: None,
        },
    }
}

fn has_ended(row: &Dyno) -> bool {
    matches!(row.state, DynoState::Crashed | DynoState::Down)
}

fn ended(status: i32, is_out_of_memory: bool) -> Stage {
    Stage::Ended {
        status,
        is_out_of_memory,
    }
}

/// Writes a dyno's end into its row and the app's log, once.
async fn record_end(platform: &Platform, row: Dyno, sight: Sight) -> Result<(Dyno, Sight)> {
    let (
        Stage::Ended {
            status,
            is_out_of_memory,
        },
        Some(ended_at),
    ) = (&sight.stage, sight.ended_at)
    else {
        return Ok((row, sight));
    };
    let change = system_change(format!("{} ended with status {status}", row.name));
    let after = if row.is_retired || row.kind == DynoKind::Release {
        let state = DynoState::Down;
        platform
            .store
            .set_dyno_state(&change, row.id, state, Some(*status))
            .await?
    } else {
        let was_up_for = match row.state {
            DynoState::Up => ended_at.since(row.state_changed_at),
            _ => Duration::ZERO,
        };
        let crash_count = next_crash_count(row.crash_count, was_up_for);
        platform
            .store
            .crash_dyno(&change, row.id, *status, crash_count)
            .await?
    };
    say_end(platform, &row, after.state, (*status, *is_out_of_memory)).await;
    let since = after.state_changed_at;
    Ok((after, Sight { since, ..sight }))
}

/// Tells the app's log that a dyno ended; `end` is its status, and whether it was for lack of
/// memory.
pub(super) async fn say_end(platform: &Platform, row: &Dyno, state: DynoState, end: (i32, bool)) {
    let (status, is_out_of_memory) = end;
    let name = row.name.as_str();
    let say = |text: String| platform.say(row.app, LogSource::Heroku, name, text);
    if is_out_of_memory {
        say("Error R15 (Memory quota vastly exceeded)".to_owned()).await;
    }
    say(format!("Process exited with status {status}")).await;
    let old = if row.state == DynoState::Up {
        "up"
    } else {
        "starting"
    };
    let new = if row.kind == DynoKind::Formation {
        state.as_str()
    } else {
        "complete"
    };
    say(format!("State changed from {old} to {new}")).await;
}

/// How a dyno ended, if it has.
pub(crate) async fn exit(platform: &Platform, row: &Dyno) -> Option<DynoExit> {
    match platform.engine.inspect(row.id).await {
        Ok(DynoReport {
            state: engine::DynoState::Ended(exit),
            ..
        }) => Some(exit),
        _ => None,
    }
}
