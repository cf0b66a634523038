//! Images of slugs, as if they had been pushed: `APP/TYPE:latest` is the release that is live unless
//! somebody pushed one, `APP/TYPE:v12` that of a release.

use std::time::Duration;

use builder::image::{Compression, ImageRecord, ImageState};

use super::{Manifest, RegistryError, Repository, Result};
use crate::{Caller, Platform, error::Error};

/// How long a pull waits for an image that is being written.
const PATIENCE: Duration = Duration::from_mins(5);
/// Between two looks whether it is.
const PAUSE: Duration = Duration::from_millis(200);
/// Names the release that is live.
const LATEST: &str = "latest";
/// Names its slug.
const CURRENT: &str = "current";

impl Platform {
    /// A manifest by its digest or tag: one that was pushed, or else the image of a slug, which is
    /// written first if need be.
    ///
    /// # Errors
    /// `ManifestUnknown`; `NotReady` when writing the image takes long: asking again helps.
    pub async fn manifest(
        &self,
        caller: &Caller,
        repository: &Repository,
        name: &str,
    ) -> Result<Manifest> {
        match self.pushed_manifest(repository, name).await {
            Err(RegistryError::ManifestUnknown) => {}
            other => return other,
        }
        let slug = match name {
            LATEST => CURRENT,
            _ if is_release(name) => name,
            _ => return Err(RegistryError::ManifestUnknown),
        };
        if let Some(manifest) = self.released_manifest(repository, slug).await? {
            return self.pushed_manifest(repository, &manifest).await;
        }
        let record = self.built_image(repository, slug).await?;
        self.publish(caller, repository, &record).await?;
        self.pushed_manifest(repository, record.manifest.digest.as_str())
            .await
    }

    /// The digest of what a release runs from, if that was pushed.
    async fn released_manifest(
        &self,
        repository: &Repository,
        name: &str,
    ) -> Result<Option<String>> {
        let release = if name == CURRENT {
            self.store.current_release(repository.app.id).await?
        } else {
            self.release(repository.app.id, name).await.ok()
        };
        let Some(slug) = release.and_then(|release| release.slug) else {
            return Ok(None);
        };
        let slug = self.store.slug(slug).await?;
        let image = slug.images.get(&repository.process_type);
        Ok(image.map(|image| image.manifest.clone()))
    }

    async fn built_image(&self, repository: &Repository, slug: &str) -> Result<ImageRecord> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let image = self
                .create_image(&repository.app, slug, Compression::Gzip)
                .await;
            let image = match image {
                Err(Error::NotFound { .. }) => return Err(RegistryError::ManifestUnknown),
                other => other?,
            };
            if !image
                .slug
                .process_types
                .contains_key(&repository.process_type)
            {
                return Err(RegistryError::ManifestUnknown);
            }
            match image.state {
                ImageState::Ready(record) => return Ok(*record),
                ImageState::Failed(failure) => return Err(RegistryError::NotReady(failure)),
                ImageState::Absent | ImageState::Writing => {}
            }
            if tokio::time::Instant::now() >= deadline {
                let message = "the image is still being written; try again".to_owned();
                return Err(RegistryError::NotReady(message));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Lets the app read what an image of its slug consists of, with what is attached to it.
    async fn publish(
        &self,
        caller: &Caller,
        repository: &Repository,
        record: &ImageRecord,
    ) -> Result<()> {
        {
            let _placing = self.registry.placing.read().await;
            for blob in record.blobs() {
                if self.blobs().size(&blob.digest).is_none() {
                    return Err(RegistryError::ManifestUnknown);
                }
                self.note_blob(caller, &repository.app, (&blob.digest, blob.size))
                    .await?;
            }
        }
        for manifest in std::iter::once(&record.manifest).chain(&record.attached) {
            let bytes = self.blobs().read(&manifest.digest)?;
            let content = (manifest.media_type.as_str(), bytes.as_slice());
            self.put_manifest(caller, repository, manifest.digest.as_str(), content)
                .await?;
        }
        Ok(())
    }
}

/// `v12`.
fn is_release(name: &str) -> bool {
    let digits = name.strip_prefix('v').unwrap_or_default();
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}
