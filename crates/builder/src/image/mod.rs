//! An OCI image out of a slug: the stack's root filesystem, a layer for each of the slug's, and
//! how to start its process types.
//!
//! Written in the background, one at a time, by a thread that yields to everything else; each layer
//! is kept under its digest, so that images share them and a cut-off image goes on where it was. It
//! must not know apps, releases or who asked. Read [`Images`] first, then [`mod@write`].

mod blobs;
mod bytecode;
mod digest;
pub mod documents;
mod entry;
mod error;
mod export;
mod layer;
mod provenance;
pub mod run;
mod sbom;
pub mod unpack;
mod write;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use api::names::{ProcessType, StackName};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

pub use self::{
    blobs::{BlobDraft, BlobStore},
    digest::{Digest, DigestError},
    documents::Descriptor,
    error::ImageError,
    export::{ExportError, write_archive},
};
use crate::archive::hex;

/// Raised when the same slug gives other bytes than before, so that nothing older is taken for it.
const FORMAT: u32 = 1;
/// How much the thread that writes images yields.
const NICE: i32 = 15;

/// Where images are written.
#[derive(Clone, Debug)]
pub struct ImagesConfig {
    /// Blobs and records of images.
    pub folder: PathBuf,
    /// Layers of slugs, one directory per key.
    pub layers: PathBuf,
    /// Root filesystems of stacks, one directory per name.
    pub stacks: PathBuf,
}

/// How layers are compressed.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// Read by everything that loads images.
    #[default]
    Gzip,
    /// Smaller and written in a fraction of the time; read by Docker since 23.
    Zstd,
}

/// A slug to make an image of. The same request gives the same bytes, wherever it is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImageRequest {
    /// What the image is called.
    pub title: String,
    /// What the slug runs on.
    pub stack: StackName,
    /// Layer keys, lowest first.
    pub layers: Vec<String>,
    /// Process type → command.
    pub process_types: BTreeMap<ProcessType, String>,
    /// Variable → value. No config var belongs here: an image is no place for secrets.
    pub env: BTreeMap<String, String>,
    /// The commit it was built from.
    pub commit: Option<String>,
    /// As the buildpack calls it.
    pub language: String,
    /// How its layers are compressed.
    pub compression: Compression,
}

impl ImageRequest {
    /// What the record of the image is kept under.
    fn key(&self) -> Result<String, ImageError> {
        let whole = serde_json::to_vec(&(FORMAT, self))?;
        Ok(hex(&Sha256::digest(whole)))
    }
}

/// A written image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// Its manifest, which is what an image is known by.
    pub manifest: Descriptor,
    /// Its configuration.
    pub config: Descriptor,
    /// Its layers, lowest first.
    pub layers: Vec<Descriptor>,
    /// Manifests of what is attached to it: what it is made of, and how it came about.
    pub attached: Vec<Descriptor>,
    /// Configurations and contents of what is attached.
    pub attached_blobs: Vec<Descriptor>,
}

impl ImageRecord {
    /// What its blobs come to, in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.blobs().map(|blob| blob.size).sum()
    }

    /// Every blob of it, with those attached.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        [&self.manifest, &self.config]
            .into_iter()
            .chain(&self.layers)
            .chain(&self.attached)
            .chain(&self.attached_blobs)
    }
}

/// How an image stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageState {
    /// Nobody has asked for it.
    Absent,
    /// It is being written, or waits for its turn.
    Writing,
    /// It is here.
    Ready(Box<ImageRecord>),
    /// It could not be written; asking again tries again.
    Failed(String),
}

/// Images of slugs, and the blobs of all images. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Images {
    config: Arc<ImagesConfig>,
    blobs: BlobStore,
    states: Arc<Mutex<BTreeMap<String, Work>>>,
    turns: Arc<Semaphore>,
}

/// What is not on disk of an image's state.
#[derive(Clone, Debug)]
enum Work {
    Writing,
    Failed(String),
}

impl Images {
    /// Images below a directory. Touches nothing yet.
    pub fn new(config: ImagesConfig) -> Self {
        Self {
            blobs: BlobStore::new(&config.folder),
            config: Arc::new(config),
            states: Arc::default(),
            turns: Arc::new(Semaphore::new(1)),
        }
    }

    /// The blobs of all images.
    pub fn blobs(&self) -> &BlobStore {
        &self.blobs
    }

    /// Where blobs and records of images are.
    pub fn folder(&self) -> &Path {
        &self.config.folder
    }

