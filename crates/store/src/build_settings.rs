//! Build settings of apps, and what a slug's watched files were. What any of it means is not known
//! here.

use api::{
    build_settings::BuildSettings,
    ids::{AppId, SlugId},
};
use serde_json::json;
use sqlx::query;

use crate::{
    Change, Result, Store, StoreError,
    columns::{Columns, Record, optional, required},
    write::Happening,
};

struct Kept(BuildSettings);

impl Record for Kept {
    const RESOURCE: &'static str = "app";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        let Some(text) = columns.optional_text("build_settings")? else {
            return Ok(Self(BuildSettings::default()));
        };
        let unreadable = |_| StoreError::Unreadable {
            resource: Self::RESOURCE,
            column: "build_settings",
        };
        serde_json::from_str(&text).map(Self).map_err(unreadable)
    }
}

struct WatchDigest(Option<String>);

impl Record for WatchDigest {
    const RESOURCE: &'static str = "slug";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        columns.optional_text("watch_digest").map(Self)
    }
}

const SELECT: &str = "SELECT build_settings FROM apps WHERE id = $1";

impl Store {
    /// An app's build settings.
    pub async fn build_settings(&self, app: AppId) -> Result<BuildSettings> {
        let statement = query(SELECT).bind(app.to_string());
        let Kept(settings) = required(self.backend.reader(), statement, app).await?;
        Ok(settings)
    }

    /// Gives an app other build settings, made of those it has.
    ///
    /// # Errors
    /// [`StoreError::Stale`] when it has others by now than `former`.
    pub async fn set_build_settings(
        &self,
        change: &Change,
        app: AppId,
        (former, settings): (&BuildSettings, &BuildSettings),
    ) -> Result<()> {
        let mut write = self.write_app(change, app).await?;
        let present = write
            .find::<Kept>(query(SELECT).bind(app.to_string()))
            .await?;
        if present.is_none_or(|Kept(present)| present != *former) {
            return Err(StoreError::Stale {
                resource: "build settings of app",
                key: app.to_string(),
            });
        }
        let text = (*settings != BuildSettings::default()).then(|| json!(settings).to_string());
        let statement = query("UPDATE apps SET build_settings = $2, updated_at = $3 WHERE id = $1")
            .bind(app.to_string())
            .bind(text)
            .bind(write.now.as_micros());
        write.run(statement).await?;
        write
            .commit(Happening {
                kind: "build-settings.update",
                app: Some(app),
                subject: app.to_string(),
                details: json!(settings),
            })
            .await
    }

    /// Notes what a slug's watched files were.
    pub async fn note_watch_digest(
        &self,
        change: &Change,
        (app, slug): (AppId, SlugId),
        digest: &str,
    ) -> Result<()> {
        let mut write = self.write_app(change, app).await?;
        let statement = query("UPDATE slugs SET watch_digest = $3 WHERE app_id = $1 AND id = $2")
            .bind(app.to_string())
            .bind(slug.to_string())
            .bind(digest.to_owned());
        if write.run(statement).await? == 0 {
            return Err(StoreError::not_found("slug", &slug));
        }
        write
            .commit(Happening {
                kind: "slug.watched",
                app: Some(app),
                subject: slug.to_string(),
                details: json!({ "watch_digest": digest }),
            })
            .await
    }

    /// What a slug's watched files were, if it had any.
    pub async fn watch_digest(&self, slug: SlugId) -> Result<Option<String>> {
        let statement =
            query("SELECT watch_digest FROM slugs WHERE id = $1").bind(slug.to_string());
        let found: Option<WatchDigest> = optional(self.backend.reader(), statement).await?;
        Ok(found.and_then(|WatchDigest(digest)| digest))
    }
}
