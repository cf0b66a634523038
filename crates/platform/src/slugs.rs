//! Slugs: built apps. Builds make them, or a client that uploads the archive of one.
//!
//! Such a slug is made without an archive, with a secret URL to put it to. Uploading is done once;
//! afterwards it is a slug like any other.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use api::{
    ids::{AppId, SlugId},
    names::ProcessType,
    paths,
    slugs::NewSlug,
};
use futures_util::Stream;
use store::{Actor, App, Change, Slug, SlugContents, StoreError};
use tokio::fs;

use crate::{
    Platform,
    caller::Caller,
    error::{Error, Result},
    partial::{CHECKSUM_KIND, Partial},
    reconcile::perform::chain,
    registry::release::container_stack,
};

/// Longest commit, description or language.
const LONGEST_TEXT_BYTES: usize = 1024;
/// What the secret of a URL is good for.
const READ: &str = "slug";
const UPLOAD: &str = "slug upload";

/// An archive that comes by a slug's secret URL, and from where.
#[derive(Clone, Debug)]
pub struct SlugUpload {
    /// The slug's id, as it was written.
    pub slug: String,
    /// What should be the slug's secret.
    pub secret: String,
    /// The sender's address.
    pub origin: String,
    /// The request's id.
    pub request_id: String,
}

impl Platform {
    /// One of an app's slugs.
    pub async fn slug(&self, app: &App, id: &str) -> Result<Slug> {
        let parsed: SlugId = id.parse().map_err(|_| missing(id))?;
        let slug = self.store.slug(parsed).await?;
        if slug.app == app.id {
            Ok(slug)
        } else {
            Err(missing(id))
        }
    }

    /// Those of an app's slugs that were given up, and can be released no more.
    pub async fn removed_slugs(&self, app: AppId) -> Result<BTreeSet<SlugId>> {
        let slugs = self.store.slugs(app).await?.into_iter();
        let removed = slugs.filter(|slug| slug.removed_at.is_some());
        Ok(removed.map(|slug| slug.id).collect())
    }

    /// Makes a slug that awaits its archive, see [`Platform::receive_slug`].
    ///
    /// # Errors
    /// `Invalid` for process types, a stack, a checksum or texts that cannot be ones.
    pub async fn create_slug(&self, caller: &Caller, app: &App, new: NewSlug) -> Result<Slug> {
        let stack = match &new.stack {
            Some(stack) => self.stack_named(stack)?,
            None => app.build_stack.clone(),
        };
        if stack == container_stack() {
            return Err(Error::Invalid {
                message:
                    "A slug's archive runs on a stack, and this app's next build makes an image. \
                          hint: name a stack."
                        .to_owned(),
            });
        }
        let language = short(
            "buildpack_provided_description",
            new.buildpack_provided_description,
        )?;
        let commit_description = short("commit_description", new.commit_description)?;
        let row = store::NewSlug {
            app: app.id,
            stack,
            commit: short("commit", new.commit)?,
            language: language.unwrap_or_default(),
            layers: Vec::new(),
            process_types: new
                .process_types
                .into_iter()
                .map(process)
                .collect::<Result<_>>()?,
            images: BTreeMap::new(),
            env: BTreeMap::new(),
            size_bytes: 0,
            checksum: new
                .checksum
                .map(|text| checksum(&text))
                .transpose()?
                .unwrap_or_default(),
        };
        let slug = self
            .store
            .create_awaiting_slug(&caller.change(), &row, commit_description)
            .await?;
        Ok(slug)
    }

    /// The secret URL to put a slug's archive to; it serves for reading as well.
    pub fn slug_upload_url(&self, slug: SlugId) -> String {
        self.slug_secret_url(slug, UPLOAD)
    }

    /// The secret URL to get a slug's archive from.
    pub fn slug_url(&self, slug: SlugId) -> String {
        self.slug_secret_url(slug, READ)
    }

