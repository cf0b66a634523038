//! Slugs: built apps, as lists of layers. The layers themselves are not kept here.

use std::collections::{BTreeMap, BTreeSet};

use api::{
    clock::Time,
    ids::{AppId, SlugId},
    names::{ProcessType, StackName},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::query;

use crate::{
    Change, Result, Store, StoreError,
    columns::{Columns, Record, list, required, to_number},
    write::{Happening, Write},
};

/// Stands for the stack of slugs that run from images.
pub const CONTAINER_STACK: &str = "container";

/// What a process type of a slug runs from, if not from the stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlugImage {
    /// The digest of its configuration.
    pub id: String,
    /// The digest of its manifest.
    pub manifest: String,
    /// Layer keys, lowest first: its root filesystem.
    pub layers: Vec<String>,
    /// Variable → value, below the slug's own.
    pub env: BTreeMap<String, String>,
    /// What arguments are given to.
    pub entrypoint: Vec<String>,
    /// The arguments.
    pub command: Vec<String>,
    /// Where it starts.
    pub working_directory: String,
}

/// A built app. Never changes, but for the archive that one made over the API waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slug {
    /// Its id.
    pub id: SlugId,
    /// Built for which app.
    pub app: AppId,
    /// Runs on this stack.
    pub stack: StackName,
    /// The commit it was built from.
    pub commit: Option<String>,
    /// What the commit is about.
    pub commit_description: Option<String>,
    /// What the buildpack calls it: `Python`. Empty when nobody said.
    pub language: String,
    /// Layer keys, lowest first.
    pub layers: Vec<String>,
    /// Process type → command.
    pub process_types: BTreeMap<ProcessType, String>,
    /// What its process types run from in place of the stack; empty unless that is
    /// [`CONTAINER_STACK`].
    pub images: BTreeMap<ProcessType, SlugImage>,
    /// Variable → value, below the config vars.
    pub env: BTreeMap<String, String>,
    /// Size of its layers.
    pub size_bytes: u64,
    /// Of its layers, as the builder writes it, or of its archive. While the archive is awaited,
    /// what it must be; empty for any.
    pub checksum: String,
    /// Whether its archive is still to come; it cannot run before.
    pub awaits_archive: bool,
    /// When it was made.
    pub created_at: Time,
    /// When its archive came, or it was made.
    pub updated_at: Time,
    /// When it was given up to make room; it can be released no more.
    pub removed_at: Option<Time>,
}

/// A slug to keep; fields as in [`Slug`].
#[derive(Clone, Debug)]
pub struct NewSlug {
    /// Built for which app.
    pub app: AppId,
    /// Runs on this stack.
    pub stack: StackName,
    /// The commit it was built from.
    pub commit: Option<String>,
    /// What the buildpack calls it.
    pub language: String,
    /// Layer keys, lowest first.
    pub layers: Vec<String>,
    /// Process type → command.
    pub process_types: BTreeMap<ProcessType, String>,
    /// What its process types run from in place of the stack.
    pub images: BTreeMap<ProcessType, SlugImage>,
    /// Variable → value, below the config vars.
    pub env: BTreeMap<String, String>,
    /// Size of its layers.
    pub size_bytes: u64,
    /// Of its layers.
    pub checksum: String,
}

/// What a slug's archive was found to hold; fields as in [`Slug`].
#[derive(Clone, Debug)]
pub struct SlugContents {
    /// Layer keys, lowest first.
    pub layers: Vec<String>,
    /// Variable → value, below the config vars.
    pub env: BTreeMap<String, String>,
    /// Size of its layers.
    pub size_bytes: u64,
    /// Of the archive.
    pub checksum: String,
}

impl Record for Slug {
    const RESOURCE: &'static str = "slug";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        Ok(Self {
            id: columns.parsed("id")?,
            app: columns.parsed("app_id")?,
            stack: columns.parsed("stack")?,
            commit: columns.optional_text("commit_hash")?,
            commit_description: columns.optional_text("commit_description")?,
            language: columns.text("language")?,
            layers: columns.json("layers")?,
            process_types: columns.json("process_types")?,
            images: columns.json("images")?,
            env: columns.json("env")?,
            size_bytes: columns.number("size_bytes")?,
            checksum: columns.text("checksum")?,
            awaits_archive: columns.flag("awaits_archive")?,
            created_at: columns.time("created_at")?,
            updated_at: columns.time("updated_at")?,
            removed_at: columns.optional_time("removed_at")?,
        })
    }
}

