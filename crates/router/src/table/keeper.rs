//! The table as its one writer sees it: every entry by its key, and the change that is being made.
//!
//! Requests never come here. Read [`Change`], then [`super::Routes::commit`].

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use api::ids::{AppId, SniEndpointId, StatusNoteId};

use super::{App, Backend};
use crate::wire::{
    AppState, Certificate, Challenge, ClientAuthority, EntryKey, PostedNote, SleepTicket,
};

/// All entries. Each carries the fingerprint of what was told, so that what is told again costs
/// nothing.
#[derive(Debug, Default)]
pub(crate) struct Keeper {
    pub(super) apps: HashMap<AppId, Arc<App>>,
    pub(super) certificates: HashMap<SniEndpointId, u64>,
    pub(super) challenges: HashMap<EntryKey, u64>,
    pub(super) notes: HashMap<StatusNoteId, (u64, PostedNote)>,
    /// The apps that want to be on the status page.
    pub(super) shown: HashSet<AppId>,
}

impl Keeper {
    /// The apps that want to be on the status page.
    pub(crate) fn shown(&self) -> impl Iterator<Item = &Arc<App>> {
        self.shown.iter().filter_map(|app| self.apps.get(app))
    }

    /// What the operator says on the status page.
    pub(crate) fn notes(&self) -> impl Iterator<Item = &PostedNote> {
        self.notes.values().map(|(_, note)| note)
    }

    /// Notes whether an app wants to be on the status page. Returns whether that page is concerned.
    pub(super) fn show(&mut self, id: AppId, wants: bool) -> bool {
        if wants {
            self.shown.insert(id);
            return true;
        }
        self.shown.remove(&id)
    }

    pub(crate) fn apps(&self) -> impl Iterator<Item = &Arc<App>> {
        self.apps.values()
    }

    pub(crate) fn app(&self, app: AppId) -> Option<&Arc<App>> {
        self.apps.get(&app)
    }

    /// Whether requests may reach the backend's dyno, if only at another address.
    pub(crate) fn has_dyno_of(&self, backend: &Backend) -> bool {
        let app = self.apps.get(&backend.app);
        app.is_some_and(|app| app.backends.iter().any(|at| at.dyno == backend.dyno))
    }

    /// The fingerprint of what was last told under the key.
    fn fingerprint(&self, key: &EntryKey) -> Option<u64> {
        match key {
            EntryKey::App(app) => self.apps.get(app).map(|app| app.fingerprint),
            EntryKey::Certificate(id) => self.certificates.get(id).copied(),
            EntryKey::HttpChallenge(_) | EntryKey::TlsChallenge(_) => {
                self.challenges.get(key).copied()
            }
            EntryKey::Note(id) => self.notes.get(id).map(|(fingerprint, _)| *fingerprint),
        }
    }

    fn keys(&self) -> impl Iterator<Item = EntryKey> {
        let apps = self.apps.keys().copied().map(EntryKey::App);
        let certificates = self.certificates.keys().copied();
        apps.chain(certificates.map(EntryKey::Certificate))
            .chain(self.challenges.keys().cloned())
            .chain(self.notes.keys().copied().map(EntryKey::Note))
    }
}

/// A new version of the table while its entries come in; nobody routes by it before
/// [`super::Routes::commit`].
#[derive(Debug)]
pub(crate) struct Change {
    pub(super) version: u64,
    /// What is not in it leaves the table.
    is_whole: bool,
    /// Nothing leaves the table although it is not in it: something in it could not be read.
    spares_all: bool,
    /// What is in it, or shall stay as it is.
    seen: HashSet<EntryKey>,
    pub(super) apps: HashMap<AppId, Option<Prepared>>,
    pub(super) certificates: HashMap<SniEndpointId, Option<(u64, Certificate)>>,
    pub(super) challenges: HashMap<EntryKey, Option<(u64, Challenge)>>,
    pub(super) notes: HashMap<StatusNoteId, Option<(u64, PostedNote)>>,
}

/// An app that is about to be routed to.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) app: App,
    /// One for each of its backends.
    pub(super) tickets: Vec<Option<SleepTicket>>,
    /// Who vouches for its clients.
    pub(super) authority: Option<ClientAuthority>,
}

impl Change {
    pub(super) fn new(version: u64, is_whole: bool) -> Self {
        Self {
            version,
            is_whole,
            spares_all: false,
            seen: HashSet::new(),
            apps: HashMap::new(),
            certificates: HashMap::new(),
            challenges: HashMap::new(),
            notes: HashMap::new(),
        }
    }

    /// Says which version it makes.
    pub(crate) fn number(&mut self, version: u64) {
        self.version = version;
    }

    /// An entry that cannot be used: what was told under its key before shall stay, and everything
    /// if the key cannot be read either.
    pub(crate) fn spare(&mut self, key: Option<EntryKey>) {
        match key {
            Some(key) => drop(self.seen.insert(key)),
            None => self.spares_all = true,
        }
    }

    /// Takes an entry out.
    pub(crate) fn unset(&mut self, key: EntryKey) {
        self.seen.remove(&key);
        match key {
            EntryKey::App(app) => drop(self.apps.insert(app, None)),
            EntryKey::Certificate(id) => drop(self.certificates.insert(id, None)),
            EntryKey::HttpChallenge(_) | EntryKey::TlsChallenge(_) => {
                self.challenges.insert(key, None);
            }
            EntryKey::Note(id) => drop(self.notes.insert(id, None)),
        }
    }

    /// Notes an entry that was told. Returns whether it is news.
    pub(super) fn see(&mut self, key: &EntryKey, fingerprint: u64, keeper: &Keeper) -> bool {
        let is_pending = match key {
            EntryKey::App(app) => self.apps.contains_key(app),
            EntryKey::Certificate(id) => self.certificates.contains_key(id),
            EntryKey::HttpChallenge(_) | EntryKey::TlsChallenge(_) => {
                self.challenges.contains_key(key)
            }
            EntryKey::Note(id) => self.notes.contains_key(id),
        };
        self.seen.insert(key.clone());
        is_pending || keeper.fingerprint(key) != Some(fingerprint)
    }

    /// If it is whole, takes out what it does not name. Returns everything that is taken out.
    pub(super) fn close(&mut self, keeper: &Keeper) -> Vec<EntryKey> {
        if self.is_whole && !self.spares_all {
            let gone: Vec<_> = keeper
                .keys()
                .filter(|key| !self.seen.contains(key))
                .collect();
            for key in gone {
                self.unset(key);
            }
        }
        let apps = none_of(&self.apps).map(|app| EntryKey::App(*app));
        let certificates = none_of(&self.certificates).map(|id| EntryKey::Certificate(*id));
        apps.chain(certificates)
            .chain(none_of(&self.challenges).cloned())
            .chain(none_of(&self.notes).map(|id| EntryKey::Note(*id)))
            .filter(|key| keeper.fingerprint(key).is_some())
            .collect()
    }
}

fn none_of<K, V>(entries: &HashMap<K, Option<V>>) -> impl Iterator<Item = &K> {
    entries
        .iter()
        .filter(|(_, value)| value.is_none())
        .map(|(key, _)| key)
}

impl App {
    /// Whether the server may have to learn of a sleep of this app or its dynos.
    pub(super) fn knows_sleep(&self) -> bool {
        self.may_sleep || self.state == AppState::Asleep
    }
}
