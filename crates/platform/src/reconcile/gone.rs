//! Clears away what a deleted app leaves: routes and dynos first, then its files.
//!
//! Whatever still works for the app when it is deleted (a watch, a build, a run) nudges it when it
//! ends, so that a pass comes here once more and takes what was left meanwhile.

use std::time::Duration;

use api::ids::{AppId, DynoId};
use engine::{DynoKind, EngineError};

use crate::{
    Platform,
    error::{Error, Result},
};

/// What dynos that nobody wants get to end in good order.
const GRACE: Duration = Duration::from_secs(5);
/// Wait after a dyno could not be removed.
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(1);

/// Does what can be done now; removed dynos nudge the app. The builder sees to build dynos.
pub(super) async fn clear_away(platform: &Platform, app: AppId) -> Result<()> {
    platform.route_book.remove(app, &platform.feed);
    platform.sleep_book.forget(app);
    platform.release_pages.forget(app);
    let mut left = platform.engine.list().await?;
    left.retain(|report| report.app == app && report.kind != DynoKind::Build);
    if left.is_empty() {
        return remove_files(platform, app).await;
    }
    for report in left {
        remove_dyno(platform, app, report.id);
    }
    Ok(())
}

/// Stops and removes a dyno that has no row, in the background, and nudges its app.
pub(super) fn remove_dyno(platform: &Platform, app: AppId, dyno: DynoId) {
    let Some(claim) = platform.stopping.take(dyno) else {
        return;
    };
    let platform = platform.clone();
    tokio::spawn(async move {
        if let Err(error) = stop_and_remove(&platform, dyno).await {
            tracing::warn!(%dyno, error = &error as &dyn std::error::Error, "cannot remove a dyno");
            tokio::time::sleep(PAUSE_AFTER_ERROR).await;
        }
        platform.watches.forget(dyno);
        drop(claim);
        platform.nudges.nudge(app);
    });
}

async fn stop_and_remove(platform: &Platform, dyno: DynoId) -> Result<(), EngineError> {
    match platform.engine.stop(dyno, GRACE).await {
        Ok(_) | Err(EngineError::UnknownDyno(_)) => platform.engine.remove(dyno).await,
        Err(error) => Err(error),
    }
}

async fn remove_files(platform: &Platform, app: AppId) -> Result<()> {
    platform.logs.remove(app).await?;
    platform.builder.forget(app).await?;
    platform.forget_slugs(app).await?;
    let path = platform.settings.git_dir.join(format!("{app}.git"));
    match tokio::fs::remove_dir_all(&path).await {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(Error::File {
            step: "remove",
            path,
            source,
        }),
        _ => Ok(()),
    }
}
