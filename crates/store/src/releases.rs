//! Releases: a slug and the config vars it runs with, numbered per app.
//!
//! A release is made pending and finished once. At most one release of an app is current, and the
//! current one never moves back to an older version except by a new release that rolls back.

use std::{collections::BTreeMap, fmt};

use api::{
    clock::Time,
    ids::{AccountId, AppId, ReleaseId, SlugId},
};
use serde_json::json;
use sqlx::query;

use crate::{
    Change, Result, Store, StoreError,
    columns::{Columns, Record, list, optional, required},
    config_vars::{self, ConfigDifference, ConfigVars},
    formations::{self, FormationDifference},
    seal::Purpose,
    slugs::slug_row,
    words::words,
    write::{Happening, Write},
};

words! {
    /// How far a release has come.
    ReleaseStatus {
        /// Its release phase has not ended.
        Pending = "pending",
        /// It is, or was, live.
        Succeeded = "succeeded",
        /// It never went live.
        Failed = "failed",
    }
}

/// A numbered release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Its id.
    pub id: ReleaseId,
    /// Of which app.
    pub app: AppId,
    /// 1, 2, … within the app.
    pub version: u64,
    /// Who made it.
    pub account: AccountId,
    /// What it runs; none before the first build.
    pub slug: Option<SlugId>,
    /// What it brings: `Deploy 1a2b3c4d`, `Set A, B config vars`.
    pub description: String,
    /// How far it has come.
    pub status: ReleaseStatus,
    /// Whether this is the app's live release.
    pub is_current: bool,
    /// Why it failed.
    pub failure_message: Option<String>,
    /// Whether it has a release phase with output to read.
    pub output_stream: bool,
    /// When it was made.
    pub created_at: Time,
    /// When its status last changed.
    pub updated_at: Time,
}

/// A release to make.
#[derive(Clone)]
pub struct NewRelease {
    /// Of which app.
    pub app: AppId,
    /// Who makes it.
    pub account: AccountId,
    /// What it brings, without values of config vars.
    pub description: String,
    /// A slug of the app; `None` keeps the slug of the newest release that has not failed.
    pub slug: Option<SlugId>,
    /// Config vars to set, and with `None` to remove.
    pub config_updates: Option<BTreeMap<String, Option<String>>>,
    /// All config vars anew, for a rollback; `config_updates` apply on top.
    pub config_replacement: Option<BTreeMap<String, String>>,
    /// Whether it has a release phase.
    pub output_stream: bool,
}

impl fmt::Debug for NewRelease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewRelease")
            .field("app", &self.app)
            .field("description", &self.description)
            .field("slug", &self.slug)
            .finish_non_exhaustive()
    }
}

/// How a release ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReleaseOutcome {
    /// It goes live now.
    Succeeded,
    /// It never will.
    Failed {
        /// Why, for people.
        message: String,
    },
}

impl Record for Release {
    const RESOURCE: &'static str = "release";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        Ok(Self {
            id: columns.parsed("id")?,
            app: columns.parsed("app_id")?,
            version: columns.number("version")?,
            account: columns.parsed("account_id")?,
            slug: columns.optional_parsed("slug_id")?,
            description: columns.text("description")?,
            status: columns.parsed("status")?,
            is_current: columns.flag("is_current")?,
            failure_message: columns.optional_text("failure_message")?,
            output_stream: columns.flag("output_stream")?,
            created_at: columns.time("created_at")?,
            updated_at: columns.time("updated_at")?,
        })
    }
}

struct SealedSnapshot {
    app: AppId,
    sealed: String,
}

impl Record for SealedSnapshot {
    const RESOURCE: &'static str = "release";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        Ok(Self {
            app: columns.parsed("app_id")?,
            sealed: columns.text("sealed_config_vars")?,
        })
    }
}

impl Store {
    /// Makes the app's next release, pending, with a snapshot of the config vars it runs with.
    ///
    /// Changed config vars become the app's at once, whether or not the release succeeds.
    pub async fn create_release(&self, change: &Change, new: &NewRelease) -> Result<Release> {
        let mut write = self.write_app(change, new.app).await?;
        let (release, happening) = self.insert_release(&mut write, new).await?;
        write.commit(happening).await?;
        Ok(release)
    }

