//! What was pushed to the registry: which blobs an app may read, manifests, and tags.
//!
//! The bytes are not kept here, nor are they known. Read [`Store::put_image_manifest`].

use std::collections::BTreeSet;

use api::{
    clock::Time,
    ids::{AccountId, AppId},
    names::ProcessType,
};
use serde_json::json;
use sqlx::query;

use crate::{
    Change, Result, Store,
    columns::{Columns, Record, list, optional, to_number},
    write::Happening,
};

/// A manifest that was pushed for a process type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageManifest {
    /// For which app.
    pub app: AppId,
    /// For which of its process types.
    pub process_type: ProcessType,
    /// Its name by content.
    pub digest: String,
    /// What it is.
    pub media_type: String,
    /// What it is attached to another as; none for an image.
    pub artifact_type: Option<String>,
    /// The digest of what it is attached to.
    pub subject: Option<String>,
    /// Its own length.
    pub size_bytes: u64,
    /// Digests of what it is made of.
    pub parts: Vec<String>,
    /// When it was pushed.
    pub created_at: Time,
}

/// A name for a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageTag {
    /// `latest`.
    pub name: String,
    /// Of the manifest.
    pub digest: String,
}

/// A manifest to keep; fields as in [`ImageManifest`].
#[derive(Clone, Debug)]
pub struct NewImageManifest {
    /// For which app.
    pub app: AppId,
    /// For which of its process types.
    pub process_type: ProcessType,
    /// Its name by content.
    pub digest: String,
    /// What it is.
    pub media_type: String,
    /// What it is attached to another as.
    pub artifact_type: Option<String>,
    /// The digest of what it is attached to.
    pub subject: Option<String>,
    /// Its own length.
    pub size_bytes: u64,
    /// Digests of what it is made of.
    pub parts: Vec<String>,
    /// Shall name it from now on.
    pub tag: Option<String>,
}

impl Record for ImageManifest {
    const RESOURCE: &'static str = "manifest";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        Ok(Self {
            app: columns.parsed("app_id")?,
            process_type: columns.parsed("process_type")?,
            digest: columns.text("digest")?,
            media_type: columns.text("media_type")?,
            artifact_type: columns.optional_text("artifact_type")?,
            subject: columns.optional_text("subject")?,
            size_bytes: columns.number("size_bytes")?,
            parts: columns.json("parts")?,
            created_at: columns.time("created_at")?,
        })
    }
}

impl Record for ImageTag {
    const RESOURCE: &'static str = "tag";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        Ok(Self {
            name: columns.text("name")?,
            digest: columns.text("digest")?,
        })
    }
}

const NEW_BLOB: &str = "INSERT INTO image_blobs (app_id, digest, size_bytes, created_at)
             VALUES ($1, $2, $3, $4) ON CONFLICT (app_id, digest) DO NOTHING";

struct Size(u64);

impl Record for Size {
    const RESOURCE: &'static str = "blob";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        columns.number("size_bytes").map(Self)
    }
}

struct OwnBlob {
    app: AppId,
    digest: String,
}

impl Record for OwnBlob {
    const RESOURCE: &'static str = "blob";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        Ok(Self {
            app: columns.parsed("app_id")?,
            digest: columns.text("digest")?,
        })
    }
}

struct Name(String);

impl Record for Name {
    const RESOURCE: &'static str = "blob";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        columns.text("digest").map(Self)
    }
}

impl Store {
    /// How long a blob is, if the app may read it.
    pub async fn image_blob(&self, app: AppId, digest: &str) -> Result<Option<u64>> {
        let statement = query("SELECT * FROM image_blobs WHERE app_id = $1 AND digest = $2")
            .bind(app.to_string())
            .bind(digest.to_owned());
        let found: Option<Size> = optional(self.backend.reader(), statement).await?;
        Ok(found.map(|Size(bytes)| bytes))
    }

