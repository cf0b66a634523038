//! Dynos that run without a row: of deleted apps, or left by a crash between two steps.

use std::collections::HashSet;

use api::ids::DynoId;
use engine::DynoKind;

use super::gone;
use crate::{Platform, error::Result};

/// Removes every dyno of the engine that no row explains, in the background. The builder sweeps
/// up its own.
pub(super) async fn remove(platform: &Platform) -> Result<()> {
    // The engine is asked first: a dyno has its row before the engine knows it, so one that people
    // start meanwhile is never taken for an orphan.
    let reports = platform.engine.list().await?;
    let rows = platform.store.all_dynos().await?;
    let known: HashSet<DynoId> = rows.iter().map(|dyno| dyno.id).collect();
    for report in reports {
        if report.kind != DynoKind::Build && !known.contains(&report.id) {
            tracing::info!(dyno = %report.id, name = %report.name, "removing a dyno without a row");
            gone::remove_dyno(platform, report.app, report.id);
        }
    }
    Ok(())
}
