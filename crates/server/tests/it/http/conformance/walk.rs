//! The walk: calls that make something of everything, look at it, change it and remove it.

mod apps;
mod deploys;
mod pipelines;
mod teams;

use super::run::Run;

/// Everything that is asked with something behind it.
pub(super) async fn all(run: &mut Run<'_>) {
    apps::account(run).await;
    apps::catalogue(run).await;
    apps::apps(run).await;
    apps::settings(run).await;
    apps::people(run).await;
    deploys::builds(run).await;
    deploys::releases(run).await;
    deploys::dynos(run).await;
    deploys::certificates(run).await;
    pipelines::all(run).await;
    apps::ends(run).await;
    teams::teams(run).await;
    teams::transfers(run).await;
    teams::clients(run).await;
    teams::passwords(run).await;
}
