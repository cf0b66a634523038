//! Blobs on their way: an upload is a file of its app that grows, chunk by chunk or at once, until
//! its digest is told. What is never finished is collected after a day.

use std::path::{Path, PathBuf};

use builder::image::Digest;
use futures_util::{Stream, StreamExt};
use sha2::{Digest as _, Sha256};
use store::App;
use tokio::{
    fs::{self, OpenOptions},
    io::{AsyncReadExt, AsyncWriteExt},
};
use uuid::Uuid;

use super::{Busy, MAX_BLOB_BYTES, MAX_UPLOADS, RegistryError, Result, parsed};
use crate::{Caller, Platform, error::Error};

/// Bytes that are read at once when an upload is hashed.
const PIECE_BYTES: usize = 1 << 18;

/// An upload of an app, as its path says.
#[derive(Clone, Debug)]
pub struct UploadPath {
    /// Whose it is.
    pub app: App,
    /// Its id, as it was written.
    pub upload: String,
}

impl Platform {
    /// Begins an upload; its id.
    ///
    /// # Errors
    /// `TooLarge` when the app has too many open, or its owner no room left.
    pub async fn begin_upload(&self, app: &App) -> Result<Uuid> {
        self.check_quota(app, 1).await?;
        self.blobs().prepare()?;
        let folder = self.uploads_folder(app.id);
        fs::create_dir_all(&folder)
            .await
            .map_err(failed("create", &folder))?;
        let mut open = fs::read_dir(&folder)
            .await
            .map_err(failed("read", &folder))?;
        let mut count = 0;
        while let Ok(Some(_)) = open.next_entry().await {
            count += 1;
        }
        if count >= MAX_UPLOADS {
            return Err(RegistryError::TooLarge(format!(
                "this app has {count} uploads open; finish some first"
            )));
        }
        let id = Uuid::now_v7();
        let path = folder.join(id.to_string());
        let made = fs::File::create(&path).await;
        made.map_err(failed("create", &path))?;
        Ok(id)
    }

    /// How long an upload is so far, in bytes.
    pub async fn upload_length(&self, path: &UploadPath) -> Result<u64> {
        let (_, file) = self.upload_file(path)?;
        length(&file).await
    }

    /// Appends to an upload; how long it is then. `from` is where the sender thinks it goes on.
    ///
    /// Dropping this leaves what came so far; the sender may ask for the length and go on.
    ///
    /// # Errors
    /// `UploadRange` when it goes on elsewhere or somebody else writes to it; `TooLarge`.
    pub async fn append_upload<B, E>(
        &self,
        path: &UploadPath,
        from: Option<u64>,
        chunks: impl Stream<Item = std::result::Result<B, E>>,
    ) -> Result<u64>
    where
        B: AsRef<[u8]>,
        E: std::fmt::Display,
    {
        let (busy, file) = self.claim_upload(path).await?;
        let length = length(&file).await?;
        if from.is_some_and(|from| from != length) {
            return Err(RegistryError::UploadRange(length));
        }
        let left = self.quota_left(&path.app).await?;
        let limit = left.min(MAX_BLOB_BYTES);
        let length = append(&file, (length, limit), chunks).await?;
        drop(busy);
        Ok(length)
    }

    /// Ends an upload, with its last bytes, and lets the app have the blob.
    ///
    /// # Errors
    /// `DigestInvalid` when it is another blob than the sender says, which ends the upload as well.
    pub async fn finish_upload<B, E>(
        &self,
        caller: &Caller,
        path: &UploadPath,
        digest: &str,
        chunks: impl Stream<Item = std::result::Result<B, E>>,
    ) -> Result<Digest>
    where
        B: AsRef<[u8]>,
        E: std::fmt::Display,
    {
        let expected = parsed(digest)?;
        self.append_upload(path, None, chunks).await?;
        let (_busy, file) = self.claim_upload(path).await?;
        let (found, size) = hashed(&file).await?;
        if found != expected {
            fs::remove_file(&file)
                .await
                .map_err(failed("remove", &file))?;
            return Err(RegistryError::DigestInvalid(format!(
                "the content has the digest {found}, not {expected}"
            )));
        }
        let _placing = self.registry.placing.read().await;
        self.blobs().adopt(&file, &expected)?;
        self.note_blob(caller, &path.app, (&expected, size)).await?;
        Ok(expected)
    }

    /// Gives an upload up.
    pub async fn cancel_upload(&self, path: &UploadPath) -> Result<()> {
        let (_busy, file) = self.claim_upload(path).await?;
        fs::remove_file(&file)
            .await
            .map_err(failed("remove", &file))?;
        Ok(())
    }

    async fn claim_upload(&self, path: &UploadPath) -> Result<(Busy, PathBuf)> {
        let (id, file) = self.upload_file(path)?;
        let Some(busy) = self.registry.claim(id) else {
            return Err(RegistryError::UploadRange(length(&file).await?));
        };
        length(&file).await?;
        Ok((busy, file))
    }

    fn upload_file(&self, path: &UploadPath) -> Result<(Uuid, PathBuf)> {
        let id: Uuid = path
            .upload
            .parse()
            .map_err(|_| RegistryError::UploadUnknown)?;
        let folder = self.uploads_folder(path.app.id);
        Ok((id, folder.join(id.to_string())))
    }
}

async fn append<B, E>(
    path: &Path,
    (mut length, limit): (u64, u64),
    chunks: impl Stream<Item = std::result::Result<B, E>>,
) -> Result<u64>
where
    B: AsRef<[u8]>,
    E: std::fmt::Display,
{
    let opened = OpenOptions::new().append(true).open(path).await;
    let mut file = opened.map_err(failed("write", path))?;
    let mut chunks = std::pin::pin!(chunks);
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| RegistryError::BrokeOff(error.to_string()))?;
        length += chunk.as_ref().len() as u64;
        if length > limit {
            return Err(RegistryError::TooLarge(format!(
                "a blob may have {} GB at most, and no more than its owner has room for",
                MAX_BLOB_BYTES >> 30
            )));
        }
        file.write_all(chunk.as_ref())
            .await
            .map_err(failed("write", path))?;
    }
    file.sync_all().await.map_err(failed("write", path))?;
    Ok(length)
}

async fn hashed(path: &Path) -> Result<(Digest, u64)> {
    let mut file = fs::File::open(path).await.map_err(failed("read", path))?;
    let (mut hash, mut size) = (Sha256::new(), 0);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let count = file.read(&mut piece).await.map_err(failed("read", path))?;
        if count == 0 {
            return Ok((Digest::from_hash(hash), size));
        }
        hash.update(piece.get(..count).unwrap_or_default());
        size += count as u64;
    }
}

async fn length(path: &Path) -> Result<u64> {
    let found = fs::symlink_metadata(path).await;
    Ok(found.map_err(|_| RegistryError::UploadUnknown)?.len())
}

fn failed<'a>(
    step: &'static str,
    path: &'a Path,
) -> impl FnOnce(std::io::Error) -> RegistryError + 'a {
    move |source| {
        RegistryError::Platform(Error::File {
            step,
            path: path.to_owned(),
            source,
        })
    }
}
