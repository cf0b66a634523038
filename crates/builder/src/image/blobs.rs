//! The blob store: files named by their digest, never changed after.
//!
//! A blob is written beside its place, hashed on the way and renamed into it, so a file of a
//! digest's name is always whole. It must not know what blobs mean. Read [`BlobStore`] first.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use api::ids::BuildId;
use sha2::{Digest as _, Sha256};

use super::{Digest, ImageError};

const BLOBS: &str = "blobs/sha256";
const DRAFTS: &str = ".drafts";

/// Blobs below one directory. Clones share it; safe to use from several threads and processes.
#[derive(Clone, Debug)]
pub struct BlobStore {
    root: PathBuf,
}

impl BlobStore {
    /// A store below `root`. Touches nothing yet.
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// Makes the store's own directories where they are missing.
    pub fn prepare(&self) -> Result<(), ImageError> {
        for folder in [self.root.join(BLOBS), self.root.join(DRAFTS)] {
            private_directory(&folder).map_err(ImageError::file("create", &folder))?;
        }
        Ok(())
    }

    /// Where the blob of this digest is, or would be.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.root.join(BLOBS).join(digest.digits())
    }

    /// How long the blob is, in bytes, if it is here.
    pub fn size(&self, digest: &Digest) -> Option<u64> {
        let metadata = fs::symlink_metadata(self.path(digest)).ok()?;
        metadata.is_file().then_some(metadata.len())
    }

    /// Keeps these bytes.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, ImageError> {
        let digest = Digest::of(bytes);
        if self.size(&digest).is_some() {
            return Ok(digest);
        }
        let mut draft = self.draft()?;
        let written = draft.write_all(bytes);
        written.map_err(ImageError::file("write", &draft.path))?;
        Ok(draft.commit()?.0)
    }

    /// A small blob's bytes.
    pub fn read(&self, digest: &Digest) -> Result<Vec<u8>, ImageError> {
        let path = self.path(digest);
        fs::read(&path).map_err(ImageError::file("read", &path))
    }

    /// An empty file that can become a blob; it is removed if it does not.
    pub fn draft(&self) -> Result<BlobDraft, ImageError> {
        let path = self.root.join(DRAFTS).join(BuildId::new().to_string());
        let file = File::create_new(&path).map_err(ImageError::file("create", &path))?;
        Ok(BlobDraft {
            file,
            hash: Sha256::new(),
            size_bytes: 0,
            path,
            store: self.clone(),
        })
    }

    /// Makes a blob of a file whose digest the caller has found while writing it. The file must be
    /// on the same disk, and is gone from its place when this returns.
    pub fn adopt(&self, path: &Path, digest: &Digest) -> Result<(), ImageError> {
        let place = self.path(digest);
        fs::rename(path, &place).map_err(ImageError::file("place", &place))?;
        sync_directory(&self.root.join(BLOBS))
    }

    /// Removes a blob, if it is here.
    pub fn remove(&self, digest: &Digest) -> Result<(), ImageError> {
        let path = self.path(digest);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(ImageError::file("remove", &path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Every blob that is here.
    pub fn all(&self) -> Result<Vec<Digest>, ImageError> {
        let folder = self.root.join(BLOBS);
        let read = || -> io::Result<Vec<Digest>> {
            let mut found = Vec::new();
            for entry in fs::read_dir(&folder)? {
                let name = entry?.file_name();
                let digest = format!("sha256:{}", name.to_string_lossy()).parse();
                found.extend(digest.ok());
            }
            Ok(found)
        };
        read().map_err(ImageError::file("read", &folder))
    }

    /// Removes what was being written when the process ended: before anything is written.
    pub fn sweep(&self) -> Result<(), ImageError> {
        self.prepare()?;
        let folder = self.root.join(DRAFTS);
        let sweep = || -> io::Result<()> {
            for entry in fs::read_dir(&folder)? {
                fs::remove_file(entry?.path())?;
            }
            Ok(())
        };
        sweep().map_err(ImageError::file("sweep", &folder))
    }
}

/// A blob in the making.
#[derive(Debug)]
pub struct BlobDraft {
    file: File,
    hash: Sha256,
    size_bytes: u64,
    path: PathBuf,
    store: BlobStore,
}

impl BlobDraft {
    /// Puts it in its place for good; its digest and size in bytes.
    pub fn commit(self) -> Result<(Digest, u64), ImageError> {
        let digest = Digest::from_hash(self.hash.clone());
        let kept = self.file.sync_all();
        kept.map_err(ImageError::file("write", &self.path))?;
        self.store.adopt(&self.path, &digest)?;
        Ok((digest, self.size_bytes))
    }
}

impl Write for BlobDraft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hash.update(bytes.get(..count).unwrap_or_default());
        self.size_bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for BlobDraft {
    fn drop(&mut self) {
        // Gone when it became a blob; else the next start's sweep finds it.
        drop(fs::remove_file(&self.path));
    }
}

/// Makes a directory for the platform's eyes alone.
pub(super) fn private_directory(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

fn sync_directory(path: &Path) -> Result<(), ImageError> {
    File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(ImageError::file("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blobs_are_whole_or_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let store = BlobStore::new(folder.path());
        store.prepare().unwrap();
        let digest = store.put(b"hello").unwrap();
        assert_eq!(digest, Digest::of(b"hello"));
        assert_eq!(store.size(&digest), Some(5));
        assert_eq!(store.put(b"hello").unwrap(), digest);
        assert_eq!(store.read(&digest).unwrap(), b"hello");
        let mut left = store.draft().unwrap();
        left.write_all(b"never finished").unwrap();
        drop(left);
        assert_eq!(store.all().unwrap(), std::slice::from_ref(&digest));
        assert_eq!(fs::read_dir(folder.path().join(DRAFTS)).unwrap().count(), 0);
        store.remove(&digest).unwrap();
        store.remove(&digest).unwrap();
        assert_eq!(store.size(&digest), None);
    }

    #[test]
    fn what_a_killed_process_left_is_swept() {
        let folder = tempfile::tempdir().unwrap();
        let store = BlobStore::new(folder.path());
        store.prepare().unwrap();
        fs::write(folder.path().join(DRAFTS).join("left"), "x").unwrap();
        store.sweep().unwrap();
        assert_eq!(fs::read_dir(folder.path().join(DRAFTS)).unwrap().count(), 0);
    }
}