    /// Ends a pending release. Success makes it current, and the app's formation follows its slug.
    ///
    /// # Errors
    /// [`StoreError::Stale`] when it was finished before, or when it succeeded after a newer
    /// release went live; in the second case the caller finishes it as failed.
    pub async fn finish_release(
        &self,
        change: &Change,
        id: ReleaseId,
        outcome: &ReleaseOutcome,
    ) -> Result<Release> {
        let mut write = self.write(change).await?;
        let app = release_row(&mut write, id).await?.app;
        write.lock_app(app).await?;
        let release = release_row(&mut write, id).await?;
        if release.status != ReleaseStatus::Pending {
            return Err(StoreError::stale("release", &id));
        }
        let formation = match outcome {
            ReleaseOutcome::Succeeded => make_current(&mut write, &release).await?,
            ReleaseOutcome::Failed { message } => {
                let statement = query(
                    "UPDATE releases SET status = $2, failure_message = $3, updated_at = $4
                     WHERE id = $1",
                )
                .bind(id.to_string())
                .bind(ReleaseStatus::Failed.as_str())
                .bind(message.clone())
                .bind(write.now.as_micros());
                write.run(statement).await?;
                FormationDifference::default()
            }
        };
        let release = release_row(&mut write, id).await?;
        write
            .commit(Happening {
                kind: "release.update",
                app: Some(app),
                subject: id.to_string(),
                details: json!({ "version": release.version, "status": release.status,
                    "failure_message": release.failure_message,
                    "added_process_types": formation.added,
                    "removed_process_types": formation.removed }),
            })
            .await?;
        Ok(release)
    }

    /// A release of an app.
    pub async fn release(&self, app: AppId, id: ReleaseId) -> Result<Release> {
        let statement = query("SELECT * FROM releases WHERE app_id = $1 AND id = $2")
            .bind(app.to_string())
            .bind(id.to_string());
        required(self.backend.reader(), statement, id).await
    }

    /// A release of an app by its number.
    pub async fn release_by_version(&self, app: AppId, version: u64) -> Result<Release> {
        let statement = query("SELECT * FROM releases WHERE app_id = $1 AND version = $2")
            .bind(app.to_string())
            .bind(i64::try_from(version).unwrap_or(i64::MAX));
        required(self.backend.reader(), statement, format!("v{version}")).await
    }

    /// A release, of whichever app.
    pub async fn release_by_id(&self, id: ReleaseId) -> Result<Release> {
        let statement = query("SELECT * FROM releases WHERE id = $1").bind(id.to_string());
        required(self.backend.reader(), statement, id).await
    }

    /// An app's releases, oldest first.
    pub async fn releases(&self, app: AppId) -> Result<Vec<Release>> {
        let statement = query("SELECT * FROM releases WHERE app_id = $1 ORDER BY version")
            .bind(app.to_string());
        list(self.backend.reader(), statement).await
    }

    /// The app's live release.
    pub async fn current_release(&self, app: AppId) -> Result<Option<Release>> {
        let statement = query("SELECT * FROM releases WHERE app_id = $1 AND is_current = 1")
            .bind(app.to_string());
        optional(self.backend.reader(), statement).await
    }

    /// The newest release of an app, whatever its status.
    pub async fn newest_release(&self, app: AppId) -> Result<Option<Release>> {
        let statement =
            query("SELECT * FROM releases WHERE app_id = $1 ORDER BY version DESC LIMIT 1")
                .bind(app.to_string());
        optional(self.backend.reader(), statement).await
    }

    /// The unfinished releases of all apps, oldest first: to be resumed or failed after a restart.
    pub async fn pending_releases(&self) -> Result<Vec<Release>> {
        let statement =
            query("SELECT * FROM releases WHERE status = 'pending' ORDER BY created_at, id");
        list(self.backend.reader(), statement).await
    }

    /// The config vars a release runs with: name → value.
    pub async fn release_config_vars(&self, id: ReleaseId) -> Result<BTreeMap<String, String>> {
        let statement = query("SELECT app_id, sealed_config_vars FROM releases WHERE id = $1")
            .bind(id.to_string());
        let snapshot: SealedSnapshot = required(self.backend.reader(), statement, id).await?;
        let key = self.data_key(snapshot.app).await?;
        let text = key.open(Purpose::ReleaseConfigVars(id), &snapshot.sealed)?;
        let column = "sealed_config_vars";
        serde_json::from_str(&text).map_err(|_| StoreError::Unreadable {
            resource: "release",
            column,
        })
    }

