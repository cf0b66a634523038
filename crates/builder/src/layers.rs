//! The layer store: directories named by the key of the step that made them, never changed after.
//!
//! A layer is made in a draft beside the others and renamed into place when its step succeeded, so
//! a directory of a key's name is always whole. It must not know what layers hold. Read
//! [`LayerStore`] first.

mod collect;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, Write as _},
    os::unix::fs::{
        DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _,
        PermissionsExt as _,
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
};

pub use self::collect::LayerUse;
use api::ids::BuildId;
use serde::{Deserialize, Serialize};

/// Largest layer that a step may make, in bytes.
pub const MAX_LAYER_BYTES: u64 = 4 * 1024 * 1024 * 1024;

const DRAFTS: &str = ".drafts";
const RECORDS: &str = ".layers";

/// A layer that is in place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// Its key, which is its directory's name.
    pub key: String,
    /// What its files come to.
    pub size_bytes: u64,
}

/// Layers below one directory. Clones share it; safe to use from several builds at once.
#[derive(Clone, Debug)]
pub struct LayerStore {
    root: PathBuf,
    owner: u32,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Names of drafts that a running build holds.
    drafts: Mutex<BTreeSet<String>>,
    /// Key → lock, so that of two builds that need the same layer one waits for the other.
    making: Mutex<BTreeMap<String, Weak<tokio::sync::Mutex<()>>>>,
    /// Held while a layer is found, put in place or taken away.
    collecting: Mutex<()>,
}

impl LayerStore {
    /// A store below `root`; `owner` shall own all files in it. Touches nothing yet.
    pub fn new(root: &Path, owner: u32) -> Self {
        Self {
            root: root.to_owned(),
            owner,
            shared: Arc::default(),
        }
    }

    /// Makes the store's own directories where they are missing.
    pub fn prepare(&self) -> io::Result<()> {
        for folder in [
            self.root.clone(),
            self.root.join(DRAFTS),
            self.root.join(RECORDS),
        ] {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(folder)?;
        }
        Ok(())
    }

    /// Where the layer of this key is, or would be.
    pub fn path(&self, key: &str) -> PathBuf {
        self.root.join(key)
    }

    /// The layer of this key, if it is in place; notes that it was used.
    pub fn find(&self, key: &str) -> Option<Layer> {
        let _nobody_takes_it = lock(&self.shared.collecting);
        let metadata = fs::symlink_metadata(self.path(key)).ok()?;
        if !metadata.is_dir() {
            return None;
        }
        let recorded = fs::read(self.record(key)).ok();
        let layer = recorded
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .or_else(|| {
                // The record comes after the layer; a crash in between loses only the size.
                Some(Layer {
                    key: key.to_owned(),
                    size_bytes: measure(&self.path(key)).ok()?,
                })
            })?;
        self.write_record(&layer);
        Some(layer)
    }

    /// An empty directory that can become a layer; it is removed if it does not.
    pub fn draft(&self) -> io::Result<Draft> {
        let name = BuildId::new().to_string();
        let path = self.root.join(DRAFTS).join(&name);
        lock(&self.shared.drafts).insert(name.clone());
        let draft = Draft {
            name,
            path,
            store: self.clone(),
        };
        fs::DirBuilder::new().mode(0o755).create(&draft.path)?;
        fs::DirBuilder::new().mode(0o755).create(draft.path())?;
        crate::owner::give(&draft.path(), self.owner)?;
        Ok(draft)
    }

