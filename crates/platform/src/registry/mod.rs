//! The registry: images that are pushed for a process type of an app, and images of slugs.
//!
//! A blob is kept once, whoever pushed it, but an app sees only those that were pushed or mounted
//! for it: knowing a digest gives nobody the content. It must not know HTTP. Read
//! [`Platform::put_manifest`] and `uploads.rs`.

mod built;
mod collect;
mod manifests;
pub(crate) mod release;
mod uploads;

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Arc, PoisonError},
};

use api::{ids::AppId, names::ProcessType};
use builder::image::{BlobStore, Digest, ImageError};
use store::App;
use thiserror::Error;
use tokio::sync::{Mutex, RwLock};
use uuid::Uuid;

pub(crate) use self::collect::collect_now_and_then;
pub use self::{
    manifests::{MAX_MANIFEST_BYTES, Manifest},
    release::ImageChange,
    uploads::UploadPath,
};
use crate::{
    Caller, Platform,
    authorize::{Action, Bearer, Target},
    error::Error as PlatformError,
};

/// Longest blob, in bytes.
pub const MAX_BLOB_BYTES: u64 = 4 * 1024 * 1024 * 1024;
/// What all blobs of an account's apps may come to, in bytes.
pub const QUOTA_BYTES: u64 = 20 * 1024 * 1024 * 1024;
/// Uploads of one app that may be open at once.
const MAX_UPLOADS: usize = 64;

/// Why the registry refuses.
#[derive(Debug, Error)]
pub enum RegistryError {
    /// No such blob, or none of this app.
    #[error("blob unknown to registry")]
    BlobUnknown,
    /// No such upload, or it was given up.
    #[error("blob upload unknown to registry")]
    UploadUnknown,
    /// Bytes that do not go on where the upload is; it is as long as this.
    #[error("the upload goes on at byte {0}")]
    UploadRange(u64),
    /// A name that is no digest, or content of another.
    #[error("{0}")]
    DigestInvalid(String),
    /// No such manifest or tag.
    #[error("manifest unknown to registry")]
    ManifestUnknown,
    /// A manifest that is none, or of a kind that nobody here knows.
    #[error("{0}")]
    ManifestInvalid(String),
    /// A manifest that names a blob which was not pushed for the app.
    #[error("the manifest names {0}, which was not pushed for this app")]
    ManifestBlobUnknown(Digest),
    /// A tag that is none.
    #[error("`{0}` is no tag")]
    TagInvalid(String),
    /// The upload broke off.
    #[error("the upload broke off: {0}")]
    BrokeOff(String),
    /// Too long, or too much.
    #[error("{0}")]
    TooLarge(String),
    /// An image of a slug that is not written yet.
    #[error("{0}")]
    NotReady(String),
    /// Anything else.
    #[error(transparent)]
    Platform(#[from] PlatformError),
}

impl From<store::StoreError> for RegistryError {
    fn from(error: store::StoreError) -> Self {
        Self::Platform(error.into())
    }
}

impl From<ImageError> for RegistryError {
    fn from(error: ImageError) -> Self {
        match error {
            ImageError::Digest { .. } => Self::DigestInvalid(error.to_string()),
            ImageError::File { step, path, source } => {
                Self::Platform(PlatformError::File { step, path, source })
            }
            other => Self::Platform(PlatformError::Invalid {
                message: other.to_string(),
            }),
        }
    }
}

/// What registry functions return.
pub type Result<T> = std::result::Result<T, RegistryError>;

/// Images of one process type of an app.
#[derive(Clone, Debug)]
pub struct Repository {
    /// Of which app.
    pub app: App,
    /// Of which process type.
    pub process_type: ProcessType,
}

/// What is under way in the registry. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Registry {
    /// Uploads that somebody writes to.
    busy: Arc<std::sync::Mutex<BTreeSet<Uuid>>>,
    /// Held for reading while a blob is between its file and its row, for writing while files
    /// without rows are removed.
    placing: Arc<RwLock<()>>,
    /// Held between the images of an app's newest release and those of its next.
    releasing: Arc<Mutex<()>>,
}

/// Says that somebody writes to an upload, until dropped.
struct Busy {
    registry: Registry,
    upload: Uuid,
}

impl Registry {
    fn claim(&self, upload: Uuid) -> Option<Busy> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.insert(upload).then(|| Busy {
            registry: self.clone(),
            upload,
        })
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let busy = self.registry.busy.lock();
        busy.unwrap_or_else(PoisonError::into_inner)
            .remove(&self.upload);
    }
}

impl Platform {
    fn blobs(&self) -> &BlobStore {
        self.builder.images().blobs()
    }

    fn uploads_folder(&self, app: AppId) -> PathBuf {
        self.builder
            .images()
            .folder()
            .join("uploads")
            .join(app.to_string())
    }

    /// How long a blob of an app is, and where.
    ///
    /// # Errors
    /// `BlobUnknown` also for one of another app.
    pub async fn registry_blob(&self, app: &App, digest: &str) -> Result<(u64, PathBuf)> {
        let digest = parsed(digest)?;
        let size = self.store.image_blob(app.id, digest.as_str()).await?;
        let size = size.ok_or(RegistryError::BlobUnknown)?;
        if self.blobs().size(&digest) != Some(size) {
            return Err(RegistryError::BlobUnknown);
        }
        Ok((size, self.blobs().path(&digest)))
    }

    /// Lets an app have a blob of another that the caller may read; whether there is such a one.
    pub async fn mount_blob(
        &self,
        bearer: &Bearer,
        app: &App,
        (from, digest): (&str, &str),
    ) -> Result<bool> {
        let digest = parsed(digest)?;
        let name = from.split('/').next().unwrap_or_default();
        let Ok(source) = self.app(name).await else {
            return Ok(false);
        };
        let target = Target::App(&source);
        let may_read = self.authorize(Some(bearer), Action::ReadCode, target).await;
        if may_read.is_err() {
            return Ok(false);
        }
        let _placing = self.registry.placing.read().await;
        let Ok((size, _)) = self.registry_blob(&source, digest.as_str()).await else {
            return Ok(false);
        };
        self.check_quota(app, size).await?;
        self.note_blob(&bearer.caller, app, (&digest, size)).await?;
        Ok(true)
    }

    async fn note_blob(
        &self,
        caller: &Caller,
        app: &App,
        (digest, size): (&Digest, u64),
    ) -> Result<()> {
        let known = self.store.image_blob(app.id, digest.as_str()).await?;
        if known.is_none() {
            self.store
                .put_image_blob(&caller.change(), app.id, digest.as_str(), size)
                .await?;
        }
        Ok(())
    }

    /// What an app may still push, in bytes.
    async fn quota_left(&self, app: &App) -> Result<u64> {
        let used = self.store.image_bytes_of(app.owner).await?;
        Ok(QUOTA_BYTES.saturating_sub(used))
    }

    async fn check_quota(&self, app: &App, size: u64) -> Result<()> {
        if size <= self.quota_left(app).await? {
            return Ok(());
        }
        Err(RegistryError::TooLarge(format!(
            "the images of all apps of one owner may come to {} GB; delete some first",
            QUOTA_BYTES >> 30
        )))
    }
}

fn parsed(digest: &str) -> Result<Digest> {
    digest
        .parse()
        .map_err(|error: builder::image::DigestError| {
            RegistryError::DigestInvalid(error.to_string())
        })
}
