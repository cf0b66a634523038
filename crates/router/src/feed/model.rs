//! The table as the server wants it, what of it the router has not been told, and which dynos left
//! it when.
//!
//! It must not know sockets. Read [`Model::alter`] and [`Model::take_changes`].

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use api::ids::DynoId;

use crate::wire::{AppRoutes, Entry, EntryKey, RouteTable};

/// The newest version of the table.
#[derive(Debug, Default)]
pub(super) struct Model {
    /// 0 before the first.
    version: u64,
    entries: BTreeMap<EntryKey, Arc<Entry>>,
    /// What is different, new or gone since it was last taken.
    changed: BTreeSet<EntryKey>,
    /// How many entries name a dyno.
    named: HashMap<DynoId, u32>,
    /// With which version a dyno left, until a router has taken that.
    left: HashMap<DynoId, u64>,
}

/// A version of the table to be told.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) version: u64,
    /// The version that it follows; without it, it is whole.
    pub(super) after: Option<u64>,
    pub(super) set: Vec<Arc<Entry>>,
    pub(super) unset: Vec<EntryKey>,
}

impl Model {
    /// Makes another version of the table with these entries alone.
    pub(super) fn replace(&mut self, version: u64, entries: Vec<Entry>) {
        let named: BTreeSet<EntryKey> = entries.iter().map(Entry::key).collect();
        let gone = self.entries.keys().filter(|key| !named.contains(key));
        let gone = gone.cloned().collect();
        self.alter(version, entries, gone);
        // Also when nothing is different: who publishes waits for the version.
        self.version = version;
    }

    /// Makes another version that differs from the newest by these entries. Returns whether it does.
    pub(super) fn alter(&mut self, version: u64, set: Vec<Entry>, unset: Vec<EntryKey>) -> bool {
        let mut differs = false;
        for key in unset {
            if let Some(former) = self.entries.remove(&key) {
                self.forget_dynos(version, &former);
                self.changed.insert(key);
                differs = true;
            }
        }
        for entry in set {
            let key = entry.key();
            let former = self.entries.get(&key).map(Arc::clone);
            if former.as_deref() == Some(&entry) {
                continue;
            }
            self.name_dynos(&entry);
            if let Some(former) = former {
                self.forget_dynos(version, &former);
            }
            self.entries.insert(key.clone(), Arc::new(entry));
            self.changed.insert(key);
            differs = true;
        }
        if differs {
            self.version = version;
        }
        differs
    }

    fn name_dynos(&mut self, entry: &Entry) {
        for dyno in dynos(entry) {
            *self.named.entry(dyno).or_default() += 1;
            self.left.remove(&dyno);
        }
    }

    fn forget_dynos(&mut self, version: u64, entry: &Entry) {
        for dyno in dynos(entry) {
            let Some(count) = self.named.get_mut(&dyno) else {
                continue;
            };
            *count -= 1;
            if *count == 0 {
                self.named.remove(&dyno);
                self.left.insert(dyno, version);
            }
        }
    }

    /// From which version on requests cannot reach the dyno; `None` while the newest names it, and
    /// before the first.
    pub(super) fn is_without(&self, dyno: DynoId) -> Option<u64> {
        if self.version == 0 || self.named.contains_key(&dyno) {
            return None;
        }
        Some(self.left.get(&dyno).copied().unwrap_or(0))
    }

    /// A router serves by this version: whatever it is told later is newer.
    pub(super) fn is_applied(&mut self, version: u64) {
        self.left.retain(|_, left| *left > version);
    }

    /// The whole table; `None` before the first.
    pub(super) fn take_all(&mut self) -> Option<Batch> {
        self.changed.clear();
        (self.version > 0).then(|| Batch {
            version: self.version,
            after: None,
            set: self.entries.values().map(Arc::clone).collect(),
            unset: Vec::new(),
        })
    }

    /// What has changed since this or the above was last called, which gave version `after`;
    /// `None` when there is no newer one.
    pub(super) fn take_changes(&mut self, after: u64) -> Option<Batch> {
        let changed = std::mem::take(&mut self.changed);
        if self.version == after {
            return None;
        }
        let mut batch = Batch {
            version: self.version,
            after: Some(after),
            set: Vec::new(),
            unset: Vec::new(),
        };
        for key in changed {
            match self.entries.get(&key) {
                Some(entry) => batch.set.push(Arc::clone(entry)),
                None => batch.unset.push(key),
            }
        }
        Some(batch)
    }