    /// Lets an app read a blob that is here.
    pub async fn put_image_blob(
        &self,
        change: &Change,
        app: AppId,
        digest: &str,
        size_bytes: u64,
    ) -> Result<()> {
        let size = to_number(size_bytes, "blob size")?;
        let mut write = self.write_app(change, app).await?;
        let statement = query(NEW_BLOB)
            .bind(app.to_string())
            .bind(digest.to_owned())
            .bind(size)
            .bind(write.now.as_micros());
        write.run(statement).await?;
        write
            .commit(Happening {
                kind: "image-blob.create",
                app: Some(app),
                subject: digest.to_owned(),
                details: json!({ "size_bytes": size_bytes }),
            })
            .await
    }

    /// What all blobs of an account's apps come to, in bytes; one that several apps have counts
    /// for each.
    pub async fn image_bytes_of(&self, owner: AccountId) -> Result<u64> {
        let statement = query(
            "SELECT CAST(COALESCE(SUM(image_blobs.size_bytes), 0) AS BIGINT) AS size_bytes
             FROM image_blobs JOIN apps ON apps.id = image_blobs.app_id
             WHERE apps.owner_id = $1",
        )
        .bind(owner.to_string());
        let sum: Option<Size> = optional(self.backend.reader(), statement).await?;
        Ok(sum.map_or(0, |Size(bytes)| bytes))
    }

    /// Keeps a manifest, which makes it a blob of the app as well, and names it.
    pub async fn put_image_manifest(&self, change: &Change, new: &NewImageManifest) -> Result<()> {
        let size = to_number(new.size_bytes, "manifest size")?;
        let mut write = self.write_app(change, new.app).await?;
        let now = write.now.as_micros();
        let (app, process_type) = (new.app.to_string(), new.process_type.to_string());
        let manifest = query(
            "INSERT INTO image_manifests (app_id, process_type, digest, media_type, artifact_type,
                                          subject, size_bytes, parts, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
             ON CONFLICT (app_id, process_type, digest)
             DO UPDATE SET media_type = excluded.media_type",
        )
        .bind(app.clone())
        .bind(process_type.clone())
        .bind(new.digest.clone())
        .bind(new.media_type.clone())
        .bind(new.artifact_type.clone())
        .bind(new.subject.clone())
        .bind(size)
        .bind(json!(new.parts).to_string())
        .bind(now);
        write.run(manifest).await?;
        let blob = query(NEW_BLOB).bind(app.clone()).bind(new.digest.clone());
        write.run(blob.bind(size).bind(now)).await?;
        if let Some(tag) = &new.tag {
            let tag = query(
                "INSERT INTO image_tags (app_id, process_type, name, digest, updated_at)
                 VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (app_id, process_type, name)
                 DO UPDATE SET digest = excluded.digest, updated_at = excluded.updated_at",
            )
            .bind(app)
            .bind(process_type)
            .bind(tag.clone())
            .bind(new.digest.clone())
            .bind(now);
            write.run(tag).await?;
        }
        write
            .commit(Happening {
                kind: "image.push",
                app: Some(new.app),
                subject: new.digest.clone(),
                details: json!({ "process_type": new.process_type, "tag": new.tag }),
            })
            .await
    }

    /// A manifest by its digest or a tag.
    pub async fn image_manifest(
        &self,
        app: AppId,
        process_type: &ProcessType,
        name: &str,
    ) -> Result<Option<ImageManifest>> {
        let statement = query(
            "SELECT * FROM image_manifests
             WHERE app_id = $1 AND process_type = $2
               AND (digest = $3 OR digest = (SELECT digest FROM image_tags
                    WHERE app_id = $1 AND process_type = $2 AND name = $3))",
        )
        .bind(app.to_string())
        .bind(process_type.to_string())
        .bind(name.to_owned());
        optional(self.backend.reader(), statement).await
    }

    /// All manifests of a process type, oldest first.
    pub async fn image_manifests(
        &self,
        app: AppId,
        process_type: &ProcessType,
    ) -> Result<Vec<ImageManifest>> {
        let statement = query(
            "SELECT * FROM image_manifests
             WHERE app_id = $1 AND process_type = $2 ORDER BY created_at, digest",
        )
        .bind(app.to_string())
        .bind(process_type.to_string());
        list(self.backend.reader(), statement).await
    }

