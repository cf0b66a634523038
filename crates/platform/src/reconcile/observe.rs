//! Compares an app's dynos on record with what the engine says, and records what has ended, and
//! what happened while nobody looked.

use std::time::Duration;

use api::clock::Time;
use engine::{DynoExit, DynoReport, DynoRestart, EngineError};
use logs::LogSource;
use store::{App, Crash, Dyno, DynoKind, DynoState, UnattendedRestart};

use super::one_offs;
use crate::{
    Platform,
    caller::system_change,
    error::Result,
    plan::{
        DynoView, Stage,
        dynos::{crash_backoff, next_crash_count},
        usage,
    },
};

/// What is to be seen of a dyno.
pub(super) struct Sight {
    pub(super) stage: Stage,
    /// When it came to be so, as far as the planner's waits go.
    since: Time,
    /// How it ended, if the engine has told just now.
    pub(super) exit: Option<DynoExit>,
    /// Crashes that only its keeper saw.
    restarts: Vec<DynoRestart>,
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
        let row = record_restarts(platform, row, &sight.restarts).await?;
        let (row, sight) = record_end(platform, row, sight).await?;
        let is_ready = !platform.health.is_unready(row.id);
        views.push(DynoView {
            is_ready,
            ..view(&row, sight)
        });
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
        is_ready: true,
        since: sight.since,
        crash_count: row.crash_count,
    }
}

async fn look(platform: &Platform, row: &Dyno) -> Result<Sight> {
    let (stage, exit) = if has_ended(row) {
        (ended(row.exit_status.unwrap_or(1), false), None)
    } else {
        match platform.engine.inspect(row.id).await {
            Ok(report) => return Ok(look_at_report(platform, row, report)),
            Err(EngineError::UnknownDyno(_)) if row.state == DynoState::Starting => {
                (Stage::Recorded, None)
            }
            // It was up and is gone without a trace: the machine was restarted.
            Err(EngineError::UnknownDyno(_)) => {
                let exit = lost(platform.clock.now());
                (ended(exit.status(), false), Some(exit))
            }
            Err(error) => return Err(error.into()),
        }
    };
    Ok(Sight {
        stage,
        since: row.state_changed_at,
        exit,
        restarts: Vec::new(),
    })
}

/// The end of a dyno of which nothing is left.
fn lost(at: Time) -> DynoExit {
    DynoExit {
        code: None,
        signal: None,
        is_out_of_memory: false,
        is_lost: true,
        is_over_disk: false,
        was_forced: false,
        at,
    }
}

