//! Dynos that run without a row: of deleted apps, or left by a crash between two steps.

use std::{collections::HashSet, time::Duration};

use api::ids::DynoId;

use crate::{Platform, error::Result};

/// What orphans get to end in good order.
const GRACE: Duration = Duration::from_secs(5);

/// Stops and removes every dyno of the engine that no row explains. Builds are among them: after
/// a restart no build of this server is under way.
pub(super) async fn remove(platform: &Platform) -> Result<()> {
    let mut known: HashSet<DynoId> = HashSet::new();
    for app in platform.store.apps().await? {
        known.extend(
            platform
                .store
                .dynos(app.id)
                .await?
                .iter()
                .map(|dyno| dyno.id),
        );
    }
    for report in platform.engine.list().await? {
        if known.contains(&report.id) {
            continue;
        }
        tracing::info!(dyno = %report.id, name = %report.name, "removing a dyno without a row");
        platform.engine.stop(report.id, GRACE).await?;
        platform.engine.remove(report.id).await?;
    }
    if let Err(error) = platform.builder.sweep().await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "cannot sweep the builder"
        );
    }
    Ok(())
}
