//! Taking layers away that nobody needs. Who needs which is decided elsewhere; here it is made
//! sure that no build is about to use one that goes.
//!
//! Whoever finds or commits a layer marks it as used at that moment, under the same lock that is
//! held here while a layer that was not used lately is moved out of the way.

use std::{
    fs, io,
    time::{Duration, UNIX_EPOCH},
};

use api::clock::Time;

use super::{DRAFTS, Layer, LayerStore, RECORDS, lock};

/// A layer, and when a build last found or made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerUse {
    /// Its key.
    pub key: String,
    /// What its files come to.
    pub size_bytes: u64,
    /// When a build last used it.
    pub used_at: Time,
}

impl LayerStore {
    /// Every layer in place. One whose record is lost counts as used at `now`, and is measured.
    pub fn list(&self, now: Time) -> io::Result<Vec<LayerUse>> {
        let mut layers = Vec::new();
        let entries = match fs::read_dir(&self.root) {
            // Nothing was ever built.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(layers),
            entries => entries?,
        };
        for entry in entries {
            let name = entry?.file_name();
            let Some(key) = name.to_str().filter(|name| !name.starts_with('.')) else {
                continue;
            };
            let used = self.recorded(key).map(|layer| (layer, self.used_at(key)));
            let (layer, used_at) = match used {
                Some((layer, Some(used_at))) => (layer, used_at),
                _ => match self.find(key) {
                    Some(layer) => (layer, now),
                    None => continue,
                },
            };
            layers.push(LayerUse {
                key: layer.key,
                size_bytes: layer.size_bytes,
                used_at,
            });
        }
        Ok(layers)
    }

    /// Removes a layer unless a build has used it since; says whether it went.
    pub fn remove_unused(&self, key: &str, since: Time) -> io::Result<bool> {
        let away = self.root.join(DRAFTS).join(format!("gone-{key}"));
        {
            let _nobody_finds_it = lock(&self.shared.collecting);
            if self.used_at(key).is_none_or(|used_at| used_at >= since) {
                return Ok(false);
            }
            fs::create_dir_all(self.root.join(DRAFTS))?;
            match fs::rename(self.path(key), &away) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                moved => moved?,
            }
            fs::remove_file(self.root.join(RECORDS).join(key))?;
        }
        match fs::remove_dir_all(away) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(true),
        }
    }

    fn recorded(&self, key: &str) -> Option<Layer> {
        let bytes = fs::read(self.record(key)).ok()?;
        let layer: Layer = serde_json::from_slice(&bytes).ok()?;
        (layer.key == key).then_some(layer)
    }

    fn used_at(&self, key: &str) -> Option<Time> {
        let changed = fs::metadata(self.record(key)).ok()?.modified().ok()?;
        let since_epoch = changed.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Some(Time::from_micros(0).after(since_epoch))
    }
}

#[cfg(test)]
mod tests {
    use api::clock::Clock;

    use super::*;
    use crate::layers::tests::store;

    fn make(store: &LayerStore, key: &str) {
        let draft = store.draft().unwrap();
        store.write_file(&draft, "a/b", b"hello").unwrap();
        store.commit(&draft, key).unwrap();
    }

    #[test]
    fn only_what_was_not_used_lately_goes() {
        let (_folder, store) = store();
        let before = Clock::system().now().before(Duration::from_mins(1));
        make(&store, "one");
        make(&store, "two");
        assert!(!store.remove_unused("one", before).unwrap());
        let later = Clock::system().now().after(Duration::from_mins(1));
        assert!(store.remove_unused("one", later).unwrap());
        assert_eq!(store.find("one"), None);
        assert!(!store.remove_unused("one", later).unwrap());
        let left = store.list(later).unwrap();
        assert_eq!(left.len(), 1);
        assert_eq!((left[0].key.as_str(), left[0].size_bytes), ("two", 5));
        assert!(left[0].used_at > before && left[0].used_at < later);
        assert_eq!(fs::read_dir(store.root.join(DRAFTS)).unwrap().count(), 0);
        make(&store, "one");
        assert!(store.find("one").is_some(), "it can be made again");
    }

    #[test]
    fn a_layer_without_a_record_counts_as_used_now() {
        let (_folder, store) = store();
        make(&store, "one");
        fs::remove_file(store.record("one")).unwrap();
        let later = Clock::system().now().after(Duration::from_mins(1));
        assert!(!store.remove_unused("one", later).unwrap());
        let listed = store.list(later).unwrap();
        assert_eq!((listed[0].size_bytes, listed[0].used_at), (5, later));
        assert!(
            store.remove_unused("one", later).unwrap(),
            "listing recorded it"
        );
    }
}
