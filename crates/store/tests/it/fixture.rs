//! A fresh store with one account, and short ways to fill it.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use api::{
    clock::{Clock, Time},
    ids::{AppId, SlugId},
};
use store::{
    Account, App, Change, Dyno, DynoKind, NewAccount, NewApp, NewDyno, NewRelease, NewSlug,
    Release, ReleaseOutcome, Slug, Store, StoreConfig,
};
use tempfile::TempDir;

use crate::cluster::Cluster;

pub(crate) const ROOT_KEY: [u8; 32] = [42; 32];

pub(crate) struct Fixture {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) url: String,
    pub(crate) owner: Account,
    directory: Option<TempDir>,
}

impl Fixture {
    pub(crate) async fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("landfall 1.db");
        let url = StoreConfig::sqlite(&path, ROOT_KEY, Clock::system()).url;
        Self::at(url, Some(directory)).await
    }

    pub(crate) async fn postgres() -> Self {
        Self::at(Cluster::get().new_database().await, None).await
    }

    async fn at(url: String, directory: Option<TempDir>) -> Self {
        let clock = Clock::simulated(Time::from_micros(1_771_488_000_000_000));
        let config = StoreConfig {
            url: url.clone(),
            root_key: ROOT_KEY,
            clock: clock.clone(),
        };
        let store = Store::open(config).await.unwrap();
        let new = NewAccount {
            email: "Owner@Example.com".to_owned(),
            password_hash: None,
        };
        let owner = store.create_account(&change(), &new).await.unwrap();
        Self {
            store,
            clock,
            url,
            owner,
            directory,
        }
    }

    pub(crate) fn config(&self) -> StoreConfig {
        StoreConfig {
            url: self.url.clone(),
            root_key: ROOT_KEY,
            clock: self.clock.clone(),
        }
    }

    /// Where the database keeps its files.
    pub(crate) fn files(&self) -> PathBuf {
        match &self.directory {
            Some(directory) => directory.path().to_owned(),
            None => Cluster::get().directory.join("cluster"),
        }
    }

    pub(crate) const fn is_postgres(&self) -> bool {
        self.directory.is_none()
    }

    pub(crate) fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    pub(crate) fn new_app(&self, name: &str) -> NewApp {
        NewApp {
            name: name.parse().unwrap(),
            owner: self.owner.id,
            team: None,
            locked: false,
            stack: "landfall-13".parse().unwrap(),
            hostname: format!("{name}.localhost"),
        }
    }

    pub(crate) async fn app(&self, name: &str) -> App {
        self.store
            .create_app(&change(), &self.new_app(name))
            .await
            .unwrap()
    }

    pub(crate) async fn slug(&self, app: AppId, process_types: &[(&str, &str)]) -> Slug {
        self.store
            .create_slug(&change(), &new_slug(app, process_types))
            .await
            .unwrap()
    }

    pub(crate) fn new_release(&self, app: AppId) -> NewRelease {
        NewRelease {
            app,
            account: self.owner.id,
            description: "Deploy 1a2b3c4d".to_owned(),
            slug: None,
            config_updates: None,
            config_replacement: None,
            output_stream: false,
        }
    }

    pub(crate) async fn release(&self, new: &NewRelease) -> Release {
        self.store.create_release(&change(), new).await.unwrap()
    }

    /// A release of the slug, live.
    pub(crate) async fn live(&self, app: AppId, slug: SlugId) -> Release {
        let release = self
            .release(&NewRelease {
                slug: Some(slug),
                ..self.new_release(app)
            })
            .await;
        self.succeed(&release).await
    }

    pub(crate) async fn succeed(&self, release: &Release) -> Release {
        let outcome = ReleaseOutcome::Succeeded;
        self.store
            .finish_release(&change(), release.id, &outcome)
            .await
            .unwrap()
    }

    pub(crate) async fn fail(&self, release: &Release) -> Release {
        let outcome = ReleaseOutcome::Failed {
            message: "exit status 1".to_owned(),
        };
        self.store
            .finish_release(&change(), release.id, &outcome)
            .await
            .unwrap()
    }

    pub(crate) async fn set(&self, app: AppId, vars: &[(&str, Option<&str>)]) -> Release {
        let updates = vars
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned)));
        let new = NewRelease {
            config_updates: Some(updates.collect()),
            ..self.new_release(app)
        };
        self.release(&new).await
    }

    pub(crate) async fn dyno(&self, release: &Release, process_type: &str) -> Dyno {
        let new = NewDyno {
            app: release.app,
            release: release.id,
            process_type: process_type.parse().unwrap(),
            number: 1,
            kind: DynoKind::Formation,
            size: "standard-1x".to_owned(),
            command: "serve".to_owned(),
            attach: false,
            crash_count: 0,
        };
        self.store.create_dyno(&change(), &new).await.unwrap()
    }

    /// Kinds of the app's events, oldest first.
    pub(crate) async fn kinds(&self, app: AppId) -> Vec<String> {
        let events = self.store.events(app, 100).await.unwrap();
        events.into_iter().rev().map(|event| event.kind).collect()
    }
}

pub(crate) fn change() -> Change {
    Change::by_system("suite", "a test")
}

pub(crate) fn new_slug(app: AppId, process_types: &[(&str, &str)]) -> NewSlug {
    let process_types = process_types
        .iter()
        .map(|(process_type, command)| (process_type.parse().unwrap(), (*command).to_owned()));
    NewSlug {
        app,
        stack: "landfall-13".parse().unwrap(),
        commit: Some("1a2b3c4d".to_owned()),
        language: "Python".to_owned(),
        layers: vec!["runtime".to_owned(), "packages".to_owned()],
        process_types: process_types.collect(),
        images: BTreeMap::new(),
        env: BTreeMap::from([("PYTHONUNBUFFERED".to_owned(), "1".to_owned())]),
        size_bytes: 123_456,
        checksum: "SHA256:00".to_owned(),
    }
}

pub(crate) fn vars(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}
