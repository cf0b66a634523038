//! A map from host names that costs little to change: thousands of readers look at one version of
//! it while the next one is made, and a change copies one shard, not the map.
//!
//! It must not know what the names stand for. Read [`Names::find`].

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use hashbrown::HashTable;

/// At 100 000 names a shard holds about a hundred.
const SHARDS: usize = 1024;

/// By the hash that chose the shard, so that a look-up hashes once.
type Shard<V> = HashTable<(Arc<str>, V)>;

/// What each host name stands for. Clones share all shards until one of them is changed.
#[derive(Clone, Debug)]
pub(crate) struct Names<V> {
    random: RandomState,
    shards: Vec<Arc<Shard<V>>>,
}

impl<V: Clone> Default for Names<V> {
    fn default() -> Self {
        let empty = Arc::new(Shard::new());
        Self {
            random: RandomState::new(),
            shards: vec![empty; SHARDS],
        }
    }
}

impl<V: Clone> Names<V> {
    /// What stands for a host: what names it, else what names all hosts one label below its
    /// parent. `host` is lower case, without port.
    pub(crate) fn find(&self, host: &str) -> Option<&V> {
        self.get(host).or_else(|| {
            let (label, _) = host.split_once('.')?;
            self.get(host.get(label.len()..)?)
        })
    }

    /// How a host name is kept: lower case, a wildcard without its star.
    pub(crate) fn key(host: &str) -> Arc<str> {
        let host = host.strip_prefix('*').unwrap_or(host);
        Arc::from(host.to_ascii_lowercase())
    }

    /// The other way round.
    pub(crate) fn shown(key: &str) -> String {
        if key.starts_with('.') {
            format!("*{key}")
        } else {
            key.to_owned()
        }
    }

    /// Exactly what stands for a [`Names::key`].
    pub(crate) fn get(&self, key: &str) -> Option<&V> {
        let hash = self.random.hash_one(key);
        let shard = self.shards.get(place(hash))?;
        shard.find(hash, is(key)).map(|(_, value)| value)
    }

    pub(crate) fn insert(&mut self, key: Arc<str>, value: V) {
        let hash = self.random.hash_one(&*key);
        let random = &self.random;
        let Some(shard) = self.shards.get_mut(place(hash)) else {
            return;
        };
        let rehash = |(key, _): &(Arc<str>, V)| random.hash_one(&**key);
        let entry = Arc::make_mut(shard).entry(hash, is(&key), rehash);
        entry.insert((key, value));
    }

    /// Takes a name out if `is_it` says so of what it stands for.
    pub(crate) fn remove_if(&mut self, key: &str, is_it: impl FnOnce(&V) -> bool) {
        let hash = self.random.hash_one(key);
        if self.get(key).is_some_and(is_it)
            && let Some(shard) = self.shards.get_mut(place(hash))
            && let Ok(entry) = Arc::make_mut(shard).find_entry(hash, is(key))
        {
            entry.remove();
        }
    }
}

/// The shard of a hash. Tables take the lowest and the highest bits for themselves.
fn place(hash: u64) -> usize {
    let [_, _, _, high, low, ..] = hash.to_be_bytes();
    usize::from(u16::from_be_bytes([high, low])) % SHARDS
}

fn is<V>(key: &str) -> impl Fn(&(Arc<str>, V)) -> bool {
    move |(at, _)| **at == *key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_name_comes_before_a_wildcard_of_one_label() {
        let mut names = Names::default();
        for (number, host) in ["*.Example.com", "www.example.com", "example.com"]
            .iter()
            .enumerate()
        {
            names.insert(Names::<usize>::key(host), number);
        }
        let check =
            |host: &str, expected| assert_eq!(names.find(host).copied(), expected, "{host}");
        check("www.example.com", Some(1));
        check("other.example.com", Some(0));
        check("example.com", Some(2));
        check("a.b.example.com", None);
        check("com", None);
        check("", None);
    }

    #[test]
    fn a_change_leaves_earlier_versions_alone() {
        let mut names = Names::default();
        for number in 0..5000_u32 {
            names.insert(Names::<u32>::key(&format!("app-{number}.test")), number);
        }
        let before = names.clone();
        names.remove_if("app-7.test", |number| *number == 8);
        assert_eq!(names.find("app-7.test"), Some(&7), "not what was meant");
        names.remove_if("app-7.test", |number| *number == 7);
        names.insert(Names::<u32>::key("app-8.test"), 80);
        assert_eq!(names.find("app-7.test"), None);
        assert_eq!(names.find("app-8.test"), Some(&80));
        assert_eq!(before.find("app-7.test"), Some(&7));
        assert_eq!(before.find("app-8.test"), Some(&8));
        let shared = names.shards.iter().zip(&before.shards);
        assert!(shared.filter(|(one, two)| !Arc::ptr_eq(one, two)).count() <= 2);
    }
}
