//! Keeps the router's table: recomputes an app's routes in each pass, publishes what has changed.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use api::{
    clock::Time,
    ids::{AppId, DynoId},
};
use router::{
    Feed,
    wire::{AppRoutes, RouteTable},
};
use store::App;

use super::apps::gather;
use crate::{
    Platform,
    error::Result,
    plan::{
        AppState, Stage,
        routes::{RouteInputs, routes},
    },
};

/// How often an app is looked at before the first table goes out without it.
const FIRST_LOOKS: u32 = 3;
/// Wait between two such looks.
const PAUSE_BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// The routes as last published.
#[derive(Debug)]
pub(crate) struct RouteBook(Mutex<Book>);

#[derive(Debug)]
struct Book {
    version: u64,
    apps: BTreeMap<AppId, AppRoutes>,
    /// Before the first complete table nothing is published, lest apps vanish from the router.
    is_complete: bool,
}

impl RouteBook {
    /// An empty book; versions start at the present moment, so that they rise across restarts.
    pub(crate) fn new(now: Time) -> Self {
        let version = u64::try_from(now.as_micros()).unwrap_or(1);
        Self(Mutex::new(Book {
            version,
            apps: BTreeMap::new(),
            is_complete: false,
        }))
    }

    fn set(&self, routes: AppRoutes, feed: &Feed) {
        self.change(feed, |apps| {
            if apps.get(&routes.app) == Some(&routes) {
                return false;
            }
            apps.insert(routes.app, routes);
            true
        });
    }

    /// Takes an app's routes out.
    pub(crate) fn remove(&self, app: AppId, feed: &Feed) {
        self.change(feed, |apps| apps.remove(&app).is_some());
    }

    fn complete(&self, feed: &Feed) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_complete = true;
        self.change(feed, |_| true);
    }

    fn change(&self, feed: &Feed, change: impl FnOnce(&mut BTreeMap<AppId, AppRoutes>) -> bool) {
        let mut book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if change(&mut book.apps) && book.is_complete {
            book.version += 1;
            feed.publish(RouteTable {
                version: book.version,
                apps: book.apps.values().cloned().collect(),
                ..RouteTable::default()
            });
        }
    }
}

/// Computes the whole table once and publishes it; later changes go out one by one. An app that
/// cannot be looked at is tried again a few times, and must not keep the others from being served.
pub(super) async fn publish_all(platform: &Platform) -> Result<()> {
    let mut apps = platform.store.apps().await?;
    for attempt in 1..=FIRST_LOOKS {
        let mut failed = Vec::new();
        for app in apps {
            if let Err(error) = look_and_publish(platform, &app).await {
                tracing::error!(app = %app.name, attempt, error = &error as &dyn std::error::Error, "cannot tell an app's routes");
                failed.push(app);
            }
        }
        if failed.is_empty() {
            break;
        }
        apps = failed;
        tokio::time::sleep(PAUSE_BETWEEN_LOOKS).await;
    }
    platform.route_book.complete(&platform.feed);
    Ok(())
}

async fn look_and_publish(platform: &Platform, app: &App) -> Result<()> {
    let state = gather(platform, app).await?;
    publish(platform, app, &state).await
}

/// Publishes one app's routes if they have changed.
pub(super) async fn publish(platform: &Platform, app: &App, state: &AppState) -> Result<()> {
    let domains = platform.store.domains(app.id).await?;
    let inputs = RouteInputs {
        app: app.id,
        hosts: domains
            .into_iter()
            .map(|domain| domain.hostname.to_ascii_lowercase())
            .collect(),
        is_in_maintenance: app.maintenance,
    };
    let addresses = addresses(platform, state).await?;
    let routes = routes(&inputs, state, |dyno| addresses.get(&dyno).copied());
    platform.route_book.set(routes, &platform.feed);
    Ok(())
}

async fn addresses(platform: &Platform, state: &AppState) -> Result<HashMap<DynoId, SocketAddr>> {
    let mut addresses = HashMap::new();
    for dyno in state.dynos.iter().filter(|dyno| dyno.stage == Stage::Up) {
        match platform.engine.inspect(dyno.id).await {
            Ok(report) => {
                if let (Some(address), Some(port)) = (report.address, report.port) {
                    addresses.insert(dyno.id, SocketAddr::new(address, port));
                }
            }
            Err(engine::EngineError::UnknownDyno(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(addresses)
}
