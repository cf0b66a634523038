//! Sees one-off dynos out, and takes over those that nobody attends to: `runs` starts them and
//! attends to them, but a restart of the server or a client that goes away may cut that off.

use engine::{DynoExit, EngineError};
use store::{Dyno, DynoState, StoreError};

use super::observe::{Sight, say_end};
use crate::{Platform, caller::system_change, error::Result, plan::Stage, runs::DETACHED_LIMIT};

pub(super) async fn tend(platform: &Platform, row: &Dyno, sight: &Sight) -> Result<()> {
    match &sight.stage {
        Stage::Recorded => tidy(platform, row).await,
        Stage::Starting | Stage::Up => {
            adopt(platform, row);
            Ok(())
        }
        Stage::Ended { .. } => match &sight.exit {
            Some(exit) => finish(platform, row, exit).await,
            None => Ok(()),
        },
    }
}

/// Deletes the row of a dyno that was never started, and will not be.
async fn tidy(platform: &Platform, row: &Dyno) -> Result<()> {
    let Ok(_nobody_starts_any) = platform.runs_starting.try_write() else {
        return Ok(());
    };
    // Looked at again, because it may have been started since.
    match platform.engine.inspect(row.id).await {
        Ok(_) => Ok(()),
        Err(EngineError::UnknownDyno(_)) => delete(platform, row, "it was never started").await,
        Err(error) => Err(error.into()),
    }
}

/// Nobody can attach to a run whose secret is lost, so it ends; a detached one gets what is left
/// of its time.
fn adopt(platform: &Platform, row: &Dyno) {
    let Ok(_nobody_starts_any) = platform.runs_starting.try_write() else {
        return;
    };
    let Some(claim) = platform.attended_runs.take(row.id) else {
        return;
    };
    let age = platform.clock.now().since(row.created_at);
    let limit = if row.attach {
        std::time::Duration::ZERO
    } else {
        DETACHED_LIMIT.saturating_sub(age)
    };
    platform.stop_run_after(row, limit, Some(claim));
}

/// Forgets an ended dyno once its lines are read and its owner has seen its end.
async fn finish(platform: &Platform, row: &Dyno, exit: &DynoExit) -> Result<()> {
    if platform.attended_runs.contains(row.id) || platform.watches.following_since(row.id).is_some()
    {
        return Ok(());
    }
    say_end(platform, row, DynoState::Down, exit).await;
    platform.engine.remove(row.id).await?;
    delete(platform, row, "the command ended").await?;
    platform.watches.forget(row.id);
    Ok(())
}

async fn delete(platform: &Platform, row: &Dyno, cause: &str) -> Result<()> {
    match platform
        .store
        .delete_dyno(&system_change(cause), row.id)
        .await
    {
        Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