    /// Receives a slug's archive and makes its layer. The same archive may come again, which does
    /// nothing. Dropping this leaves the slug as it was.
    ///
    /// # Errors
    /// `NotFound` for a wrong id or secret; `Invalid` for an archive that is none, is too large,
    /// breaks off or has another checksum than promised; `Conflict` when another came before.
    pub async fn receive_slug<B, E>(
        &self,
        upload: &SlugUpload,
        chunks: impl Stream<Item = Result<B, E>>,
    ) -> Result<()>
    where
        B: AsRef<[u8]>,
        E: std::fmt::Display,
    {
        let slug = self.slug_behind(upload, &[UPLOAD]).await?;
        let partial = Partial::beside(&self.slug_archive_path(&slug, "")).await?;
        let checksum = partial.receive(chunks).await?;
        if !slug.awaits_archive {
            return same_archive(&slug, &checksum);
        }
        if !slug.checksum.is_empty() && slug.checksum != checksum {
            return Err(Error::Invalid {
                message: format!(
                    "The archive has the checksum {checksum}, but the slug was made for {}.",
                    slug.checksum
                ),
            });
        }
        let imported = self.builder.import(partial.path().to_owned()).await;
        let imported = imported.map_err(|error| {
            if error.is_about_the_source() {
                let message = format!("This cannot be a slug's archive: {}.", chain(&error));
                Error::Invalid { message }
            } else {
                Error::Build(error)
            }
        })?;
        let contents = SlugContents {
            layers: vec![imported.layer],
            env: imported.env,
            size_bytes: imported.size_bytes,
            checksum,
        };
        self.fill_slug(upload, &slug, (partial, contents)).await
    }

    /// Puts the archive in its place and then tells the store, in this order, so that a slug is
    /// never without its archive.
    async fn fill_slug(
        &self,
        upload: &SlugUpload,
        slug: &Slug,
        (partial, contents): (Partial, SlugContents),
    ) -> Result<()> {
        let path = self.slug_archive_path(slug, &contents.checksum);
        partial.place(&path).await?;
        let change = Change {
            actor: Actor::System,
            origin: upload.origin.clone(),
            // The URL's secret is nobody's to read.
            cause: format!("PUT /slugs/{}", slug.id),
            request_id: Some(upload.request_id.clone()),
        };
        let refused = match self.store.fill_slug(&change, slug.id, &contents).await {
            Ok(_) => return Ok(()),
            Err(StoreError::Stale { .. }) => {
                let first = self.store.slug(slug.id).await?;
                match same_archive(&first, &contents.checksum) {
                    Ok(()) => return Ok(()),
                    Err(refused) => refused,
                }
            }
            Err(error) if error.is_not_found() => {
                // The app went meanwhile, and what is kept of it was cleared away before this came.
                self.nudges.nudge(slug.app);
                error.into()
            }
            Err(error) => return Err(error.into()),
        };
        remove(&path).await;
        Err(refused)
    }

    /// The archive behind a slug's secret URL.
    ///
    /// # Errors
    /// `NotFound` for a wrong id or secret, or a slug that was not uploaded.
    pub async fn slug_archive(&self, upload: &SlugUpload) -> Result<PathBuf> {
        let slug = self.slug_behind(upload, &[READ, UPLOAD]).await?;
        let path = self.slug_archive_path(&slug, &slug.checksum);
        if !slug.awaits_archive && fs::try_exists(&path).await.unwrap_or(false) {
            Ok(path)
        } else {
            Err(missing(&upload.slug))
        }
    }

    /// Removes the archives of an app's slugs; for when the app is gone.
    pub(crate) async fn forget_slugs(&self, app: AppId) -> Result<()> {
        let path = self.slug_archives(app);
        match fs::remove_dir_all(&path).await {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(Error::File {
                step: "remove",
                path,
                source,
            }),
            _ => Ok(()),
        }
    }

    /// Removes the archive of a slug that was given up; a build's has none.
    pub(crate) async fn remove_slug_archive(&self, app: AppId, slug: SlugId) {
        let Ok(mut entries) = fs::read_dir(self.slug_archives(app)).await else {
            return;
        };
        let its_own = format!("{slug}-");
        while let Ok(Some(entry)) = entries.next_entry().await {
            if entry.file_name().to_string_lossy().starts_with(&its_own) {
                remove(&entry.path()).await;
            }
        }
    }

    async fn slug_behind(&self, upload: &SlugUpload, purposes: &[&str]) -> Result<Slug> {
        let id: SlugId = upload.slug.parse().map_err(|_| missing(&upload.slug))?;
        let is_good = |purpose: &&str| {
            self.settings
                .is_secret_for(purpose, &id.to_string(), &upload.secret)
        };
        if purposes.iter().any(is_good) {
            Ok(self.store.slug(id).await?)
        } else {
            Err(missing(&upload.slug))
        }
    }

    fn slug_secret_url(&self, slug: SlugId, purpose: &str) -> String {
        let secret = self.settings.secret_for(purpose, &slug.to_string());
        format!(
            "{}{}",
            self.settings.api_url,
            paths::slug_blob(slug, &secret)
        )
    }