    /// Puts a draft in place under `key`. If another build was quicker, its layer stays.
    ///
    /// # Errors
    /// Also when the draft is larger than [`MAX_LAYER_BYTES`].
    pub fn commit(&self, draft: &Draft, key: &str) -> io::Result<Layer> {
        let size_bytes = measure(&draft.path())?;
        if size_bytes > MAX_LAYER_BYTES {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "the step wrote too much",
            ));
        }
        let _nobody_takes_it = lock(&self.shared.collecting);
        match fs::rename(draft.path(), self.path(key)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            Err(error) => return Err(error),
        }
        let layer = Layer {
            key: key.to_owned(),
            size_bytes,
        };
        self.write_record(&layer);
        Ok(layer)
    }

    /// Waits until everything written so far would survive a power cut.
    pub fn sync(&self) -> io::Result<()> {
        rustix::fs::syncfs(fs::File::open(&self.root)?)?;
        Ok(())
    }

    /// The lock that whoever makes the layer of this key holds.
    pub(crate) fn making(&self, key: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut making = lock(&self.shared.making);
        making.retain(|_, lock| lock.strong_count() > 0);
        if let Some(lock) = making.get(key).and_then(Weak::upgrade) {
            return lock;
        }
        let lock = Arc::default();
        making.insert(key.to_owned(), Arc::downgrade(&lock));
        lock
    }

    /// Writes one file of a draft, with the directories above it.
    pub(crate) fn write_file(&self, draft: &Draft, path: &str, content: &[u8]) -> io::Result<()> {
        let mut full = draft.path();
        let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
        for folder in folders.split('/').filter(|part| !part.is_empty()) {
            full.push(folder);
            match fs::DirBuilder::new().mode(0o755).create(&full) {
                Ok(()) => crate::owner::give(&full, self.owner)?,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        full.push(name);
        fs::write(&full, content)?;
        fs::set_permissions(&full, fs::Permissions::from_mode(0o644))?;
        crate::owner::give(&full, self.owner)
    }

    /// Removes drafts that no running build holds; returns how many.
    pub fn sweep(&self) -> io::Result<usize> {
        let mut removed = 0;
        self.prepare()?;
        for entry in fs::read_dir(self.root.join(DRAFTS))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !lock(&self.shared.drafts).contains(&name) {
                fs::remove_dir_all(entry.path())?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    fn record(&self, key: &str) -> PathBuf {
        self.root.join(RECORDS).join(key)
    }

    /// The record's own time says when the layer was last used; losing it costs little.
    fn write_record(&self, layer: &Layer) {
        let bytes = serde_json::to_vec(layer).unwrap_or_default();
        if let Err(error) = fs::write(self.record(&layer.key), bytes) {
            tracing::warn!(layer = layer.key, %error, "could not note that a layer is used");
        }
    }
}

/// A layer in the making.
#[derive(Debug)]
pub struct Draft {
    name: String,
    path: PathBuf,
    store: LayerStore,
}

impl Draft {
    /// The directory to fill.
    pub fn path(&self) -> PathBuf {
        self.path.join("app")
    }

    /// A further directory of the draft, made if it is missing: for what a build needs while it
    /// runs. It goes with the draft.
    pub(crate) fn beside(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        match fs::DirBuilder::new().mode(0o755).create(&path) {
            Ok(()) => crate::owner::give(&path, self.store.owner)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        Ok(path)
    }

    /// Writes a file of a directory made with [`Draft::beside`] that only the dyno's user reads,
    /// before any dyno has seen that directory.
    pub(crate) fn write_beside(&self, path: &str, content: &[u8]) -> io::Result<()> {
        let full = self.path.join(path);
        fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&full)?
            .write_all(content)?;
        crate::owner::give(&full, self.store.owner)
    }

    /// Makes a directory that a dyno has written into the draft's own content.
    ///
    /// # Errors
    /// When there is no directory at `place`; links are not followed.
    pub(crate) fn adopt(&self, place: &Path) -> io::Result<()> {
        let mut at = self.path.clone();
        for part in place {
            at.push(part);
            if !fs::symlink_metadata(&at)?.is_dir() {
                return Err(io::ErrorKind::NotADirectory.into());
            }
        }
        fs::remove_dir_all(self.path())?;
        fs::rename(&at, self.path())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "could not remove a draft layer");
        }
        lock(&self.store.shared.drafts).remove(&self.name);
    }
}

/// What the files below come to; takes setuid and setgid bits away, and what is not a file,
/// directory or link, but for the marks of removed files that a union mount makes.
pub(crate) fn measure(folder: &Path) -> io::Result<u64> {
    let mut size_bytes = 0;
    let mut left = vec![folder.to_owned()];
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let metadata = fs::symlink_metadata(&path)?;
            let kind = metadata.file_type();
            if kind.is_dir() {
                left.push(path);
            } else if kind.is_socket() || kind.is_fifo() || kind.is_block_device() {
                fs::remove_file(path)?;
            } else if kind.is_file() {
                // A file with several names counts once for each; layers have few.
                size_bytes += metadata.len();
                if metadata.mode() & 0o6000 != 0 {
                    fs::set_permissions(
                        &path,
                        fs::Permissions::from_mode(metadata.mode() & 0o777),
                    )?;
                }
            }
        }
    }
    Ok(size_bytes)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(super) fn store() -> (tempfile::TempDir, LayerStore) {
        let folder = tempfile::tempdir().unwrap();
        let owner = fs::metadata(folder.path()).unwrap().uid();
        let store = LayerStore::new(&folder.path().join("layers"), owner);
        store.prepare().unwrap();
        (folder, store)
    }

    #[test]
    fn a_layer_appears_whole_or_not_at_all() {
        let (_folder, store) = store();
        let draft = store.draft().unwrap();
        store.write_file(&draft, "a/b/c.txt", b"hello").unwrap();
        assert_eq!(store.find("key"), None);
        let layer = store.commit(&draft, "key").unwrap();
        assert_eq!(
            layer,
            Layer {
                key: "key".into(),
                size_bytes: 5
            }
        );
        drop(draft);
        assert_eq!(store.find("key"), Some(layer));
        assert_eq!(
            fs::read(store.path("key").join("a/b/c.txt")).unwrap(),
            b"hello"
        );
        store.sync().unwrap();
    }

    #[test]
    fn of_two_drafts_with_one_key_the_first_stays() {
        let (_folder, store) = store();
        for content in [b"one", b"two"] {
            let draft = store.draft().unwrap();
            store.write_file(&draft, "f", content).unwrap();
            store.commit(&draft, "key").unwrap();
        }
        assert_eq!(fs::read(store.path("key").join("f")).unwrap(), b"one");
        assert_eq!(fs::read_dir(store.root.join(DRAFTS)).unwrap().count(), 0);
    }

    #[test]
    fn sweeping_takes_only_what_nobody_holds() {
        let (_folder, store) = store();
        let held = store.draft().unwrap();
        fs::create_dir_all(store.root.join(DRAFTS).join("left/app/x")).unwrap();
        assert_eq!(store.sweep().unwrap(), 1);
        assert!(held.path().exists());
    }

    #[test]
    fn dangerous_bits_are_taken_away() {
        let (_folder, store) = store();
        let draft = store.draft().unwrap();
        store.write_file(&draft, "su", b"x").unwrap();
        let file = draft.path().join("su");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o6755)).unwrap();
        store.commit(&draft, "key").unwrap();
        let mode = fs::metadata(store.path("key").join("su")).unwrap().mode();
        assert_eq!(mode & 0o7777, 0o755);
    }

    #[test]
    fn a_key_is_made_by_one_at_a_time() {
        let (_folder, store) = store();
        let first = store.making("key");
        let held = first.try_lock().unwrap();
        assert!(store.making("key").try_lock().is_err());
        assert!(store.making("other").try_lock().is_ok());
        drop(held);
        assert!(store.making("key").try_lock().is_ok());
    }
}
