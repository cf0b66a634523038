//! The text that builds and release phases print, followed live by any number of readers.
//!
//! Each output is one file; a reader gets what is there and then what comes, until the writer is
//! closed. After a restart nothing is being written, so every reader ends at the file's end.

use std::{
    collections::HashMap,
    io::SeekFrom,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::stream::{self, BoxStream, StreamExt};
use store::{ReleaseStatus, StoreError};
use tokio::{
    fs::{File, OpenOptions},
    io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt},
    sync::watch,
};
use uuid::Uuid;

use crate::{
    Platform,
    error::{Error, Result},
};

/// Bytes read from a file at once.
const READ_SIZE: usize = 16 * 1024;

/// All outputs of one platform. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Outputs {
    directory: PathBuf,
    open: Arc<Mutex<HashMap<Uuid, watch::Sender<u64>>>>,
}

/// Writes one output; the output ends when this is dropped.
#[derive(Debug)]
pub struct OutputWriter {
    file: File,
    length: u64,
    listing: Listing,
}

/// Says that an output is being written, until dropped.
#[derive(Debug)]
struct Listing {
    outputs: Outputs,
    id: Uuid,
}

impl Listing {
    fn new(outputs: &Outputs, id: Uuid) -> Self {
        outputs
            .lock()
            .entry(id)
            .or_insert_with(|| watch::channel(0).0);
        Self {
            outputs: outputs.clone(),
            id,
        }
    }
}

impl Drop for Listing {
    fn drop(&mut self) {
        self.outputs.lock().remove(&self.id);
    }
}

impl Outputs {
    /// Outputs in files below `directory`, which is made if missing.
    pub fn open(directory: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(&directory).map_err(|source| Error::File {
            step: "create",
            path: directory.clone(),
            source,
        })?;
        Ok(Self {
            directory,
            open: Arc::default(),
        })
    }

    fn path(&self, id: Uuid) -> PathBuf {
        self.directory.join(format!("{id}.txt"))
    }

    /// Starts or continues the output of a build or release.
    pub async fn write(&self, id: Uuid) -> Result<OutputWriter> {
        // Known to be open before there is a file: a reader takes a file without a writer for
        // complete.
        let listing = Listing::new(self, id);
        let (file, length) = self.open_file(id).await?;
        Ok(OutputWriter {
            file,
            length,
            listing,
        })
    }

    async fn open_file(&self, id: Uuid) -> Result<(File, u64)> {
        let path = self.path(id);
        let failed = |source| Error::File {
            step: "write",
            path: path.clone(),
            source,
        };
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .await
            .map_err(failed)?;
        let length = file.metadata().await.map_err(failed)?.len();
        Ok((file, length))
    }

    /// The output from byte `offset` on, to its end; nothing if there is none.
    pub fn read(&self, id: Uuid, offset: u64) -> BoxStream<'static, std::io::Result<Vec<u8>>> {
        let reader = Reader {
            path: self.path(id),
            changes: self.lock().get(&id).map(watch::Sender::subscribe),
            offset,
        };
        stream::unfold(Some(reader), |reader| async move {
            let mut reader = reader?;
            match reader.next().await {
                Ok(None) => None,
                Ok(Some(bytes)) => Some((Ok(bytes), Some(reader))),
                Err(error) => Some((Err(error), None)),
            }
        })
        .boxed()
    }

    /// Removes an output; without one, nothing happens.
    pub async fn remove(&self, id: Uuid) {
        let path = self.path(id);
        match tokio::fs::remove_file(&path).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(path = %path.display(), %error, "cannot remove an output");
            }
            _ => {}
        }
    }

    /// Whether there is any output, complete or not.
    pub async fn exists(&self, id: Uuid) -> bool {
        tokio::fs::try_exists(self.path(id)).await.unwrap_or(false)
    }

    /// Whether a writer is open.
    pub fn is_live(&self, id: Uuid) -> bool {
        self.lock().contains_key(&id)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, watch::Sender<u64>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OutputWriter {
    /// Appends one line; the line end is added.
    pub async fn line(&mut self, text: &str) -> Result<()> {
        let failed = |source| Error::File {
            step: "write",
            path: self.listing.outputs.path(self.listing.id),
            source,
        };
        let line = format!("{text}\n");
        self.file.write_all(line.as_bytes()).await.map_err(failed)?;
        self.file.flush().await.map_err(failed)?;
        self.length += line.len() as u64;
        if let Some(length) = self.listing.outputs.lock().get(&self.listing.id) {
            length.send_replace(self.length);
        }
        Ok(())
    }
}

struct Reader {
    path: PathBuf,
    changes: Option<watch::Receiver<u64>>,
    offset: u64,
}

impl Reader {
    async fn next(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        loop {
            // Whether the writer is gone is looked at before reading, so that its last line counts.
            let is_closed = match &mut self.changes {
                None => true,
                Some(changes) => {
                    changes.borrow_and_update();
                    changes.has_changed().is_err()
                }
            };
            let bytes = self.read_more().await?;
            if !bytes.is_empty() {
                return Ok(Some(bytes));
            }
            if is_closed {
                return Ok(None);
            }
            if let Some(changes) = &mut self.changes {
                // An error means that the writer was dropped: the next round reads the rest.
                changes.changed().await.unwrap_or_default();
            }
        }
    }

    async fn read_more(&mut self) -> std::io::Result<Vec<u8>> {
        let mut file = match File::open(&self.path).await {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        file.seek(SeekFrom::Start(self.offset)).await?;
        let mut bytes = vec![0; READ_SIZE];
        let count = file.read(&mut bytes).await?;
        bytes.truncate(count);
        self.offset += count as u64;
        Ok(bytes)
    }
}

impl Platform {
    /// What a build or release phase printed from byte `offset` on, live until it has ended. Waits
    /// for one that has not begun. Safe to drop.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn output(
        &self,
        id: Uuid,
        offset: u64,
    ) -> Result<BoxStream<'static, std::io::Result<Vec<u8>>>> {
        let mut changes = self.nudges.changes();
        loop {
            changes.borrow_and_update();
            let is_awaited = match self.store.release_by_id(id.into()).await {
                Ok(release) => release.status == ReleaseStatus::Pending,
                Err(StoreError::NotFound { .. }) => false,
                Err(error) => return Err(error.into()),
            };
            let has_begun = self.outputs.is_live(id) || self.outputs.exists(id).await;
            if has_begun || !is_awaited || changes.changed().await.is_err() {
                return Ok(self.outputs.read(id, offset));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn readers_follow_a_live_output_to_its_end() {
        let directory = tempfile::tempdir().unwrap();
        let outputs = Outputs::open(directory.path().to_owned()).unwrap();
        let id = Uuid::now_v7();
        let mut writer = outputs.write(id).await.unwrap();
        writer.line("one").await.unwrap();
        let reader = tokio::spawn(outputs.read(id, 0).map(Result::unwrap).concat());
        writer.line("two").await.unwrap();
        drop(writer);
        assert_eq!(reader.await.unwrap(), b"one\ntwo\n");
        let rest: Vec<u8> = outputs.read(id, 4).map(Result::unwrap).concat().await;
        assert_eq!(rest, b"two\n");
    }
}