    /// Adds the release and applies its config vars; the caller tells what it returns.
    pub(crate) async fn insert_release(
        &self,
        write: &mut Write<'_>,
        new: &NewRelease,
    ) -> Result<(Release, Happening)> {
        let app = new.app;
        let slug = match new.slug {
            Some(slug) => {
                let row = slug_row(write, app, slug).await?;
                if row.removed_at.is_some() {
                    return Err(StoreError::not_found("slug", &slug));
                }
                Some(row.id)
            }
            None => newest_slug(write, app).await?,
        };
        let key = self.data_key_in(write, app).await?;
        let before = config_vars::current(write, &key, app).await?;
        let after = next_config_vars(&before, new);
        let difference = config_vars::replace(write, (&key, app), &before, &after).await?;
        let id = ReleaseId::new();
        let snapshot = key.seal(Purpose::ReleaseConfigVars(id), &json!(after).to_string());
        let statement = query(
            "INSERT INTO releases (id, app_id, version, account_id, slug_id, description, status,
                sealed_config_vars, output_stream, created_at, updated_at)
             VALUES ($1, $2, (SELECT COALESCE(MAX(version), 0) + 1 FROM releases WHERE app_id = $2),
                $3, $4, $5, $6, $7, $8, $9, $9)",
        )
        .bind(id.to_string())
        .bind(app.to_string())
        .bind(new.account.to_string())
        .bind(slug.map(|slug| slug.to_string()))
        .bind(new.description.clone())
        .bind(ReleaseStatus::Pending.as_str())
        .bind(snapshot)
        .bind(i64::from(new.output_stream))
        .bind(write.now.as_micros());
        write
            .run(statement)
            .await
            .map_err(|e| e.or_conflict("release", &id))?;
        let release = release_row(write, id).await?;
        let happening = created(&release, &difference);
        Ok((release, happening))
    }
}

fn created(release: &Release, config: &ConfigDifference) -> Happening {
    Happening {
        kind: "release.create",
        app: Some(release.app),
        subject: release.id.to_string(),
        details: json!({ "version": release.version, "description": release.description,
            "slug": release.slug, "config_vars_set": config.set,
            "config_vars_unset": config.unset }),
    }
}

fn next_config_vars(before: &ConfigVars, new: &NewRelease) -> ConfigVars {
    let mut vars = new.config_replacement.as_ref().unwrap_or(before).clone();
    for (name, value) in new.config_updates.iter().flatten() {
        match value {
            Some(value) => vars.insert(name.clone(), value.clone()),
            None => vars.remove(name),
        };
    }
    vars
}

async fn release_row(write: &mut Write<'_>, id: ReleaseId) -> Result<Release> {
    let statement = query("SELECT * FROM releases WHERE id = $1").bind(id.to_string());
    required(write.connection(), statement, id).await
}

/// A failed release's slug must not come live by the back door of a config var change.
async fn newest_slug(write: &mut Write<'_>, app: AppId) -> Result<Option<SlugId>> {
    let statement = query(
        "SELECT * FROM releases WHERE app_id = $1 AND status <> 'failed'
         ORDER BY version DESC LIMIT 1",
    )
    .bind(app.to_string());
    Ok(write
        .find::<Release>(statement)
        .await?
        .and_then(|release| release.slug))
}

async fn make_current(write: &mut Write<'_>, release: &Release) -> Result<FormationDifference> {
    let app = release.app;
    let statement =
        query("SELECT * FROM releases WHERE app_id = $1 AND is_current = 1").bind(app.to_string());
    let former: Option<Release> = write.find(statement).await?;
    if former.is_some_and(|former| former.version > release.version) {
        return Err(StoreError::stale("release", &release.id));
    }
    let clear = query("UPDATE releases SET is_current = 0 WHERE app_id = $1 AND is_current = 1");
    write.run(clear.bind(app.to_string())).await?;
    let statement =
        query("UPDATE releases SET status = $2, is_current = 1, updated_at = $3 WHERE id = $1")
            .bind(release.id.to_string())
            .bind(ReleaseStatus::Succeeded.as_str())
            .bind(write.now.as_micros());
    write.run(statement).await?;
    let statement = query("UPDATE apps SET released_at = $2, updated_at = $2 WHERE id = $1")
        .bind(app.to_string())
        .bind(write.now.as_micros());
    write.run(statement).await?;
    let Some(slug) = release.slug else {
        return Ok(FormationDifference::default());
    };
    let slug = slug_row(write, app, slug).await?;
    let statement = query(
        "UPDATE apps SET stack = slugs.stack, slug_size_bytes = slugs.size_bytes,
                         buildpack_provided_description = NULLIF(slugs.language, '')
         FROM slugs WHERE apps.id = $1 AND slugs.id = $2",
    )
    .bind(app.to_string())
    .bind(slug.id.to_string());
    write.run(statement).await?;
    formations::follow_slug(write, &slug).await
}
