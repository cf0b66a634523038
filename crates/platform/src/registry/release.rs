//! Releases of images that were pushed: `heroku container:release` and `container:rm`.
//!
//! Each process type runs from an image of its own repository, so a release is a slug that names
//! one for each. Those that a request does not name stay as they are. Read
//! [`Platform::release_images`] first.

use std::collections::{BTreeMap, BTreeSet};

use builder::{
    image::{
        Digest,
        run::{RunError, RunnableImage},
    },
    image_shown,
};
use sha2::{Digest as _, Sha256};
use store::{
    App, CONTAINER_STACK, Formation, NewRelease, NewSlug, Release, ReleaseStatus, Slug, SlugImage,
};

use super::{RegistryError, Repository};
use crate::{
    Caller, Platform,
    error::{Error, Result},
    partial::CHECKSUM_KIND,
    reconcile::perform::chain,
    releases::has_release_phase,
    sizes,
};
use api::{
    ids::FormationId,
    names::{ProcessType, StackName},
    references::lasting_id,
};

/// How much of an image's id a description shows, as Docker does.
const SHORT_ID: usize = 12;

/// What shall become of one process type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageChange {
    /// Which.
    pub process_type: ProcessType,
    /// The digest of the image's configuration (Docker's image id) or manifest; without it the
    /// process type goes.
    pub image: Option<String>,
}

/// Images by process type.
pub(crate) type Images = BTreeMap<ProcessType, SlugImage>;

impl Platform {
    /// Releases images that were pushed to the app's repositories, and takes process types away.
    /// Returns when the release is made; the formation as it is, with what is to come.
    ///
    /// # Errors
    /// `Invalid` for an image that was not pushed or cannot run here; `NotFound` for a process type
    /// to take away that runs from no image.
    pub async fn release_images(
        &self,
        caller: &Caller,
        app: &App,
        changes: &[ImageChange],
    ) -> Result<Vec<Formation>> {
        self.check_room()?;
        let mut taken = Vec::new();
        for change in changes {
            let image = match &change.image {
                Some(name) => Some(self.take_pushed(app, &change.process_type, name).await?),
                None => None,
            };
            taken.push((&change.process_type, image));
        }
        let _one_at_a_time = self.registry.releasing.lock().await;
        let (mut images, mut size_bytes) = self.released_images(app).await?;
        for (process_type, image) in taken {
            match image {
                Some((image, bytes)) => {
                    size_bytes = size_bytes.max(bytes);
                    images.insert(process_type.clone(), image);
                }
                None if images.remove(process_type).is_some() => {}
                None => {
                    return Err(Error::NotFound {
                        resource: "process_type",
                        name: process_type.to_string(),
                    });
                }
            }
        }
        let change = caller.change();
        let new = slug_of(app, images, size_bytes)?;
        let slug = self.store.create_slug(&change, &new).await?;
        self.release_of(caller, &slug, describe(&slug, changes))
            .await?;
        self.formation_to_come(app, &slug, changes).await
    }

    async fn release_of(
        &self,
        caller: &Caller,
        slug: &Slug,
        description: String,
    ) -> Result<Release> {
        let new = NewRelease {
            app: slug.app,
            account: caller.account,
            description,
            slug: Some(slug.id),
            config_updates: None,
            config_replacement: None,
            output_stream: has_release_phase(slug),
        };
        self.add_release(caller, new).await
    }

    /// An image of a process type's repository, unpacked, and what it comes to in bytes.
    async fn take_pushed(
        &self,
        app: &App,
        process_type: &ProcessType,
        name: &str,
    ) -> Result<(SlugImage, u64)> {
        let repository = Repository {
            app: app.clone(),
            process_type: process_type.clone(),
        };
        let manifest = match self.manifest_with(&repository, name).await {
            Err(RegistryError::ManifestUnknown | RegistryError::DigestInvalid(_)) => {
                let shown: String = name.chars().take(80).collect();
                return Err(Error::Invalid {
                    message: format!(
                        "No image {shown} was pushed to {}/{process_type}. hint: push it first, with \
                         `docker push`.",
                        app.name
                    ),
                });
            }
            Err(RegistryError::Platform(error)) => return Err(error),
            Err(other) => {
                return Err(Error::Unavailable {
                    message: other.to_string(),
                });
            }
            Ok(manifest) => manifest,
        };
        let image = self.builder.take_image(manifest.bytes).await;
        let image = image.map_err(|error| refused(process_type, error))?;
        let size_bytes = image.size_bytes;
        Ok((slug_image(image, &manifest.digest), size_bytes))
    }

