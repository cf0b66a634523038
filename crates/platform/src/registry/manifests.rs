//! Manifests and tags: what is pushed is checked, kept as the bytes it came as, and named.

use builder::image::{
    Descriptor, Digest,
    documents::{self, Index},
};
use serde_json::Value;
use store::{ImageManifest, NewImageManifest};

use super::{RegistryError, Repository, Result, parsed};
use crate::{Caller, Platform};

/// Longest manifest, in bytes.
pub const MAX_MANIFEST_BYTES: usize = 4 * 1024 * 1024;
/// Longest tag.
const MAX_TAG_BYTES: usize = 128;

/// A manifest and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Its name by content.
    pub digest: Digest,
    /// What it is.
    pub media_type: String,
    /// As it was pushed.
    pub bytes: Vec<u8>,
}

/// What a manifest says of itself.
#[derive(Debug, Default, PartialEq, Eq)]
struct Described {
    media_type: String,
    artifact_type: Option<String>,
    subject: Option<Digest>,
    /// Blobs that must be the app's.
    blobs: Vec<Digest>,
    /// Manifests that must be the repository's.
    manifests: Vec<Digest>,
}

impl Platform {
    /// Keeps a manifest and names it by `name`, a tag or its digest; its digest, and that of what it
    /// is attached to.
    ///
    /// # Errors
    /// `ManifestInvalid`, `ManifestBlobUnknown` when not all of it was pushed, `TagInvalid`,
    /// `DigestInvalid`.
    pub async fn put_manifest(
        &self,
        caller: &Caller,
        repository: &Repository,
        name: &str,
        (media_type, bytes): (&str, &[u8]),
    ) -> Result<(Digest, Option<Digest>)> {
        let digest = Digest::of(bytes);
        let tag = if name.contains(':') {
            if parsed(name)? != digest {
                return Err(RegistryError::DigestInvalid(format!(
                    "the manifest has the digest {digest}, not {name}"
                )));
            }
            None
        } else {
            Some(checked_tag(name)?)
        };
        let described = describe(media_type, bytes)?;
        for blob in &described.blobs {
            if self
                .registry_blob(&repository.app, blob.as_str())
                .await
                .is_err()
            {
                return Err(RegistryError::ManifestBlobUnknown(blob.clone()));
            }
        }
        for manifest in &described.manifests {
            if self
                .manifest_row(repository, manifest.as_str())
                .await
                .is_err()
            {
                return Err(RegistryError::ManifestBlobUnknown(manifest.clone()));
            }
        }
        self.check_quota(&repository.app, bytes.len() as u64)
            .await?;
        let _placing = self.registry.placing.read().await;
        self.blobs().prepare()?;
        self.blobs().put(bytes)?;
        let parts = described.blobs.iter().chain(&described.manifests);
        let new = NewImageManifest {
            app: repository.app.id,
            process_type: repository.process_type.clone(),
            digest: digest.to_string(),
            media_type: described.media_type,
            artifact_type: described.artifact_type,
            subject: described.subject.as_ref().map(ToString::to_string),
            size_bytes: bytes.len() as u64,
            parts: parts.map(ToString::to_string).collect(),
            tag,
        };
        self.store
            .put_image_manifest(&caller.change(), &new)
            .await?;
        Ok((digest, described.subject))
    }

    /// A manifest by its digest or a tag that was pushed.
    pub async fn pushed_manifest(&self, repository: &Repository, name: &str) -> Result<Manifest> {
        let row = self.manifest_row(repository, name).await?;
        let digest = parsed(&row.digest)?;
        let bytes = self.blobs().read(&digest)?;
        Ok(Manifest {
            digest,
            media_type: row.media_type,
            bytes,
        })
    }

    /// The tags of a repository, by name.
    pub async fn tags(&self, repository: &Repository) -> Result<Vec<String>> {
        let tags = self
            .store
            .image_tags(repository.app.id, &repository.process_type)
            .await?;
        Ok(tags.into_iter().map(|tag| tag.name).collect())
    }

    /// What is attached to a manifest; nothing, if there is no such one.
    pub async fn referrers(&self, repository: &Repository, subject: &str) -> Result<Index> {
        let subject = parsed(subject)?;
        let rows = self
            .store
            .image_referrers(
                repository.app.id,
                &repository.process_type,
                subject.as_str(),
            )
            .await?;
        let descriptor = |row: ImageManifest| {
            let mut descriptor =
                Descriptor::new(&row.media_type, parsed(&row.digest)?, row.size_bytes);
            descriptor.artifact_type = row.artifact_type;
            Ok(descriptor)
        };
        let descriptors: Result<Vec<Descriptor>> = rows.into_iter().map(descriptor).collect();
        Ok(Index::new(descriptors?))
    }

    /// Removes a tag, or a manifest with all its tags. Its blobs are collected later.
    ///
    /// # Errors
    /// `ManifestUnknown`.
    pub async fn delete_manifest(
        &self,
        caller: &Caller,
        repository: &Repository,
        name: &str,
    ) -> Result<()> {
        let (app, process_type) = (repository.app.id, &repository.process_type);
        let removed = self
            .store
            .delete_image_manifest(&caller.change(), app, process_type, name)
            .await?;
        if removed {
            Ok(())
        } else {
            Err(RegistryError::ManifestUnknown)
        }
    }

