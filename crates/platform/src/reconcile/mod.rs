//! Makes the world as the rows say: gathers an app's state, has it planned, performs the steps.
//!
//! Loops take no input but "look at this app"; a pass may be cut off anywhere. Read
//! [`apps`] first. [`routes`] keeps the router's table, [`one_offs`] sees one-off dynos out, [`gone`]
//! clears away deleted apps, [`orphans`] what no row explains, [`hosts`] keeps the host as dynos
//! need it, [`access`] takes in access lines, [`usage`] looks at what dynos use, [`sleep`] freezes
//! and wakes, [`certificates`] has certificates made and renewed, [`disk`] gives back what of
//! the disk nobody needs, [`pressure`] pauses builds.

mod access;
pub(crate) mod apps;
mod certificates;
pub(crate) mod disk;
mod disk_use;
mod gone;
mod hosts;
pub(crate) mod observe;
mod one_offs;
mod orphans;
pub(crate) mod pages;
pub(crate) mod perform;
mod pressure;
pub(crate) mod routes;
pub(crate) mod sleep;
pub(crate) mod usage;

use std::{sync::Arc, time::Duration};

use api::ids::AppId;
use tokio::sync::Semaphore;

use crate::{
    Platform,
    error::{Error, Result},
    log_drains,
    nudges::Due,
    registry,
};

/// Every app is looked at this often even if nothing seems to happen.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// Passes over different apps at once.
const CONCURRENT_PASSES: usize = 16;

/// Resumes, then reconciles for ever.
pub(crate) async fn run(platform: &Platform, mut due: Due) -> Result<()> {
    platform.fail_interrupted_builds().await?;
    platform.fail_interrupted_promotions().await?;
    orphans::remove(platform).await?;
    tokio::spawn(sleep::listen(platform.clone(), platform.feed.notices()));
    routes::publish_all(platform).await?;
    tokio::spawn(access::take_in(platform.clone()));
    tokio::spawn(usage::look_now_and_then(platform.clone()));
    tokio::spawn(sweep_now_and_then(platform.clone()));
    tokio::spawn(hosts::mend(platform.clone()));
    tokio::spawn(log_drains::keeper::keep(platform.clone()));
    tokio::spawn(certificates::keep(platform.clone()));
    tokio::spawn(disk::keep_room(platform.clone()));
    tokio::spawn(pressure::watch(platform.clone()));
    tokio::spawn(registry::collect_now_and_then(platform.clone()));
    let passes = Arc::new(Semaphore::new(CONCURRENT_PASSES));
    while let Some(app) = due.recv().await {
        let Ok(permit) = Arc::clone(&passes).acquire_owned().await else {
            break;
        };
        let platform = platform.clone();
        let running = platform.nudges.begin(app);
        tokio::spawn(async move {
            pass(&platform, app).await;
            drop(running);
            drop(permit);
        });
    }
    Ok(())
}

async fn pass(platform: &Platform, app: AppId) {
    if let Err(error) = apps::pass(platform, app).await {
        tracing::error!(%app, error = &error as &dyn std::error::Error, "a pass over an app failed");
        if matches!(error, Error::Engine(_)) {
            platform.host_is_in_trouble();
        }
        platform.nudge_after(app, Duration::from_secs(1));
    }
}

#[expect(clippy::infinite_loop, reason = "runs as long as the platform")]
async fn sweep_now_and_then(platform: Platform) {
    let mut ticks = tokio::time::interval(SWEEP_EVERY);
    loop {
        ticks.tick().await;
        if let Err(error) = platform.remove_old_sources().await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot remove old sources"
            );
        }
        match platform.store.apps().await {
            Ok(apps) => apps.iter().for_each(|app| platform.nudges.nudge(app.id)),
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "cannot list the apps"
                );
            }
        }
    }
}

impl Platform {
    /// Asks for a pass over the app once some time has gone by.
    pub(crate) fn nudge_after(&self, app: AppId, wait: Duration) {
        let nudges = self.nudges.clone();
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            nudges.nudge(app);
        });
    }
}