    /// Removes the blobs that are neither in `used` nor in the record of an image, if they were
    /// written longer than `age` before `now`; how many. Does nothing while an image is written.
    pub fn collect(
        &self,
        used: &BTreeSet<String>,
        (now, age): (SystemTime, Duration),
    ) -> Result<usize, ImageError> {
        let Ok(_turn) = self.turns.try_acquire() else {
            return Ok(0);
        };
        self.blobs.prepare()?;
        let recorded = self.recorded()?;
        let mut removed = 0;
        for digest in self.blobs.all()? {
            let path = self.blobs.path(&digest);
            let written = fs::metadata(&path).and_then(|found| found.modified());
            let written = written.map_err(ImageError::file("read", &path))?;
            let is_old = now.duration_since(written).is_ok_and(|since| since > age);
            if is_old && !used.contains(digest.as_str()) && !recorded.contains(&digest) {
                self.blobs.remove(&digest)?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// The blobs of all images that there is a record of.
    fn recorded(&self) -> Result<BTreeSet<Digest>, ImageError> {
        let folder = self.config.folder.join("images");
        let mut found = BTreeSet::new();
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
            other => other.map_err(ImageError::file("read", &folder))?,
        };
        for entry in entries {
            let path = entry.map_err(ImageError::file("read", &folder))?.path();
            let record = fs::read(&path).ok();
            let record: Option<ImageRecord> =
                record.and_then(|bytes| serde_json::from_slice(&bytes).ok());
            let record = record.iter().flat_map(ImageRecord::blobs);
            found.extend(record.map(|blob| blob.digest.clone()));
        }
        Ok(found)
    }

    /// Removes what was being written when the process ended; before anything is written.
    pub fn sweep(&self) -> Result<(), ImageError> {
        self.blobs.sweep()
    }

    /// How the image of this slug stands.
    pub fn state(&self, request: &ImageRequest) -> Result<ImageState, ImageError> {
        let key = request.key()?;
        let work = self.states().get(&key).cloned();
        Ok(match (work, self.find(&key)) {
            (Some(Work::Writing), _) => ImageState::Writing,
            (_, Some(record)) => ImageState::Ready(Box::new(record)),
            (Some(Work::Failed(message)), None) => ImageState::Failed(message),
            (None, None) => ImageState::Absent,
        })
    }

    /// Has the image written in the background, unless it is here or under way; how it stands now.
    ///
    /// # Errors
    /// Only when its record cannot be looked for. What fails later is in [`Images::state`].
    pub fn start(&self, request: &ImageRequest) -> Result<ImageState, ImageError> {
        let key = request.key()?;
        {
            let mut states = self.states();
            if let Some(Work::Writing) = states.get(&key) {
                return Ok(ImageState::Writing);
            }
            if let Some(record) = self.find(&key) {
                return Ok(ImageState::Ready(Box::new(record)));
            }
            states.insert(key.clone(), Work::Writing);
        }
        let (images, request) = (self.clone(), request.clone());
        tokio::spawn(async move {
            let written = images.write_in_turn(&key, request).await;
            let mut states = images.states();
            match written {
                Ok(_) => states.remove(&key),
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "an image failed");
                    states.insert(key, Work::Failed(chain(&error)))
                }
            };
        });
        Ok(ImageState::Writing)
    }

    async fn write_in_turn(
        &self,
        key: &str,
        request: ImageRequest,
    ) -> Result<ImageRecord, ImageError> {
        let (images, key) = (self.clone(), key.to_owned());
        self.in_turn(move || images.write(&key, &request)).await?
    }

    /// Does such work, of which none other is done meanwhile, on a thread that yields to all others.
    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ImageError> {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let turn = turn.map_err(|_| ImageError::BrokeOff)?;
        let (sender, receiver) = tokio::sync::oneshot::channel();
        // A thread of its own, since it gives up its share of the processor for good.
        let thread = std::thread::Builder::new().name("image".to_owned());
        let spawned = thread.spawn(move || {
            if let Err(error) = rustix::process::nice(NICE) {
                tracing::debug!(%error, "images are written at ordinary priority");
            }
            let done = work();
            drop(turn);
            // Nobody waits for it when the server goes down.
            drop(sender.send(done));
        });
        spawned.map_err(ImageError::file("start a thread for", &self.config.folder))?;
        receiver.await.map_err(|_| ImageError::BrokeOff)
    }

    /// Writes an image on this thread, unless it is here.
    pub fn write_now(&self, request: &ImageRequest) -> Result<ImageRecord, ImageError> {
        self.write(&request.key()?, request)
    }

    fn write(&self, key: &str, request: &ImageRequest) -> Result<ImageRecord, ImageError> {
        if let Some(record) = self.find(key) {
            return Ok(record);
        }
        self.blobs.prepare()?;
        let record = write::Writer {
            config: &self.config,
            blobs: &self.blobs,
        }
        .write(request)?;
        self.keep("images", key, &record)?;
        Ok(record)
    }

    /// The record of an image all of whose blobs are here.
    fn find(&self, key: &str) -> Option<ImageRecord> {
        let bytes = fs::read(self.config.folder.join("images").join(key)).ok()?;
        let record: ImageRecord = serde_json::from_slice(&bytes).ok()?;
        let is_whole = record
            .blobs()
            .all(|blob| self.blobs.size(&blob.digest) == Some(blob.size));
        is_whole.then_some(record)
    }

    fn keep(&self, kind: &str, key: &str, record: &impl Serialize) -> Result<(), ImageError> {
        write::keep_record(&self.config.folder.join(kind), key, record)
    }

    fn states(&self) -> MutexGuard<'_, BTreeMap<String, Work>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An error and its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
