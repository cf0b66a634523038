//! The control plane: rules, plans, releases and the reconcilers that make them true.
//!
//! It must not know about HTTP, git or how an engine works. Desired state is rows in the store;
//! `plan` decides the next steps, `reconcile` performs them. Read [`Platform`] first, then
//! [`plan::AppState`]. One file per resource holds what may be asked of it.

pub mod accounts;
pub mod acm;
pub mod acme;
pub mod app_features;
pub mod app_transfers;
pub mod apps;
pub mod authorizations;
pub mod authorize;
pub mod build_records;
mod build_settings;
pub mod buildpack_installations;
pub mod builds;
pub mod caller;
pub mod certificates;
mod checks;
mod claims;
pub mod collaborators;
pub mod config_vars;
pub mod domains;
pub mod dynos;
mod edge;
pub mod error;
mod explain;
mod fetches;
pub mod formations;
pub mod health_checks;
pub mod images;
pub mod inside;
mod keys;
mod launch;
pub mod log_drains;
pub mod log_sessions;
mod merge;
mod nudges;
pub mod oauth_clients;
pub mod oauth_tokens;
mod outbound;
pub mod outputs;
mod partial;
pub mod password_resets;
mod pipeline_promotions;
mod pipelines;
pub mod plan;
mod reconcile;
pub mod regions;
pub mod registry;
pub mod releases;
pub mod rendezvous;
pub mod runs;
pub mod settings;
pub mod sizes;
pub mod sleep;
pub mod slugs;
pub mod sni_endpoints;
pub mod source_hooks;
mod source_repositories;
pub mod sources;
pub mod stacks;
pub mod status_notes;
pub mod team_apps;
pub mod team_invitations;
pub mod team_members;
pub mod teams;
pub mod two_factors;
mod watch;

use std::sync::Arc;

use api::clock::Clock;
use builder::Builder;
use engine::Engine;
use logs::Logs;
use router::Feed;
use store::Store;

use crate::{
    builds::Builds,
    certificates::Trust,
    checks::Health,
    claims::{Claims, Watches},
    health_checks::SlugChecks,
    nudges::Nudges,
    outputs::Outputs,
    reconcile::{pages::ReleasePages, routes::RouteBook, sleep::SleepBook, usage::Usages},
    rendezvous::Rendezvous,
};
pub use crate::{
    caller::Caller,
    error::{Error, Result},
    settings::Settings,
};
pub use builder::packs::Known as KnownBuildpack;

/// The control plane. Cloning shares it.
#[derive(Clone)]
pub struct Platform {
    pub(crate) store: Store,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) builder: Arc<Builder>,
    pub(crate) logs: Logs,
    pub(crate) feed: Feed,
    pub(crate) clock: Clock,
    pub(crate) settings: Arc<Settings>,
    pub(crate) outputs: Outputs,
    pub(crate) nudges: Nudges,
    /// Dynos whose log and end somebody follows.
    pub(crate) watches: Watches,
    /// What dynos use.
    pub(crate) usages: Usages,
    /// How dynos do by their health checks.
    pub(crate) health: Health,
    pub(crate) slug_checks: SlugChecks,
    pub(crate) release_pages: ReleasePages,
    /// Counts changes of health checks, for those who make them.
    pub(crate) checks_changed: tokio::sync::watch::Sender<u64>,
    /// Dynos that somebody is stopping.
    pub(crate) stopping: Claims,
    /// Told when a certificate may have to be asked for.
    pub(crate) certificates_due: Arc<tokio::sync::Notify>,
    pub(crate) trust: Arc<Trust>,
    pub(crate) route_book: Arc<RouteBook>,
    pub(crate) told_notes: Arc<status_notes::ToldNotes>,
    pub(crate) sleep_book: Arc<SleepBook>,
    pub(crate) running_builds: Builds,
    pub(crate) registry: registry::Registry,
    pub(crate) rendezvous: Rendezvous,
    /// What is open inside dynos.
    pub(crate) sessions: inside::Sessions,
    /// Held for reading while a one-off dyno is between its row and the engine.
    pub(crate) runs_starting: Arc<tokio::sync::RwLock<()>>,
    /// One-off dynos whose end somebody sees to.
    pub(crate) attended_runs: Claims,
    /// Passwords hashed at once: each takes a processor for a good part of a second.
    pub(crate) hashing: Arc<tokio::sync::Semaphore>,
    /// Told when a log drain was added or removed.
    pub(crate) drains_changed: Arc<tokio::sync::Notify>,
    /// Told when there may be too little room on the disk.
    pub(crate) disk_trouble: Arc<tokio::sync::Notify>,
    /// What each app took of the disk at the last look.
    pub(crate) app_disks: Arc<
        tokio::sync::Mutex<std::collections::BTreeMap<api::ids::AppId, api::disk_use::AppDisk>>,
    >,
    /// Told when the engine refused something, and the host may need mending.
    pub(crate) host_trouble: Arc<tokio::sync::Notify>,
    due: Arc<tokio::sync::Mutex<Option<nudges::Due>>>,
}