    /// The manifest of this digest, or else that of the image with this configuration, which is what
    /// Docker calls an image's id.
    pub(super) async fn manifest_with(
        &self,
        repository: &Repository,
        name: &str,
    ) -> Result<Manifest> {
        let digest = parsed(name)?;
        match self.pushed_manifest(repository, digest.as_str()).await {
            Err(RegistryError::ManifestUnknown) => {}
            other => return other,
        }
        let rows = self
            .store
            .image_manifests(repository.app.id, &repository.process_type)
            .await?;
        let is_image = |row: &&ImageManifest| {
            matches!(
                row.media_type.as_str(),
                documents::MANIFEST | documents::DOCKER_MANIFEST
            )
        };
        let has_it = |row: &&ImageManifest| row.parts.first().map(String::as_str) == Some(name);
        let row = rows.iter().filter(is_image).rfind(has_it);
        let row = row.ok_or(RegistryError::ManifestUnknown)?;
        self.pushed_manifest(repository, &row.digest).await
    }

    async fn manifest_row(&self, repository: &Repository, name: &str) -> Result<ImageManifest> {
        let row = self
            .store
            .image_manifest(repository.app.id, &repository.process_type, name)
            .await?;
        row.ok_or(RegistryError::ManifestUnknown)
    }
}

/// `^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`.
fn checked_tag(name: &str) -> Result<String> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let is_tag = name.len() <= MAX_TAG_BYTES
        && name.bytes().next().is_some_and(is_word)
        && name
            .bytes()
            .all(|byte| is_word(byte) || b".-".contains(&byte));
    if is_tag {
        Ok(name.to_owned())
    } else {
        Err(RegistryError::TagInvalid(name.chars().take(200).collect()))
    }
}

/// Reads a manifest that nobody has looked at yet.
fn describe(media_type: &str, bytes: &[u8]) -> Result<Described> {
    let invalid = |reason: String| RegistryError::ManifestInvalid(reason);
    let value: Value = serde_json::from_slice(bytes)
        .map_err(|error| invalid(format!("the manifest is no JSON: {error}")))?;
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    let said = value.get("mediaType").and_then(Value::as_str);
    if said.is_some_and(|said| said != media_type) {
        return Err(invalid("the manifest says another media type".to_owned()));
    }
    if value.get("schemaVersion") != Some(&Value::from(2)) {
        return Err(invalid(
            "only manifests of schema version 2 are taken".to_owned(),
        ));
    }
    let digest_of = |descriptor: &Value| -> Result<Digest> {
        let digest = descriptor.get("digest").and_then(Value::as_str);
        parsed(digest.unwrap_or_default())
    };
    let listed = |name: &str| -> Result<Vec<Digest>> {
        let list = value.get(name).and_then(Value::as_array);
        list.into_iter().flatten().map(digest_of).collect()
    };
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let subject = value.get("subject").filter(|subject| !subject.is_null());
    let mut described = Described {
        media_type: media_type.to_owned(),
        artifact_type: text(value.get("artifactType")),
        subject: subject.map(digest_of).transpose()?,
        ..Described::default()
    };
    match media_type {
        documents::MANIFEST | documents::DOCKER_MANIFEST => {
            let config = value.get("config").unwrap_or(&Value::Null);
            described.blobs.push(digest_of(config)?);
            described.blobs.extend(listed("layers")?);
            if described.subject.is_some() && described.artifact_type.is_none() {
                described.artifact_type = text(config.get("mediaType"));
            }
        }
        documents::INDEX | documents::DOCKER_LIST => described.manifests = listed("manifests")?,
        other => {
            return Err(invalid(format!(
                "`{other}` is no kind of manifest known here"
            )));
        }
    }
    Ok(described)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(media_type: &str, manifest: &Value, expected: Option<(usize, usize)>) {
        let described = describe(media_type, manifest.to_string().as_bytes());
        let found = described.map(|found| (found.blobs.len(), found.manifests.len()));
        assert_eq!(found.ok(), expected, "{manifest}");
    }

    #[test]
    fn manifests_are_read_and_others_refused() {
        let blob = json!({ "digest": Digest::of(b"x"), "size": 1 });
        let image = json!({ "schemaVersion": 2, "config": blob, "layers": [blob, blob] });
        check(documents::DOCKER_MANIFEST, &image, Some((3, 0)));
        check(
            "application/vnd.oci.image.manifest.v1+json; x=y",
            &image,
            Some((3, 0)),
        );
        check("text/plain", &image, None);
        let index = json!({ "schemaVersion": 2, "manifests": [blob] });
        check(documents::INDEX, &index, Some((0, 1)));
        let hostile = json!({ "schemaVersion": 2, "config": { "digest": "../../etc/passwd" } });
        check(documents::MANIFEST, &hostile, None);
        check(
            documents::MANIFEST,
            &json!({ "schemaVersion": 1, "config": blob }),
            None,
        );
        let other = json!({ "schemaVersion": 2, "mediaType": documents::INDEX, "config": blob });
        check(documents::MANIFEST, &other, None);
        check(documents::MANIFEST, &json!([]), None);
    }

    #[test]
    fn tags() {
        for (name, expected) in [
            ("latest", true),
            ("v1.2_3-4", true),
            (".hidden", false),
            ("", false),
            ("a/b", false),
        ] {
            assert_eq!(checked_tag(name).is_ok(), expected, "{name}");
        }
        assert!(checked_tag(&"x".repeat(129)).is_err());
    }
}
