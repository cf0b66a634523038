//! Compares an app's dynos on record with what the engine says, and records what has ended.

use engine::{DynoExit, DynoReport, EngineError};
use logs::LogSource;
use store::{App, Dyno, DynoKind, DynoState};

use crate::{
    Platform,
    caller::system_change,
    error::Result,
    plan::{DynoView, Stage},
};

/// The formation and release phase dynos of an app, oldest first, as the planner wants them.
pub(crate) async fn dynos(platform: &Platform, app: &App) -> Result<Vec<DynoView>> {
    let mut rows = platform.store.dynos(app.id).await?;
    rows.sort_by_key(|row| row.id);
    let mut views = Vec::with_capacity(rows.len());
    for row in rows {
        let stage = stage(platform, &row).await?;
        if row.kind == DynoKind::OneOff {
            finish_one_off(platform, &row, &stage).await?;
            continue;
        }
        let (row, stage) = record_end(platform, row, stage).await?;
        views.push(view(&row, stage));
    }
    Ok(views)
}

fn view(row: &Dyno, stage: Stage) -> DynoView {
    DynoView {
        id: row.id,
        release: row.release,
        process_type: row.process_type.clone(),
        number: row.number,
        size: row.size.clone(),
        is_release_phase: row.kind == DynoKind::Release,
        stage,
        is_retired: row.is_retired,
        since: row.state_changed_at,
        crash_count: row.crash_count,
    }
}

async fn stage(platform: &Platform, row: &Dyno) -> Result<Stage> {
    if matches!(row.state, DynoState::Crashed | DynoState::Down) {
        let status = row.exit_status.unwrap_or(1);
        return Ok(Stage::Ended {
            status,
            is_out_of_memory: false,
        });
    }
    match platform.engine.inspect(row.id).await {
        Ok(DynoReport {
            state: engine::DynoState::Running,
            ..
        }) => {
            platform.watch(row);
            Ok(if row.state == DynoState::Up {
                Stage::Up
            } else {
                Stage::Starting
            })
        }
        Ok(DynoReport {
            state: engine::DynoState::Ended(exit),
            ..
        }) => {
            if !is_log_read(platform, row).await? {
                platform.watch(row);
            }
            Ok(Stage::Ended {
                status: exit.status(),
                is_out_of_memory: exit.is_out_of_memory,
            })
        }
        Err(EngineError::UnknownDyno(_)) if row.state == DynoState::Starting => Ok(Stage::Recorded),
        // It was up and is gone without a trace: the machine was restarted.
        Err(EngineError::UnknownDyno(_)) => Ok(Stage::Ended {
            status: 137,
            is_out_of_memory: false,
        }),
        Err(error) => Err(error.into()),
    }
}

/// Whether nothing of an ended dyno's log is left to take in. Watching one again for no reason
/// would keep a one-off dyno from ever being tidied up.
async fn is_log_read(platform: &Platform, row: &Dyno) -> Result<bool> {
    if row.attach {
        return Ok(true);
    }
    let after = platform.logs.cursor(row.app, row.id).await?;
    let rest = platform.engine.read_log(row.id, after).await?;
    Ok(rest.ended && rest.records.is_empty())
}

/// Writes a dyno's end into its row and the app's log, once.
async fn record_end(platform: &Platform, row: Dyno, stage: Stage) -> Result<(Dyno, Stage)> {
    let Stage::Ended {
        status,
        is_out_of_memory,
    } = stage
    else {
        return Ok((row, stage));
    };
    if matches!(row.state, DynoState::Crashed | DynoState::Down) {
        return Ok((row, stage));
    }
    let is_expected = row.is_retired || row.kind == DynoKind::Release;
    let state = if is_expected {
        DynoState::Down
    } else {
        DynoState::Crashed
    };
    let change = system_change(format!("{} ended with status {status}", row.name));
    let ended = platform
        .store
        .set_dyno_state(&change, row.id, state, Some(status))
        .await?;
    say_end(platform, &row, state, status, is_out_of_memory).await;
    Ok((ended, stage))
}

async fn say_end(
    platform: &Platform,
    row: &Dyno,
    state: DynoState,
    status: i32,
    is_out_of_memory: bool,
) {
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
    let new = if row.kind == DynoKind::Release {
        "complete"
    } else {
        state.as_str()
    };
    say(format!("State changed from {old} to {new}")).await;
}

/// One-off dynos are run by `runs`; here only what a restart of the server left is tidied up.
async fn finish_one_off(platform: &Platform, row: &Dyno, stage: &Stage) -> Result<()> {
    let Stage::Ended {
        status,
        is_out_of_memory,
    } = stage
    else {
        return Ok(());
    };
    if platform.watches.contains(row.id) {
        return Ok(());
    }
    say_end(platform, row, DynoState::Down, *status, *is_out_of_memory).await;
    platform.engine.remove(row.id).await?;
    platform
        .store
        .delete_dyno(&system_change("the command ended"), row.id)
        .await?;
    Ok(())
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