/// The rooms a platform directs.
pub struct Rooms {
    /// State.
    pub store: Store,
    /// Runs dynos.
    pub engine: Arc<dyn Engine>,
    /// Makes slugs.
    pub builder: Arc<Builder>,
    /// Keeps log lines.
    pub logs: Logs,
    /// Leads to the router.
    pub feed: Feed,
    /// Tells the time.
    pub clock: Clock,
}

impl Platform {
    /// Joins the rooms; nothing happens before [`Platform::run`].
    pub fn open(rooms: Rooms, settings: Settings) -> Result<Self> {
        let (nudges, due) = Nudges::new();
        let outputs = Outputs::open(settings.outputs_dir.clone())?;
        let running_builds = Builds::new(settings.concurrent_builds);
        let route_book = Arc::new(RouteBook::new(rooms.clock.now()));
        let sleep_book = Arc::new(SleepBook::new(rooms.clock.now()));
        Ok(Self {
            store: rooms.store,
            engine: rooms.engine,
            builder: rooms.builder,
            logs: rooms.logs,
            feed: rooms.feed,
            clock: rooms.clock,
            settings: Arc::new(settings),
            outputs,
            nudges,
            watches: Watches::default(),
            usages: Usages::default(),
            health: Health::default(),
            slug_checks: SlugChecks::default(),
            release_pages: ReleasePages::default(),
            checks_changed: tokio::sync::watch::channel(0).0,
            stopping: Claims::default(),
            certificates_due: Arc::default(),
            trust: Arc::default(),
            route_book,
            told_notes: Arc::default(),
            sleep_book,
            running_builds,
            registry: registry::Registry::default(),
            rendezvous: Rendezvous::default(),
            sessions: inside::Sessions::default(),
            runs_starting: Arc::default(),
            attended_runs: Claims::default(),
            hashing: Arc::new(tokio::sync::Semaphore::new(accounts::HASHED_AT_ONCE)),
            drains_changed: Arc::default(),
            disk_trouble: Arc::default(),
            app_disks: Arc::default(),
            host_trouble: Arc::default(),
            due: Arc::new(tokio::sync::Mutex::new(Some(due))),
        })
    }

    /// Resumes what was going on, then keeps every app as it should be until dropped.
    /// Dynos go on running when this stops.
    ///
    /// # Errors
    /// When the first look at the store or the engine fails, or when run twice.
    pub async fn run(&self) -> Result<()> {
        let due = self
            .due
            .lock()
            .await
            .take()
            .ok_or_else(|| Error::Conflict {
                message: "The reconcilers run already.".to_owned(),
            })?;
        reconcile::run(self, due).await
    }

    /// How this platform is set up.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }
}
