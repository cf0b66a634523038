//! Sources: archives uploaded to be built, each behind a secret URL.
//!
//! The archive is one file, complete or absent: it is received beside its place and moved there.

use std::{io::ErrorKind, path::PathBuf, time::Duration};

use api::{
    clock::Time,
    ids::SourceId,
    paths,
    sources::{Source, SourceUrls},
};
use futures_util::Stream;
use rand::RngCore;
use store::{NewSource, hash_token};
use tokio::fs;

use crate::{
    Platform,
    caller::{Caller, system_change},
    error::{Error, Result},
    partial::Partial,
};

/// How long a source is kept (Heroku: an hour).
const LIFETIME: Duration = Duration::from_hours(1);

impl Platform {
    /// Makes a place to upload an archive to.
    ///
    /// # Errors
    /// `Unavailable` when the disk is nearly full.
    pub async fn create_source(&self, caller: &Caller) -> Result<Source> {
        self.check_room()?;
        let secret = random_secret();
        let new = NewSource {
            account: caller.account,
            secret_hash: hash_token(&secret),
        };
        let row = self.store.create_source(&caller.change(), &new).await?;
        let url = format!(
            "{}{}",
            self.settings.api_url,
            paths::source_blob(row.id, &secret)
        );
        Ok(Source {
            source_blob: SourceUrls {
                get_url: url.clone(),
                put_url: url,
            },
        })
    }

    /// Receives an archive; of several, the one that is complete last stays. Dropping this leaves
    /// what was there before.
    ///
    /// # Errors
    /// `NotFound` for a wrong id or secret, `Invalid` for one that is too large or breaks off.
    pub async fn receive_source<B, E>(
        &self,
        id: &str,
        secret: &str,
        chunks: impl Stream<Item = Result<B, E>>,
    ) -> Result<()>
    where
        B: AsRef<[u8]>,
        E: std::fmt::Display,
    {
        let id = self.check_source(id, secret).await?;
        let path = self.source_path(id);
        let partial = Partial::beside(&path).await?;
        partial.receive(chunks).await?;
        partial.place(&path).await
    }

    /// Removes sources that no build will ask for any more, and what broken uploads left.
    pub(crate) async fn remove_old_sources(&self) -> Result<()> {
        let oldest = Time::from_micros(
            self.clock.now().as_micros() - i64::try_from(LIFETIME.as_micros()).unwrap_or(i64::MAX),
        );
        let change = system_change("it is older than an hour");
        for source in self.store.sources_before(oldest).await? {
            self.remove_source_files(source.id).await?;
            self.store.delete_source(&change, source.id).await?;
        }
        Ok(())
    }

    /// Removes a source's archive, and what uploads left that were cut off with the server.
    async fn remove_source_files(&self, id: SourceId) -> Result<()> {
        let directory = &self.settings.sources_dir;
        let failed = |source| Error::File {
            step: "remove files from",
            path: directory.clone(),
            source,
        };
        let mut entries = match fs::read_dir(directory).await {
            Ok(entries) => entries,
            // Nothing was ever uploaded.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed(error)),
        };
        let its_own = format!("{id}.");
        while let Some(entry) = entries.next_entry().await.map_err(failed)? {
            if !entry.file_name().to_string_lossy().starts_with(&its_own) {
                continue;
            }
            match fs::remove_file(entry.path()).await {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// The uploaded archive behind a source's secret.
    ///
    /// # Errors
    /// `NotFound` for a wrong id or secret, or when nothing was uploaded.
    pub async fn uploaded_source(&self, id: &str, secret: &str) -> Result<(SourceId, PathBuf)> {
        let source = self.check_source(id, secret).await?;
        let path = self.source_path(source);
        if fs::try_exists(&path).await.unwrap_or(false) {
            Ok((source, path))
        } else {
            Err(Error::NotFound {
                resource: "source",
                name: id.to_owned(),
            })
        }
    }

    /// The uploaded archive that a `source_blob.url` names; `None` for a URL that is not of ours.
    ///
    /// # Errors
    /// `NotFound` when nothing was uploaded there.
    pub async fn source_archive(&self, url: &str) -> Result<Option<PathBuf>> {
        // Clients may reach us under another name than our own, so only the path counts.
        let path = url.split_once("://").map_or("", |(_, rest)| rest);
        let mut segments = path.split('/').skip(1);
        let (Some("sources"), Some(id), Some(secret), None) = (
            segments.next(),
            segments.next(),
            segments.next(),
            segments.next(),
        ) else {
            return Ok(None);
        };
        if id.parse::<SourceId>().is_err() {
            return Ok(None);
        }
        let (_, archive) = self.uploaded_source(id, secret).await?;
        Ok(Some(archive))
    }

    async fn check_source(&self, id: &str, secret: &str) -> Result<SourceId> {
        let missing = || Error::NotFound {
            resource: "source",
            name: id.to_owned(),
        };
        let parsed: SourceId = id.parse().map_err(|_| missing())?;
        let row = self.store.source(parsed).await?;
        if row.secret_hash == hash_token(secret) {
            Ok(parsed)
        } else {
            Err(missing())
        }
    }

    fn source_path(&self, id: SourceId) -> PathBuf {
        self.settings.sources_dir.join(format!("{id}.tar"))
    }
}

pub(crate) fn random_secret() -> String {
    use std::fmt::Write as _;
    let mut bytes = [0_u8; 24];
    rand::rng().fill_bytes(&mut bytes);
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes all text");
        text
    })
}
