//! Keeps the router's table: recomputes an app's routes in each pass, publishes what has changed.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use api::{
    clock::Time,
    ids::{AppId, DynoId, SniEndpointId},
};
use router::{
    Feed,
    wire::{AppExtras, AppRoutes, Certificate, Challenge, Entry, EntryKey, PrivateKey},
};
use store::{App, Domain};

use super::apps::gather;
use crate::{
    Platform,
    app_features::SESSION_AFFINITY,
    error::Result,
    plan::{
        AppState, Stage,
        routes::{RouteInputs, answering_release, routes},
    },
};

/// How often an app is looked at before the first table goes out without it.
const FIRST_LOOKS: u32 = 3;
/// Wait between two such looks.
const PAUSE_BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// What decides when routes go out, and as which version; the feed keeps the routes themselves.
#[derive(Debug)]
pub(crate) struct RouteBook(Mutex<Book>);

#[derive(Debug)]
struct Book {
    version: u64,
    /// Before the first complete table nothing is published, lest apps vanish from the router:
    /// until then, what is known.
    early: Option<BTreeMap<EntryKey, Entry>>,
    /// What was published of each app beside its routes.
    certificates: BTreeMap<AppId, BTreeSet<SniEndpointId>>,
}

impl RouteBook {
    /// An empty book; versions start at the present moment, so that they rise across restarts.
    pub(crate) fn new(now: Time) -> Self {
        let version = u64::try_from(now.as_micros()).unwrap_or(1);
        Self(Mutex::new(Book {
            version,
            early: Some(BTreeMap::new()),
            certificates: BTreeMap::new(),
        }))
    }

    /// Publishes an app's routes and certificates where they differ from what was published.
    fn set(&self, routes: AppRoutes, certificates: Vec<Certificate>, feed: &Feed) {
        let mut book = self.lock();
        let ids: BTreeSet<_> = certificates.iter().map(|at| at.id).collect();
        let former = book.certificates.insert(routes.app, ids.clone());
        let gone = former
            .unwrap_or_default()
            .difference(&ids)
            .map(|id| EntryKey::Certificate(*id))
            .collect();
        let certificates = certificates.into_iter().map(Entry::Certificate);
        // Before an app is routed to, its clients can be met as it wants.
        book.change(
            feed,
            certificates.chain([Entry::App(routes)]).collect(),
            gone,
        );
    }

    /// Takes an app's routes and certificates out of the router's table.
    pub(crate) fn remove(&self, app: AppId, feed: &Feed) {
        let mut book = self.lock();
        let former = book.certificates.remove(&app).unwrap_or_default();
        let certificates = former.into_iter().map(EntryKey::Certificate);
        let gone = [EntryKey::App(app)]
            .into_iter()
            .chain(certificates)
            .collect();
        book.change(feed, Vec::new(), gone);
    }

    /// Has the router answer a certificate authority, until [`RouteBook::withdraw`]. Returns the
    /// version of the table that does.
    pub(crate) fn answer(&self, challenge: Challenge, feed: &Feed) -> u64 {
        let mut book = self.lock();
        book.change(feed, vec![Entry::Challenge(challenge)], Vec::new());
        book.version
    }

    /// Ends an answer.
    pub(crate) fn withdraw(&self, challenge: Challenge, feed: &Feed) {
        let key = Entry::Challenge(challenge).key();
        self.lock().change(feed, Vec::new(), vec![key]);
    }

    /// Publishes entries that belong to no app.
    pub(crate) fn tell(&self, set: Vec<Entry>, unset: Vec<EntryKey>, feed: &Feed) {
        self.lock().change(feed, set, unset);
    }

    fn complete(&self, feed: &Feed) {
        let mut book = self.lock();
        if let Some(early) = book.early.take() {
            book.version += 1;
            feed.replace(book.version, early.into_values().collect());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn change(&mut self, feed: &Feed, set: Vec<Entry>, unset: Vec<EntryKey>) {
        if let Some(early) = &mut self.early {
            early.retain(|key, _| !unset.contains(key));
            early.extend(set.into_iter().map(|entry| (entry.key(), entry)));
        } else if feed.change(self.version + 1, set, unset) {
            self.version += 1;
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
    if let Err(error) = platform.tell_notes().await {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "cannot tell the status page's notes"
        );
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
    let certificates = certificates(platform, app.id, &domains).await?;
    let inputs = RouteInputs {
        extras: extras(platform, app, state).await?,
        app: app.id,
        hosts: domains
            .into_iter()
            .map(|domain| domain.hostname.to_ascii_lowercase())
            .collect(),
        is_in_maintenance: app.maintenance,
        tls: app.tls.clone(),
    };
    let addresses = addresses(platform, state).await?;
    let routes = routes(&inputs, state, |dyno| addresses.get(&dyno).copied());
    platform
        .route_book
        .set(routes, certificates, &platform.feed);
    Ok(())
}

/// The app's certificates that are shown for any domain, with their keys.
async fn certificates(
    platform: &Platform,
    app: AppId,
    domains: &[Domain],
) -> Result<Vec<Certificate>> {
    if domains.iter().all(|domain| domain.sni_endpoint.is_none()) {
        return Ok(Vec::new());
    }
    let with_keys = platform.store.sni_endpoints_with_keys(app).await?;
    let shown = with_keys.into_iter().filter_map(|(endpoint, key)| {
        let shown_for = domains
            .iter()
            .filter(|domain| domain.sni_endpoint == Some(endpoint.id));
        let hosts: Vec<String> = shown_for.map(|domain| domain.hostname.clone()).collect();
        (!hosts.is_empty()).then_some(Certificate {
            id: endpoint.id,
            app,
            hosts,
            chain: endpoint.certificate_chain,
            key: PrivateKey(key),
            ocsp: None,
        })
    });
    Ok(shown.collect())
}

/// What the app asks of the router beyond routing.
async fn extras(
    platform: &Platform,
    app: &App,
    state: &AppState,
) -> Result<Option<Box<AppExtras>>> {
    let release = state.current.as_ref().map(|release| release.id);
    let features = platform.store.app_features(app.id).await?;
    let edge = platform.store.edge(app.id).await?;
    let extras = AppExtras {
        has_affinity: features
            .iter()
            .any(|row| row.name == SESSION_AFFINITY && row.enabled),
        pages: platform.page_urls(app.id, release).await?,
        paths: platform.path_routes(&edge),
        layers: if edge.static_files.is_empty() {
            Vec::new()
        } else {
            layers(platform, app, state).await?
        },
        edge,
    };
    Ok(extras.or_none())
}

/// The layers of the slug whose files are shown.
async fn layers(platform: &Platform, app: &App, state: &AppState) -> Result<Vec<String>> {
    let Some(release) = answering_release(state) else {
        return Ok(Vec::new());
    };
    match platform.store.release(app.id, release).await?.slug {
        Some(slug) => {
            let slug = platform.store.slug(slug).await?;
            // An image's layers are no directory of an app's files.
            Ok(if slug.is_container() {
                Vec::new()
            } else {
                slug.layers
            })
        }
        None => Ok(Vec::new()),
    }
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