    /// The whole table as protocols before 3 say it.
    pub(super) fn table(&self) -> Option<RouteTable> {
        let mut table = RouteTable {
            version: self.version,
            ..RouteTable::default()
        };
        for entry in self.entries.values() {
            match Entry::clone(entry) {
                Entry::App(routes) => table.apps.push(routes),
                Entry::Certificate(certificate) => table.certificates.push(certificate),
                Entry::Challenge(challenge) => table.challenges.push(challenge),
                // Who is told the table like this does not know of them.
                Entry::Note(_) => {}
            }
        }
        (self.version > 0).then_some(table)
    }
}

/// The dynos that an entry names, each once.
fn dynos(entry: &Entry) -> BTreeSet<DynoId> {
    match entry {
        Entry::App(AppRoutes { backends, .. }) => backends.iter().map(|at| at.dyno).collect(),
        Entry::Certificate(_) | Entry::Challenge(_) | Entry::Note(_) => BTreeSet::new(),
    }
}

#[cfg(test)]
mod tests {
    use api::ids::AppId;

    use super::*;
    use crate::wire::{AppState, AppTls, Backend};

    fn app(app: AppId, dynos: &[DynoId]) -> Entry {
        let backend = |dyno: &DynoId| Backend {
            dyno: *dyno,
            name: "web.1".parse().unwrap(),
            address: ([127, 0, 0, 1], 9).into(),
            sleep: None,
        };
        Entry::App(AppRoutes {
            app,
            name: "example".parse().unwrap(),
            hosts: Vec::new(),
            state: AppState::Serving,
            backends: dynos.iter().map(backend).collect(),
            tls: AppTls::default(),
            extras: None,
        })
    }

    #[test]
    fn only_what_changed_is_told_and_the_last_word_of_it() {
        let mut model = Model::default();
        assert_eq!((model.take_all(), model.table()), (None, None));
        let (one, two, three) = (AppId::new(), AppId::new(), AppId::new());
        model.replace(1, vec![app(one, &[]), app(two, &[])]);
        assert_eq!(model.take_all().unwrap().set.len(), 2);
        assert_eq!(model.take_changes(1), None);
        assert!(!model.alter(2, vec![app(one, &[])], vec![EntryKey::App(three)]));
        assert_eq!(model.take_changes(1), None, "nothing is different");
        let dyno = DynoId::new();
        assert!(model.alter(2, vec![app(one, &[dyno])], Vec::new()));
        assert!(model.alter(3, vec![app(one, &[])], vec![EntryKey::App(two)]));
        let batch = model.take_changes(1).unwrap();
        assert_eq!((batch.version, batch.after), (3, Some(1)));
        assert_eq!(batch.set, [Arc::new(app(one, &[]))]);
        assert_eq!(batch.unset, [EntryKey::App(two)]);
        model.replace(4, vec![app(one, &[])]);
        let batch = model.take_changes(3).unwrap();
        assert_eq!((batch.version, batch.set.len() + batch.unset.len()), (4, 0));
    }

    #[test]
    fn a_dyno_has_left_with_the_version_that_last_named_it_no_more() {
        let mut model = Model::default();
        let (one, two, dyno) = (AppId::new(), AppId::new(), DynoId::new());
        assert_eq!(model.is_without(dyno), None, "nothing is published");
        model.replace(1, vec![app(one, &[dyno]), app(two, &[dyno])]);
        assert_eq!(model.is_without(dyno), None);
        model.alter(2, vec![app(one, &[])], Vec::new());
        assert_eq!(model.is_without(dyno), None, "the other app names it");
        model.alter(3, Vec::new(), vec![EntryKey::App(two)]);
        assert_eq!(model.is_without(dyno), Some(3));
        model.alter(4, vec![app(two, &[dyno])], Vec::new());
        assert_eq!(model.is_without(dyno), None);
        model.alter(5, vec![app(two, &[])], Vec::new());
        model.is_applied(4);
        assert_eq!(model.is_without(dyno), Some(5));
        model.is_applied(5);
        assert_eq!(model.is_without(dyno), Some(0));
    }
}