impl Slug {
    /// Whether it runs from images, and not on a stack.
    pub fn is_container(&self) -> bool {
        self.stack.as_str() == CONTAINER_STACK
    }
}

/// Where a new slug comes from.
enum Origin {
    Build,
    Archive { commit_description: Option<String> },
}

struct Layers(Vec<String>);

impl Record for Layers {
    const RESOURCE: &'static str = "slug";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        columns.json("layers").map(Self)
    }
}

impl Store {
    /// Keeps a slug.
    pub async fn create_slug(&self, change: &Change, new: &NewSlug) -> Result<Slug> {
        self.insert_slug(change, new, &Origin::Build).await
    }

    /// Keeps a slug whose archive is still to come. Its layers are empty, its checksum is what the
    /// archive must have, or empty.
    pub async fn create_awaiting_slug(
        &self,
        change: &Change,
        new: &NewSlug,
        commit_description: Option<String>,
    ) -> Result<Slug> {
        let origin = Origin::Archive { commit_description };
        self.insert_slug(change, new, &origin).await
    }

    async fn insert_slug(&self, change: &Change, new: &NewSlug, origin: &Origin) -> Result<Slug> {
        let size_bytes = to_number(new.size_bytes, "slug size")?;
        let (awaits_archive, commit_description) = match origin {
            Origin::Build => (false, None),
            Origin::Archive { commit_description } => (true, commit_description.clone()),
        };
        let mut write = self.write_app(change, new.app).await?;
        let id = SlugId::new();
        let statement = query(
            "INSERT INTO slugs (id, app_id, stack, commit_hash, commit_description, language,
                                layers, process_types, env, size_bytes, checksum, awaits_archive,
                                created_at, updated_at, images)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13, $14)",
        )
        .bind(id.to_string())
        .bind(new.app.to_string())
        .bind(new.stack.to_string())
        .bind(new.commit.clone())
        .bind(commit_description)
        .bind(new.language.clone())
        .bind(json!(new.layers).to_string())
        .bind(json!(new.process_types).to_string())
        .bind(json!(new.env).to_string())
        .bind(size_bytes)
        .bind(new.checksum.clone())
        .bind(i64::from(awaits_archive))
        .bind(write.now.as_micros())
        .bind(json!(new.images).to_string());
        write.run(statement).await?;
        let slug = slug_row(&mut write, new.app, id).await?;
        write.commit(told("slug.create", &slug)).await?;
        Ok(slug)
    }

    /// Gives another app the same slug: its layers, process types and environment.
    ///
    /// # Errors
    /// [`StoreError::Stale`] when it awaits its archive or was given up.
    pub async fn copy_slug(&self, change: &Change, from: SlugId, app: AppId) -> Result<Slug> {
        let mut write = self.write_app(change, app).await?;
        let id = SlugId::new();
        let statement = query(
            "INSERT INTO slugs (id, app_id, stack, commit_hash, commit_description, language,
                                layers, process_types, env, size_bytes, checksum, awaits_archive,
                                created_at, updated_at)
             SELECT $1, $2, stack, commit_hash, commit_description, language, layers,
                    process_types, env, size_bytes, checksum, 0, $4, $4
             FROM slugs WHERE id = $3 AND awaits_archive = 0 AND removed_at IS NULL",
        )
        .bind(id.to_string())
        .bind(app.to_string())
        .bind(from.to_string())
        .bind(write.now.as_micros());
        if write.run(statement).await? == 0 {
            return Err(StoreError::stale("slug", &from));
        }
        let slug = slug_row(&mut write, app, id).await?;
        write.commit(told("slug.copy", &slug)).await?;
        Ok(slug)
    }

    /// Gives a slug that awaits its archive what that holds.
    ///
    /// # Errors
    /// [`StoreError::Stale`] when it has its archive already.
    pub async fn fill_slug(
        &self,
        change: &Change,
        id: SlugId,
        contents: &SlugContents,
    ) -> Result<Slug> {
        let size_bytes = to_number(contents.size_bytes, "slug size")?;
        let mut write = self.write(change).await?;
        let found = query("SELECT * FROM slugs WHERE id = $1").bind(id.to_string());
        let app = required::<Slug>(write.connection(), found, id).await?.app;
        write.lock_app(app).await?;
        let statement = query(
            "UPDATE slugs SET layers = $2, env = $3, size_bytes = $4, checksum = $5,
                              awaits_archive = 0, updated_at = $6
             WHERE id = $1 AND awaits_archive = 1",
        )
        .bind(id.to_string())
        .bind(json!(contents.layers).to_string())
        .bind(json!(contents.env).to_string())
        .bind(size_bytes)
        .bind(contents.checksum.clone())
        .bind(write.now.as_micros());
        if write.run(statement).await? == 0 {
            return Err(StoreError::stale("slug", &id));
        }
        let slug = slug_row(&mut write, app, id).await?;
        write.commit(told("slug.update", &slug)).await?;
        Ok(slug)
    }

    /// The slug with this id.
    pub async fn slug(&self, id: SlugId) -> Result<Slug> {
        let statement = query("SELECT * FROM slugs WHERE id = $1").bind(id.to_string());
        required(self.backend.reader(), statement, id).await
    }

    /// An app's slugs, oldest first.
    pub async fn slugs(&self, app: AppId) -> Result<Vec<Slug>> {
        let statement = query("SELECT * FROM slugs WHERE app_id = $1 ORDER BY created_at, id")
            .bind(app.to_string());
        list(self.backend.reader(), statement).await
    }

    /// The slugs of all apps that are not given up, by app and then oldest first.
    pub async fn kept_slugs(&self) -> Result<Vec<Slug>> {
        let statement =
            query("SELECT * FROM slugs WHERE removed_at IS NULL ORDER BY app_id, created_at, id");
        list(self.backend.reader(), statement).await
    }

    /// Gives a slug up: from now on no release can be made of it, and nobody keeps its layers.
    /// Says whether it could be: one that serves or is being released cannot.
    pub async fn give_up_slug(&self, change: &Change, app: AppId, id: SlugId) -> Result<bool> {
        let mut write = self.write_app(change, app).await?;
        let statement = query(
            "UPDATE slugs SET removed_at = $3
             WHERE app_id = $1 AND id = $2 AND removed_at IS NULL AND NOT EXISTS (
                 SELECT 1 FROM releases
                 WHERE slug_id = $2 AND (is_current = 1 OR status = 'pending'))",
        )
        .bind(app.to_string())
        .bind(id.to_string())
        .bind(write.now.as_micros());
        if write.run(statement).await? == 0 {
            return Ok(false);
        }
        let slug = slug_row(&mut write, app, id).await?;
        write.commit(told("slug.remove", &slug)).await?;
        Ok(true)
    }

    /// The keys of all layers that some slug needs; others may be collected.
    pub async fn layer_keys_in_use(&self) -> Result<BTreeSet<String>> {
        let statement = query("SELECT layers FROM slugs WHERE removed_at IS NULL");
        let layers: Vec<Layers> = list(self.backend.reader(), statement).await?;
        Ok(layers.into_iter().flat_map(|Layers(keys)| keys).collect())
    }
}

fn told(kind: &'static str, slug: &Slug) -> Happening {
    Happening {
        kind,
        app: Some(slug.app),
        subject: slug.id.to_string(),
        details: json!({ "commit": slug.commit, "language": slug.language,
            "checksum": slug.checksum, "size_bytes": slug.size_bytes,
            "awaits_archive": slug.awaits_archive }),
    }
}

/// A slug, if it is of this app.
pub(crate) async fn slug_row(write: &mut Write<'_>, app: AppId, id: SlugId) -> Result<Slug> {
    let statement = query("SELECT * FROM slugs WHERE app_id = $1 AND id = $2")
        .bind(app.to_string())
        .bind(id.to_string());
    required(write.connection(), statement, id).await
}
