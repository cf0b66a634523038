//! One pass over one app: gather, plan, perform.

use std::collections::BTreeMap;

use api::{ids::AppId, names::ProcessType};
use store::{App, Release, StoreError};

use super::{gone, observe, perform, routes, sleep};
use crate::{
    Platform,
    error::Result,
    plan::{self, AppState, FormationView, ReleaseView},
};

/// Looks at the app and does what is to be done now.
pub(crate) async fn pass(platform: &Platform, id: AppId) -> Result<()> {
    let app = match platform.store.app(id).await {
        Ok(app) => app,
        Err(StoreError::NotFound { .. }) => return gone::clear_away(platform, id).await,
        Err(error) => return Err(error.into()),
    };
    let mut state = gather(platform, &app).await?;
    if sleep::tend(platform, &app, &state).await? {
        state = gather(platform, &app).await?;
    }
    routes::publish(platform, &app, &state).await?;
    let now = platform.clock.now();
    let plan = plan::plan(&state, now);
    if let Some(wake_at) = plan.wake_at {
        platform.nudge_after(id, wake_at.since(now));
    }
    // A step that fails must not keep those behind it from being done.
    let mut outcome = Ok(());
    for step in plan.steps {
        tracing::debug!(app = %app.name, ?step, "step");
        if let Err(error) = perform::step(platform, &app, step.clone()).await {
            tracing::warn!(app = %app.name, ?step, error = &error as &dyn std::error::Error, "a step failed");
            outcome = Err(error);
        }
    }
    outcome
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
    let pending = match pending.iter().min_by_key(|release| release.version) {
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
    let wanted: u32 = formation.values().map(|row| row.quantity).sum();
    let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
    let dynos = observe::dynos(platform, app).await?;
    Ok(AppState {
        name: app.name.clone(),
        current,
        pending,
        sleep: sleep::view(platform, app, &formation).await?,
        formation,
        dynos,
        boot_timeout: platform.settings.boot_timeout,
        boots_at_once: plan::boots_at_once(platform.settings.processors, wanted),
        cycle_every: platform.settings.cycle_every,
    })
}

async fn view(platform: &Platform, release: &Release) -> Result<ReleaseView> {
    let process_types = match release.slug {
        Some(slug) => platform.store.slug(slug).await?.process_types,
        None => BTreeMap::new(),
    };
    let startup = platform.startup_patience(release, &process_types).await?;
    Ok(ReleaseView {
        id: release.id,
        version: release.version,
        has_slug: release.slug.is_some(),
        process_types,
        startup,
    })
}