fn look_at_report(platform: &Platform, row: &Dyno, report: DynoReport) -> Sight {
    platform.watch(row);
    let restarts = report.restarts;
    let sight = |stage, since, exit| Sight {
        stage,
        since,
        exit,
        restarts,
    };
    // Time during which nobody looked for its answer does not count against it.
    let watched_since = platform
        .watches
        .following_since(row.id)
        .map_or(report.started_at, |since| since.max(report.started_at));
    match report.state {
        // What a release phase has printed is read before its end counts.
        engine::DynoState::Ended(_)
            if row.kind == DynoKind::Release && !platform.watches.is_done(row.id) =>
        {
            sight(Stage::Starting, watched_since, None)
        }
        engine::DynoState::Ended(exit) => sight(
            ended(exit.status(), exit.is_out_of_memory),
            row.state_changed_at,
            Some(exit),
        ),
        engine::DynoState::Running if row.state == DynoState::Starting => {
            sight(Stage::Starting, watched_since, None)
        }
        engine::DynoState::Running => sight(Stage::Up, row.state_changed_at, None),
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
    let Some(exit) = &sight.exit else {
        return Ok((row, sight));
    };
    let status = exit.status();
    let change = system_change(format!("{} ended with status {status}", row.name));
    let after = if row.is_retired || row.kind == DynoKind::Release {
        let state = DynoState::Down;
        platform
            .store
            .set_dyno_state(&change, row.id, state, Some(status))
            .await?
    } else {
        let was_up_for = match row.state {
            DynoState::Up => exit.at.since(row.state_changed_at),
            _ => Duration::ZERO,
        };
        let crash = crash(platform, &row, exit, was_up_for);
        platform.store.crash_dyno(&change, row.id, crash).await?
    };
    say_end(platform, &row, after.state, exit).await;
    if after.state == DynoState::Crashed {
        let wait = crash_backoff(after.crash_count);
        if !wait.is_zero() {
            let text = format!(
                "Crashed {} times in a row, restarting in {} seconds",
                after.crash_count,
                wait.as_secs()
            );
            platform
                .say(row.app, LogSource::Heroku, row.name.as_str(), text)
                .await;
        }
    }
    let since = after.state_changed_at;
    Ok((after, Sight { since, ..sight }))
}

fn crash(platform: &Platform, row: &Dyno, exit: &DynoExit, was_up_for: Duration) -> Crash {
    let limits = platform.settings.sizes.limits(&row.size);
    let (_, code) = usage::end(exit, limits.memory_bytes, limits.disk_bytes);
    Crash {
        exit_status: exit.status(),
        crash_count: next_crash_count(row.crash_count, was_up_for),
        error: code.map(str::to_owned),
    }
}

/// Records and tells of crashes that only the dyno's keeper saw, each once and with its own times.
async fn record_restarts(
    platform: &Platform,
    mut row: Dyno,
    restarts: &[DynoRestart],
) -> Result<Dyno> {
    if restarts
        .last()
        .is_none_or(|last| last.number <= row.restart_count)
    {
        return Ok(row);
    }
    let former = row.restart_count;
    let mut up_since = row.state_changed_at;
    let mut seen = Vec::new();
    for restart in restarts {
        if restart.number > former {
            let crash = crash(
                platform,
                &row,
                &restart.exit,
                restart.exit.at.since(up_since),
            );
            row.crash_count = crash.crash_count;
            seen.push(UnattendedRestart {
                number: restart.number,
                crash,
                ended_at: restart.exit.at,
                started_at: restart.started_at,
            });
        }
        up_since = restart.started_at;
    }
    let change = system_change(format!("{} crashed while the platform was away", row.name));
    let new = platform
        .store
        .record_restarts(&change, row.id, &seen)
        .await?;
    for restart in restarts {
        if new.iter().any(|new| new.number == restart.number) {
            say_restart(platform, &row, restart).await;
        }
    }
    row.restart_count = new.last().map_or(former, |last| last.number);
    Ok(row)
}

async fn say_restart(platform: &Platform, row: &Dyno, restart: &DynoRestart) {
    let limits = platform.settings.sizes.limits(&row.size);
    let (mut lines, _) = usage::end(&restart.exit, limits.memory_bytes, limits.disk_bytes);
    lines.push("State changed from up to crashed".to_owned());
    let name = row.name.as_str();
    platform.say_at(restart.exit.at, row.app, name, lines).await;
    let lines = vec!["Restarted by its keeper while the platform was away".to_owned()];
    platform
        .say_at(restart.started_at, row.app, name, lines)
        .await;
}

/// Tells the app's log that a dyno ended.
pub(super) async fn say_end(platform: &Platform, row: &Dyno, state: DynoState, exit: &DynoExit) {
    let limits = platform.settings.sizes.limits(&row.size);
    let (mut lines, _) = usage::end(exit, limits.memory_bytes, limits.disk_bytes);
    let old = match row.state {
        DynoState::Up => "up",
        // What sleeps was said to be down when it fell asleep.
        DynoState::Idle => "down",
        _ => "starting",
    };
    let new = if row.kind == DynoKind::Formation {
        state.as_str()
    } else {
        "complete"
    };
    if old != new {
        lines.push(format!("State changed from {old} to {new}"));
    }
    let now = platform.clock.now();
    platform
        .say_at(now, row.app, row.name.as_str(), lines)
        .await;
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
