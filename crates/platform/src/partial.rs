//! Files on their way: an upload is received beside its place and moved there when it is complete.
//!
//! It knows nothing of what is uploaded. Read [`Partial`] first.

use std::path::{Path, PathBuf};

use futures_util::{Stream, StreamExt};
use sha2::{Digest, Sha256};
use tokio::{
    fs::{self, File},
    io::AsyncWriteExt,
};
use uuid::Uuid;

use crate::error::{Error, Result};

/// Largest archive that is received.
const LARGEST_BYTES: u64 = 2 * 1024 * 1024 * 1024;
/// How a checksum begins; 64 lower-case digits follow.
pub(crate) const CHECKSUM_KIND: &str = "SHA256:";

/// A file on its way, under a name of its own, so that two for one place do not meet; dropping
/// this removes it.
#[derive(Debug)]
pub(crate) struct Partial {
    path: PathBuf,
}

impl Partial {
    /// One that will be moved to `target`, whose directory is made if need be.
    pub(crate) async fn beside(target: &Path) -> Result<Self> {
        if let Some(directory) = target.parent() {
            let made = fs::create_dir_all(directory).await;
            made.map_err(failed("create", directory))?;
        }
        let path = target.with_extension(format!("{}.part", Uuid::now_v7()));
        Ok(Self { path })
    }

    /// Where it is now.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes it; its checksum.
    ///
    /// # Errors
    /// `Invalid` for an upload that breaks off or is too large.
    pub(crate) async fn receive<B, E>(
        &self,
        chunks: impl Stream<Item = Result<B, E>>,
    ) -> Result<String>
    where
        B: AsRef<[u8]>,
        E: std::fmt::Display,
    {
        let failed = || failed("write", &self.path);
        let mut file = File::create(&self.path).await.map_err(failed())?;
        let mut hash = Sha256::new();
        let mut length = 0;
        let mut chunks = std::pin::pin!(chunks);
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| Error::Invalid {
                message: format!("The upload broke off: {error}"),
            })?;
            length += chunk.as_ref().len() as u64;
            if length > LARGEST_BYTES {
                return Err(Error::Invalid {
                    message: format!("The archive is larger than {LARGEST_BYTES} bytes"),
                });
            }
            hash.update(chunk.as_ref());
            file.write_all(chunk.as_ref()).await.map_err(failed())?;
        }
        file.sync_all().await.map_err(failed())?;
        Ok(format!("{CHECKSUM_KIND}{:x}", hash.finalize()))
    }

    /// Moves it to where it belongs, for good.
    pub(crate) async fn place(self, path: &Path) -> Result<()> {
        let moved = fs::rename(&self.path, path).await;
        moved.map_err(failed("write", path))?;
        let Some(directory) = path.parent() else {
            return Ok(());
        };
        let directory_file = File::open(directory).await;
        let directory_file = directory_file.map_err(failed("read", directory))?;
        let kept = directory_file.sync_all().await;
        kept.map_err(failed("write", directory))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // Gone when it was placed; anything else wrong with it was told by whoever wrote it.
        drop(std::fs::remove_file(&self.path));
    }
}

fn failed<'a>(step: &'static str, path: &'a Path) -> impl FnOnce(std::io::Error) -> Error + 'a {
    move |source| Error::File {
        step,
        path: path.to_owned(),
        source,
    }
}
