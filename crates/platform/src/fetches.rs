//! Sources of builds: an archive that was uploaded, or one that is fetched when its turn has come;
//! and whether it is the one that was meant.

use std::path::{Path, PathBuf};

use api::ids::BuildId;
use builder::fetch::{
    FetchRequest, Fetched, Origin,
    address::{ArchiveUrl, RepositoryUrl},
};
use sha2::{Digest as _, Sha256};
use store::{App, Build};
use tokio::sync::mpsc;

use crate::{
    Platform,
    caller::system_change,
    error::{Error, Result},
    partial::CHECKSUM_KIND,
};

/// Where a build's source is.
#[derive(Debug)]
pub(crate) enum SourceOf {
    /// In an archive that is here.
    Archive {
        path: PathBuf,
        checksum: Option<String>,
    },
    /// Elsewhere; the build fetches it.
    Elsewhere {
        origin: Origin,
        checksum: Option<String>,
    },
    /// In the layer of an earlier build's.
    Layer(String),
}

/// A source that is here.
pub(crate) struct Brought {
    pub(crate) archive: PathBuf,
    /// The layer that stands in for the archive.
    pub(crate) layer: Option<String>,
    /// The commit, where only fetching told it.
    pub(crate) commit: Option<String>,
}

impl Platform {
    /// What the URL of a `source_blob` names: an upload, `git+URL#BRANCH`, or an archive elsewhere.
    ///
    /// # Errors
    /// `Invalid` for what is no URL that can be fetched, `NotFound` when nothing was uploaded.
    pub(crate) async fn source_of(
        &self,
        app: &App,
        url: &str,
        checksum: Option<String>,
    ) -> Result<SourceOf> {
        if let Some(marked) = RepositoryUrl::marked(url) {
            let (url, reference) = marked?;
            let origin = self.repository_origin(app, url, reference).await?;
            return Ok(SourceOf::Elsewhere { origin, checksum });
        }
        if let Some(path) = self.source_archive(url).await? {
            return Ok(SourceOf::Archive { path, checksum });
        }
        let origin = Origin::Archive(url.parse::<ArchiveUrl>()?);
        Ok(SourceOf::Elsewhere { origin, checksum })
    }

    /// Has the source here, which must have the checksum that was told, if one was.
    pub(crate) async fn bring_source(
        &self,
        (app, build): (&App, &Build),
        source: &SourceOf,
        lines: &mpsc::Sender<String>,
    ) -> Result<Brought> {
        let brought = |archive: &Path| Brought {
            archive: archive.to_owned(),
            layer: None,
            commit: None,
        };
        match source {
            SourceOf::Archive { path, checksum } => {
                if let Some(told) = checksum {
                    compare(told, &checksum_of(path).await?)?;
                }
                Ok(brought(path))
            }
            SourceOf::Layer(layer) => Ok(Brought {
                layer: Some(layer.clone()),
                ..brought(Path::new(""))
            }),
            SourceOf::Elsewhere { origin, checksum } => {
                let fetched = self.fetch((app, build), origin, lines).await?;
                if let Some(told) = checksum {
                    compare(told, fetched.checksum.as_deref().unwrap_or("none"))?;
                }
                Ok(Brought {
                    commit: fetched.commit,
                    ..brought(&self.fetched_path(build.id))
                })
            }
        }
    }

    /// Fetches a source, and keeps what is learnt by that.
    async fn fetch(
        &self,
        (app, build): (&App, &Build),
        origin: &Origin,
        lines: &mpsc::Sender<String>,
    ) -> Result<Fetched> {
        let request = FetchRequest {
            build: build.id,
            app: app.id,
            stack: build.stack.clone(),
            origin: origin.clone(),
            target: self.fetched_path(build.id),
        };
        let fetched = self.builder.fetch(request, lines.clone()).await?;
        if matches!(
            origin,
            Origin::Repository {
                access: Some(_),
                ..
            }
        ) {
            self.keep_known_hosts(app, &fetched.known_hosts).await?;
        }
        if let Some(commit) = &fetched.commit {
            let change = system_change("the source was fetched");
            self.store
                .note_build_commit(&change, build.id, commit)
                .await?;
        }
        Ok(fetched)
    }

    /// Removes what a build has fetched, once it needs it no more.
    pub(crate) async fn remove_fetched(&self, build: BuildId) {
        match tokio::fs::remove_file(self.fetched_path(build)).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(%build, %error, "cannot remove a fetched source");
            }
            _ => {}
        }
    }

    fn fetched_path(&self, build: BuildId) -> PathBuf {
        self.settings
            .sources_dir
            .join(format!("fetched-{build}.tar"))
    }
}

/// The checksum that a client tells, in the form that is compared.
///
/// # Errors
/// `Invalid` for another kind of checksum: one that cannot be compared must not be taken as good.
pub(crate) fn checksum_told(text: Option<String>) -> Result<Option<String>> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let digits = text
        .get(..CHECKSUM_KIND.len())
        .zip(text.get(CHECKSUM_KIND.len()..));
    let is_sha256 = digits.is_some_and(|(kind, digits)| {
        kind.eq_ignore_ascii_case(CHECKSUM_KIND)
            && digits.len() == 64
            && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    });
    if is_sha256 {
        Ok(Some(text))
    } else {
        Err(Error::Invalid {
            message: "source_blob.checksum must be SHA256: and 64 hexadecimal digits".to_owned(),
        })
    }
}

fn compare(told: &str, found: &str) -> Result<()> {
    if told.eq_ignore_ascii_case(found) {
        return Ok(());
    }
    Err(Error::Invalid {
        message: format!("The source is not the one that was meant: it has {found}, not {told}."),
    })
}

async fn checksum_of(path: &Path) -> Result<String> {
    let owned = path.to_owned();
    let hashing = tokio::task::spawn_blocking(move || {
        let mut hash = Sha256::new();
        std::io::copy(&mut std::fs::File::open(owned)?, &mut hash)?;
        Ok(format!("{CHECKSUM_KIND}{:x}", hash.finalize()))
    });
    let hashed = hashing
        .await
        .unwrap_or_else(|error| Err(std::io::Error::other(error)));
    hashed.map_err(|source| Error::File {
        step: "read",
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_checksums_that_can_be_compared_are_taken() {
        let good = format!("SHA256:{}", "a".repeat(64));
        for (told, expected) in [
            (None, Some(None)),
            (Some(String::new()), Some(None)),
            (Some(good.clone()), Some(Some(good))),
            (Some("md5:abc".to_owned()), None),
            (Some(format!("SHA256:{}", "x".repeat(64))), None),
            (Some("SHA256:ab".to_owned()), None),
        ] {
            assert_eq!(checksum_told(told.clone()).ok(), expected, "{told:?}");
        }
    }
}