    /// What is attached to a manifest.
    pub async fn image_referrers(
        &self,
        app: AppId,
        process_type: &ProcessType,
        subject: &str,
    ) -> Result<Vec<ImageManifest>> {
        let statement = query(
            "SELECT * FROM image_manifests
             WHERE app_id = $1 AND process_type = $2 AND subject = $3 ORDER BY digest",
        )
        .bind(app.to_string())
        .bind(process_type.to_string())
        .bind(subject.to_owned());
        list(self.backend.reader(), statement).await
    }

    /// The tags of a process type's images, by name.
    pub async fn image_tags(
        &self,
        app: AppId,
        process_type: &ProcessType,
    ) -> Result<Vec<ImageTag>> {
        let statement =
            query("SELECT * FROM image_tags WHERE app_id = $1 AND process_type = $2 ORDER BY name")
                .bind(app.to_string())
                .bind(process_type.to_string());
        list(self.backend.reader(), statement).await
    }

    /// Removes a tag, or a manifest with its tags; whether there was one.
    pub async fn delete_image_manifest(
        &self,
        change: &Change,
        app: AppId,
        process_type: &ProcessType,
        name: &str,
    ) -> Result<bool> {
        let mut write = self.write_app(change, app).await?;
        let mut removed = 0;
        for statement in [
            "DELETE FROM image_tags
             WHERE app_id = $1 AND process_type = $2 AND (name = $3 OR digest = $3)",
            "DELETE FROM image_manifests
             WHERE app_id = $1 AND process_type = $2 AND digest = $3",
        ] {
            let statement = query(statement)
                .bind(app.to_string())
                .bind(process_type.to_string())
                .bind(name.to_owned());
            removed += write.run(statement).await?;
        }
        write
            .commit(Happening {
                kind: "image.delete",
                app: Some(app),
                subject: name.to_owned(),
                details: json!({ "process_type": process_type }),
            })
            .await?;
        Ok(removed > 0)
    }

    /// Forgets the blobs that no manifest of their app is made of, if they came before `before`;
    /// how many.
    pub async fn forget_unused_image_blobs(&self, change: &Change, before: Time) -> Result<u64> {
        // All that may change what is used waits for the lock of its app; a blob that came long
        // ago and is used by nothing is pushed again by who needs it.
        let manifests: Vec<ImageManifest> = list(
            self.backend.reader(),
            query("SELECT * FROM image_manifests"),
        )
        .await?;
        let mut used = BTreeSet::new();
        for manifest in manifests {
            for digest in std::iter::once(manifest.digest).chain(manifest.parts) {
                used.insert((manifest.app, digest));
            }
        }
        let old = query("SELECT app_id, digest FROM image_blobs WHERE created_at < $1");
        let old: Vec<OwnBlob> = list(self.backend.reader(), old.bind(before.as_micros())).await?;
        let unused: Vec<OwnBlob> = old
            .into_iter()
            .filter(|blob| !used.contains(&(blob.app, blob.digest.clone())))
            .collect();
        if unused.is_empty() {
            return Ok(0);
        }
        let mut write = self.write(change).await?;
        let mut removed = 0;
        for blob in unused {
            let statement = query("DELETE FROM image_blobs WHERE app_id = $1 AND digest = $2")
                .bind(blob.app.to_string())
                .bind(blob.digest);
            removed += write.run(statement).await?;
        }
        write
            .commit(Happening {
                kind: "image-blobs.forget",
                app: None,
                subject: "image blobs".to_owned(),
                details: json!({ "count": removed }),
            })
            .await?;
        Ok(removed)
    }

    /// The digests of all blobs that some app may read; others may be collected.
    pub async fn image_blobs_in_use(&self) -> Result<BTreeSet<String>> {
        let names: Vec<Name> = list(
            self.backend.reader(),
            query("SELECT DISTINCT digest FROM image_blobs"),
        )
        .await?;
        Ok(names.into_iter().map(|Name(digest)| digest).collect())
    }
}
