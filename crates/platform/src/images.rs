//! Images: slugs as OCI images, to run elsewhere. Written when somebody asks, in the background.
//!
//! An image holds what the slug holds and no config var. Read [`Platform::create_image`].

use builder::image::{BlobStore, Compression, ImageError, ImageRecord, ImageRequest, ImageState};
use store::{App, Slug};

use crate::{
    Platform,
    error::{Error, Result},
    reconcile::perform::chain,
    slugs::check_is_uploaded,
};

/// Names the slug of the release that is live.
const CURRENT: &str = "current";

/// An image and what it is made of.
#[derive(Clone, Debug)]
pub struct Image {
    /// What it is made of.
    pub slug: Slug,
    /// How its layers are compressed.
    pub compression: Compression,
    /// How it stands.
    pub state: ImageState,
}

/// An image that is ready to be carried away.
#[derive(Clone, Debug)]
pub struct ImageArchive {
    /// What it is.
    pub record: ImageRecord,
    /// Where its parts are.
    pub blobs: BlobStore,
    /// What it is called where it is loaded: `shop:3f2a1b9c`.
    pub name: String,
}

impl Platform {
    /// How the image of a slug stands. `slug` is an id, a release's number, or `current`.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for a slug without an archive.
    pub async fn image(&self, app: &App, slug: &str, compression: Compression) -> Result<Image> {
        let slug = self.slug_named(app, slug).await?;
        let request = image_request(app, &slug, compression);
        let state = self.builder.images().state(&request).map_err(failed)?;
        Ok(Image {
            slug,
            compression,
            state,
        })
    }

    /// Has the image of a slug written, unless it is there or under way.
    ///
    /// # Errors
    /// As [`Platform::image`]. What goes wrong later is in the image's state.
    pub async fn create_image(
        &self,
        app: &App,
        slug: &str,
        compression: Compression,
    ) -> Result<Image> {
        let slug = self.slug_named(app, slug).await?;
        let request = image_request(app, &slug, compression);
        let state = self.builder.images().start(&request).map_err(failed)?;
        Ok(Image {
            slug,
            compression,
            state,
        })
    }

    /// An image that is ready.
    ///
    /// # Errors
    /// `NotFound` also for one that is not ready.
    pub async fn image_archive(
        &self,
        app: &App,
        slug: &str,
        compression: Compression,
    ) -> Result<ImageArchive> {
        let image = self.image(app, slug, compression).await?;
        let ImageState::Ready(record) = image.state else {
            return Err(missing(slug));
        };
        let commit = image.slug.commit.as_deref();
        Ok(ImageArchive {
            record: *record,
            blobs: self.builder.images().blobs().clone(),
            name: format!("{}:{}", app.name, tag(commit)),
        })
    }

    async fn slug_named(&self, app: &App, name: &str) -> Result<Slug> {
        let slug = if name == CURRENT {
            let current = self.store.current_release(app.id).await?;
            current.and_then(|release| release.slug)
        } else if is_release(name) {
            self.release(app.id, name).await?.slug
        } else {
            let slug = self.slug(app, name).await?;
            check_is_uploaded(&slug)?;
            return runs_on_a_stack(slug);
        };
        let slug = slug.ok_or_else(|| missing(name))?;
        runs_on_a_stack(self.store.slug(slug).await?)
    }
}

/// Refuses a slug that runs from images already.
fn runs_on_a_stack(slug: Slug) -> Result<Slug> {
    if !slug.is_container() {
        return Ok(slug);
    }
    Err(Error::Invalid {
        message: "This release runs from images. hint: pull them from the registry, `docker pull \
                  …/APP/TYPE`."
            .to_owned(),
    })
}

/// `v12` or `12`.
fn is_release(name: &str) -> bool {
    let digits = name.strip_prefix('v').unwrap_or(name);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn image_request(app: &App, slug: &Slug, compression: Compression) -> ImageRequest {
    ImageRequest {
        title: app.name.to_string(),
        stack: slug.stack.clone(),
        layers: slug.layers.clone(),
        process_types: slug.process_types.clone(),
        env: slug.env.clone(),
        commit: slug.commit.clone(),
        language: slug.language.clone(),
        compression,
    }
}

/// A tag is letters, digits, `_`, `.` and `-`, and does not begin with the latter two.
fn tag(commit: Option<&str>) -> String {
    let short: String = commit.unwrap_or_default().chars().take(8).collect();
    let is_tag = !short.is_empty()
        && short
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if is_tag { short } else { "latest".to_owned() }
}

fn missing(name: &str) -> Error {
    Error::NotFound {
        resource: "image",
        name: name.to_owned(),
    }
}

fn failed(error: ImageError) -> Error {
    match error {
        ImageError::File { step, path, source } => Error::File { step, path, source },
        other => Error::Invalid {
            message: chain(&other),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_told_from_ids() {
        for (name, expected) in [
            ("v12", true),
            ("12", true),
            ("v", false),
            ("01234567-89ab-7def-8123-456789abcdef", false),
            ("", false),
        ] {
            assert_eq!(is_release(name), expected, "{name}");
        }
    }

    #[test]
    fn tags_are_such() {
        assert_eq!(tag(Some("3f2a1b9c0d1e")), "3f2a1b9c");
        assert_eq!(tag(Some("a b")), "latest");
        assert_eq!(tag(None), "latest");
    }
}
