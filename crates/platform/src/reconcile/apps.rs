//! One pass over one app: gather, plan, perform.

use std::collections::BTreeMap;

use api::{ids::AppId, names::ProcessType};
use store::{App, Release, StoreError};

use super::{observe, perform, routes};
use crate::{
    Platform,
    error::Result,
    plan::{self, AppState, FormationView, ReleaseView},
};

/// Looks at the app and does what is to be done now.
pub(crate) async fn pass(platform: &Platform, id: AppId) -> Result<()> {
    let app = match platform.store.app(id).await {
        Ok(app) => app,
        Err(StoreError::NotFound { .. }) => {
            platform.route_book.remove(id, &platform.feed);
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let state = gather(platform, &app).await?;
    routes::publish(platform, &app, &state).await?;
    let now = platform.clock.now();
    let plan = plan::plan(&state, now);
    if let Some(wake_at) = plan.wake_at {
        platform.nudge_after(id, wake_at.since(now));
    }
    for step in plan.steps {
        tracing::debug!(app = %app.name, ?step, "step");
        perform::step(platform, &app, step).await?;
    }
    Ok(())
}

/// What is wanted of an app and what is there.
pub(crate) async fn gather(platform: &Platform, app: &App) -> Result<AppState> {
    let releases = &platform.store;
    let current = match releases.current_release(app.id).await? {
        Some(release) => Some(view(platform, &release).await?),
        None => None,
    };
    let mut pending = releases.pending_releases().await?;
    pending.retain(|release| release.app == app.id);
    let pending = match pending.first() {
        Some(release) => Some(view(platform, release).await?),
        None => None,
    };
    let formation = platform.store.formation(app.id).await?;
    let formation: BTreeMap<ProcessType, FormationView> = formation
        .into_iter()
        .map(|row| {
            (
                row.process_type,
                FormationView {
                    quantity: row.quantity,
                    size: row.size,
                },
            )
        })
        .collect();
    Ok(AppState {
        name: app.name.clone(),
        current,
        pending,
        formation,
        dynos: observe::dynos(platform, app).await?,
        boot_timeout: platform.settings.boot_timeout,
    })
}

async fn view(platform: &Platform, release: &Release) -> Result<ReleaseView> {
    let process_types = match release.slug {
        Some(slug) => platform.store.slug(slug).await?.process_types,
        None => BTreeMap::new(),
    };
    Ok(ReleaseView {
        id: release.id,
        version: release.version,
        process_types,
    })
}