    /// The images of the newest release that did not fail, and what they come to in bytes.
    async fn released_images(&self, app: &App) -> Result<(Images, u64)> {
        let releases = self.store.releases(app.id).await?;
        let newest = releases
            .iter()
            .rev()
            .find(|release| release.status != ReleaseStatus::Failed);
        let Some(slug) = newest.and_then(|release| release.slug) else {
            return Ok((Images::new(), 0));
        };
        let slug = self.store.slug(slug).await?;
        Ok((
            slug.images,
            if slug.stack.as_str() == CONTAINER_STACK {
                slug.size_bytes
            } else {
                0
            },
        ))
    }

    /// The formation's rows of the process types that are released, as they will be.
    async fn formation_to_come(
        &self,
        app: &App,
        slug: &Slug,
        changes: &[ImageChange],
    ) -> Result<Vec<Formation>> {
        let present = self.store.formation(app.id).await?;
        let row = |change: &ImageChange| {
            let known = present
                .iter()
                .find(|row| row.process_type == change.process_type);
            let command = slug.process_types.get(&change.process_type).cloned();
            let mut row = known.cloned().unwrap_or_else(|| coming(app, slug, change));
            row.command = command.unwrap_or(row.command);
            row
        };
        Ok(changes.iter().map(row).collect())
    }
}

/// A row that the formation gets when the release is live.
fn coming(app: &App, slug: &Slug, change: &ImageChange) -> Formation {
    let key = format!("{}/{}", app.id, change.process_type);
    Formation {
        id: FormationId::from(lasting_id("formation-to-come", &key)),
        app: app.id,
        process_type: change.process_type.clone(),
        quantity: u32::from(change.process_type.is_web()),
        size: sizes::DEFAULT_SIZE.to_owned(),
        command: String::new(),
        health_checks: None,
        created_at: slug.created_at,
        updated_at: slug.created_at,
    }
}

/// What the store keeps of an image that was unpacked.
pub(crate) fn slug_image(image: RunnableImage, manifest: &Digest) -> SlugImage {
    SlugImage {
        id: image.id.to_string(),
        manifest: manifest.to_string(),
        layers: image.layers,
        env: image.env,
        entrypoint: image.entrypoint,
        command: image.command,
        working_directory: image.working_directory,
    }
}

/// A slug that runs from these images.
pub(crate) fn slug_of(app: &App, images: Images, size_bytes: u64) -> Result<NewSlug> {
    let layers: BTreeSet<&String> = images.values().flat_map(|image| &image.layers).collect();
    let layers = layers.into_iter().cloned().collect();
    let shown = |image: &SlugImage| image_shown(&image.entrypoint, &image.command);
    let named: BTreeMap<&ProcessType, (&str, &[String], &[String])> = images
        .iter()
        .map(|(name, image)| {
            (
                name,
                (image.id.as_str(), &*image.entrypoint, &*image.command),
            )
        })
        .collect();
    let whole = serde_json::to_vec(&named).map_err(|error| Error::Invalid {
        message: error.to_string(),
    })?;
    Ok(NewSlug {
        app: app.id,
        stack: container_stack(),
        commit: None,
        language: "Container".to_owned(),
        layers,
        process_types: images
            .iter()
            .map(|(name, image)| (name.clone(), shown(image)))
            .collect(),
        env: BTreeMap::new(),
        size_bytes,
        checksum: format!("{CHECKSUM_KIND}{:x}", Sha256::digest(whole)),
        images,
    })
}

/// The name that stands for no stack.
pub(crate) fn container_stack() -> StackName {
    CONTAINER_STACK.parse().expect("a valid name of a stack")
}

fn refused(process_type: &ProcessType, error: RunError) -> Error {
    if error.is_about_the_image() {
        return Error::Invalid {
            message: format!(
                "The image of {process_type} cannot be released: {}.",
                chain(&error)
            ),
        };
    }
    Error::Build(error.into())
}

/// `Deployed web (0123456789ab), worker (…)`, as Heroku says it.
fn describe(slug: &Slug, changes: &[ImageChange]) -> String {
    let deployed = changes.iter().filter_map(|change| {
        let image = slug.images.get(&change.process_type)?;
        let id = image.id.split(':').next_back().unwrap_or_default();
        let id: String = id.chars().take(SHORT_ID).collect();
        Some(format!("{} ({id})", change.process_type))
    });
    let removed = changes.iter().filter(|change| change.image.is_none());
    let removed = removed.map(|change| change.process_type.to_string());
    let parts = [
        ("Deployed", deployed.collect::<Vec<_>>().join(", ")),
        ("Removed", removed.collect::<Vec<_>>().join(", ")),
    ];
    let parts = parts.iter().filter(|(_, names)| !names.is_empty());
    let parts: Vec<String> = parts
        .map(|(verb, names)| format!("{verb} {names}"))
        .collect();
    parts.join("; ")
}