    /// Named by content as well, so that of two uploads at once neither spoils the other's.
    fn slug_archive_path(&self, slug: &Slug, checksum: &str) -> PathBuf {
        let digest = checksum.trim_start_matches(CHECKSUM_KIND);
        self.slug_archives(slug.app)
            .join(format!("{}-{digest}.tar", slug.id))
    }

    fn slug_archives(&self, app: AppId) -> PathBuf {
        self.settings.sources_dir.join(format!("slugs-{app}"))
    }
}

/// Refuses a slug that cannot run yet.
///
/// # Errors
/// `Invalid` while its archive is awaited, and when its layers were removed.
pub(crate) fn check_is_uploaded(slug: &Slug) -> Result<()> {
    if slug.removed_at.is_some() {
        return Err(Error::Invalid {
            message: "The slug was removed to make room. hint: push its commit again.".to_owned(),
        });
    }
    if !slug.awaits_archive {
        return Ok(());
    }
    Err(Error::Invalid {
        message: format!(
            "Slug {} cannot be released: its archive was never uploaded. hint: PUT a tar.gz of \
             ./app to the blob URL that POST /apps/{{app}}/slugs answered with.",
            slug.id
        ),
    })
}

fn missing(id: &str) -> Error {
    Error::NotFound {
        resource: "slug",
        name: id.to_owned(),
    }
}

fn same_archive(slug: &Slug, checksum: &str) -> Result<()> {
    if slug.checksum == checksum {
        return Ok(());
    }
    Err(Error::Conflict {
        message: format!(
            "Slug {} has another archive already; make a new slug for this one.",
            slug.id
        ),
    })
}

fn process((name, command): (String, String)) -> Result<(ProcessType, String)> {
    let invalid = |message: String| Error::Invalid { message };
    let process_type: ProcessType = name
        .parse()
        .map_err(|error: api::names::NameError| invalid(error.to_string()))?;
    if command.trim().is_empty() || command.contains('\0') {
        return Err(invalid(format!("Process type {name} needs a command")));
    }
    Ok((process_type, command))
}

fn short(what: &str, text: Option<String>) -> Result<Option<String>> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    if text.len() <= LONGEST_TEXT_BYTES && !text.contains('\0') {
        return Ok(Some(text));
    }
    Err(Error::Invalid {
        message: format!(
            "{what} is too long: at most {LONGEST_TEXT_BYTES} bytes, none of them NUL"
        ),
    })
}

/// A client's checksum as we write them: `SHA256:` and 64 lower-case digits.
fn checksum(text: &str) -> Result<String> {
    let digits = text
        .split_once(':')
        .filter(|(kind, _)| kind.eq_ignore_ascii_case("sha256"))
        .map(|(_, digits)| digits.to_ascii_lowercase())
        .filter(|digits| digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit()));
    digits
        .map(|digits| format!("{CHECKSUM_KIND}{digits}"))
        .ok_or_else(|| Error::Invalid {
            message: "checksum must be SHA256: and 64 hexadecimal digits".to_owned(),
        })
}

async fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path).await {
        tracing::warn!(path = %path.display(), %error, "cannot remove a slug's archive");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_checksum(text: &str, expected: Option<&str>) {
        assert_eq!(checksum(text).ok().as_deref(), expected, "{text}");
    }

    #[test]
    fn checksums_are_written_in_one_way() {
        let (upper, lower) = ("AB".repeat(32), "ab".repeat(32));
        let expected = format!("SHA256:{lower}");
        check_checksum(&format!("SHA256:{lower}"), Some(&expected));
        check_checksum(&format!("sha256:{upper}"), Some(&expected));
        for refused in [
            &lower,
            "",
            "SHA256:",
            &format!("MD5:{lower}"),
            &format!("SHA256:{lower}0"),
        ] {
            check_checksum(refused, None);
        }
    }

    #[test]
    fn commands_and_texts_are_checked() {
        let check = |name: &str, command: &str| process((name.to_owned(), command.to_owned()));
        assert!(check("web", "serve").is_ok());
        assert!(check("web", " ").is_err());
        assert!(check("web", "a\0b").is_err());
        assert!(check("no such type!", "serve").is_err());
        let long = "x".repeat(LONGEST_TEXT_BYTES + 1);
        assert!(short("commit", Some(long)).is_err());
        assert_eq!(short("commit", Some(String::new())).unwrap(), None);
    }
}
