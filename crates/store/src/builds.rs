//! Builds: attempts to turn a source into a slug.

use api::{
    clock::Time,
    ids::{AccountId, AppId, BuildId, ReleaseId, SlugId, SourceId},
    names::StackName,
};
use serde_json::json;
use sqlx::query;

use crate::{
    Change, NewRelease, Release, Result, Store, StoreError,
    columns::{Columns, Record, list, required},
    seal::Purpose,
    slugs::slug_row,
    words::words,
    write::{Happening, Write},
};

words! {
    /// How far a build has come.
    BuildStatus {
        /// It runs, or waits to.
        Pending = "pending",
        /// It made a slug.
        Succeeded = "succeeded",
        /// It made none.
        Failed = "failed",
    }
}

words! {
    /// What a build was asked for by.
    BuildCause {
        /// A `git push`.
        Push = "push",
        /// An archive that was uploaded.
        Archive = "archive",
        /// A webhook of a code host.
        Webhook = "webhook",
        /// A git URL that somebody named.
        Url = "url",
        /// Somebody who wants an earlier build again.
        Rebuild = "rebuild",
    }
}

/// A build of one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Build {
    /// Its id.
    pub id: BuildId,
    /// Counts the app's builds from 1.
    pub number: u64,
    /// What it was asked for by.
    pub cause: BuildCause,
    /// The number of the build whose source is built again.
    pub rebuild_of: Option<u64>,
    /// For which app.
    pub app: AppId,
    /// Who started it.
    pub account: AccountId,
    /// On which stack.
    pub stack: StackName,
    /// The uploaded source, if it was uploaded here.
    pub source: Option<SourceId>,
    /// Where the source is fetched from; sealed at rest, for such URLs often carry a secret.
    pub source_url: Option<String>,
    /// The version of the source: a commit.
    pub commit: Option<String>,
    /// The buildpacks asked for; empty means that they are detected.
    pub buildpacks: Vec<String>,
    /// How far it has come.
    pub status: BuildStatus,
    /// What it made.
    pub slug: Option<SlugId>,
    /// The release that was made of its slug.
    pub release: Option<ReleaseId>,
    /// Why it failed.
    pub failure_message: Option<String>,
    /// When it was made.
    pub created_at: Time,
    /// When its status last changed.
    pub updated_at: Time,
}

/// A build to make; fields as in [`Build`].
#[derive(Clone)]
pub struct NewBuild {
    /// For which app.
    pub app: AppId,
    /// Who starts it.
    pub account: AccountId,
    /// On which stack.
    pub stack: StackName,
    /// The uploaded source.
    pub source: Option<SourceId>,
    /// Where the source is fetched from.
    pub source_url: Option<String>,
    /// The version of the source.
    pub commit: Option<String>,
    /// The buildpacks asked for.
    pub buildpacks: Vec<String>,
    /// What it is asked for by.
    pub cause: BuildCause,
    /// The number of the build whose source is built again.
    pub rebuild_of: Option<u64>,
}

/// How a build ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuildOutcome {
    /// It made a slug.
    Succeeded {
        /// A slug of the same app.
        slug: SlugId,
        /// The release of that slug, if it was made before.
        release: Option<ReleaseId>,
    },
    /// It made none.
    Failed {
        /// Why, for people.
        message: String,
    },
}

/// A build whose source URL is still sealed, with what opens it.
struct SealedBuild {
    build: Build,
    data_key: String,
}

impl Record for SealedBuild {
    const RESOURCE: &'static str = "build";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        let build = Build {
            id: columns.parsed("id")?,
            number: columns.number("number")?,
            cause: columns.parsed("cause")?,
            rebuild_of: columns.optional_number("rebuild_of")?,
            app: columns.parsed("app_id")?,
            account: columns.parsed("account_id")?,
            stack: columns.parsed("stack")?,
            source: columns.optional_parsed("source_id")?,
            source_url: columns.optional_text("sealed_source_url")?,
            commit: columns.optional_text("commit_hash")?,
            buildpacks: columns.json("buildpacks")?,
            status: columns.parsed("status")?,
            slug: columns.optional_parsed("slug_id")?,
            release: columns.optional_parsed("release_id")?,
            failure_message: columns.optional_text("failure_message")?,
            created_at: columns.time("created_at")?,
            updated_at: columns.time("updated_at")?,
        };
        Ok(Self {
            build,
            data_key: columns.text("data_key")?,
        })
    }
}

/// Every query for builds starts with this.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT builds.*, apps.data_key FROM builds JOIN apps ON apps.id = builds.app_id ",
            $rest
        )
    };
}

impl Store {
    /// Makes a build, pending.
    pub async fn create_build(&self, change: &Change, new: &NewBuild) -> Result<Build> {
        let mut write = self.write_app(change, new.app).await?;
        let id = BuildId::new();
        let key = self.data_key_in(&mut write, new.app).await?;
        let sealed_url = new
            .source_url
            .as_ref()
            .map(|url| key.seal(Purpose::SourceUrl(id), url));
        let statement = query(
            "INSERT INTO builds (id, app_id, account_id, stack, source_id, sealed_source_url,
                                 commit_hash, buildpacks, status, created_at, updated_at, cause,
                                 rebuild_of, number)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, $11, $12,
                     (SELECT COALESCE(MAX(number), 0) + 1 FROM builds WHERE app_id = $2))",
        )
        .bind(id.to_string())
        .bind(new.app.to_string())
        .bind(new.account.to_string())
        .bind(new.stack.to_string())
        .bind(new.source.map(|source| source.to_string()))
        .bind(sealed_url)
        .bind(new.commit.clone())
        .bind(json!(new.buildpacks).to_string())
        .bind(BuildStatus::Pending.as_str())
        .bind(write.now.as_micros())
        .bind(new.cause.as_str())
        .bind(new.rebuild_of.map(u64::cast_signed));
        write.run(statement).await?;
        let build = self.build_in(&mut write, id).await?;
        let details = json!({ "stack": build.stack, "commit": build.commit });
        write
            .commit(happening("build.create", &build, details))
            .await?;
        Ok(build)
    }

    /// Ends a pending build.
    ///
    /// # Errors
    /// [`StoreError::Stale`] when it was finished before.
    pub async fn finish_build(
        &self,
        change: &Change,
        id: BuildId,
        outcome: &BuildOutcome,
    ) -> Result<Build> {
        let mut write = self.write(change).await?;
        self.finish_pending(&mut write, id, outcome).await?;
        let build = self.build_in(&mut write, id).await?;
        write.commit(finished(&build)).await?;
        Ok(build)
    }

    /// Ends a pending build successfully and makes the release of its slug, both or neither.
    ///
    /// `new` must name the build's app and the slug.
    ///
    /// # Errors
    /// [`StoreError::Stale`] when the build was finished before.
    pub async fn finish_build_with_release(
        &self,
        change: &Change,
        id: BuildId,
        new: &NewRelease,
    ) -> Result<(Build, Release)> {
        let mut write = self.write_app(change, new.app).await?;
        let (release, release_created) = self.insert_release(&mut write, new).await?;
        let slug = release
            .slug
            .ok_or_else(|| StoreError::not_found("slug", &id))?;
        let outcome = BuildOutcome::Succeeded {
            slug,
            release: Some(release.id),
        };
        self.finish_pending(&mut write, id, &outcome).await?;
        let build = self.build_in(&mut write, id).await?;
        write.tell(finished(&build)).await?;
        write.commit(release_created).await?;
        Ok((build, release))
    }

    /// A build of an app.
    pub async fn build(&self, app: AppId, id: BuildId) -> Result<Build> {
        let statement = query(select!("WHERE builds.app_id = $1 AND builds.id = $2"))
            .bind(app.to_string())
            .bind(id.to_string());
        self.open_build(required(self.backend.reader(), statement, id).await?)
    }

    /// A build of an app by its number.
    pub async fn build_by_number(&self, app: AppId, number: u64) -> Result<Build> {
        let wanted = i64::try_from(number).unwrap_or(i64::MAX);
        let statement = query(select!("WHERE builds.app_id = $1 AND builds.number = $2"))
            .bind(app.to_string())
            .bind(wanted);
        self.open_build(required(self.backend.reader(), statement, number).await?)
    }

    /// An app's builds, oldest first.
    pub async fn builds(&self, app: AppId) -> Result<Vec<Build>> {
        let statement = query(select!(
            "WHERE builds.app_id = $1 ORDER BY builds.created_at, builds.id"
        ))
        .bind(app.to_string());
        let builds: Vec<SealedBuild> = list(self.backend.reader(), statement).await?;
        builds
            .into_iter()
            .map(|build| self.open_build(build))
            .collect()
    }

    /// The unfinished builds of all apps, oldest first: to be failed or resumed after a restart.
    pub async fn pending_builds(&self) -> Result<Vec<Build>> {
        let statement = query(select!(
            "WHERE builds.status = 'pending' ORDER BY builds.created_at, builds.id"
        ));
        let builds: Vec<SealedBuild> = list(self.backend.reader(), statement).await?;
        builds
            .into_iter()
            .map(|build| self.open_build(build))
            .collect()
    }

    async fn build_in(&self, write: &mut Write<'_>, id: BuildId) -> Result<Build> {
        let statement = query(select!("WHERE builds.id = $1")).bind(id.to_string());
        self.open_build(required(write.connection(), statement, id).await?)
    }

    fn open_build(&self, sealed: SealedBuild) -> Result<Build> {
        let mut build = sealed.build;
        if let Some(url) = build.source_url.take() {
            let key = self.root_key.data_key(build.app, &sealed.data_key)?;
            build.source_url = Some(key.open(Purpose::SourceUrl(build.id), &url)?);
        }
        Ok(build)
    }

    /// Sets the outcome of a build that must be pending; the caller tells the event.
    async fn finish_pending(
        &self,
        write: &mut Write<'_>,
        id: BuildId,
        outcome: &BuildOutcome,
    ) -> Result<()> {
        let app = self.build_in(write, id).await?.app;
        write.lock_app(app).await?;
        let (status, slug, release, message) = match outcome {
            BuildOutcome::Succeeded { slug, release } => {
                let slug = slug_row(write, app, *slug).await?.id;
                (BuildStatus::Succeeded, Some(slug), *release, None)
            }
            BuildOutcome::Failed { message } => {
                (BuildStatus::Failed, None, None, Some(message.clone()))
            }
        };
        let statement = query(
            "UPDATE builds SET status = $2, slug_id = $3, release_id = $4, failure_message = $5,
                               updated_at = $6
             WHERE id = $1 AND status = 'pending'",
        )
        .bind(id.to_string())
        .bind(status.as_str())
        .bind(slug.map(|slug| slug.to_string()))
        .bind(release.map(|release| release.to_string()))
        .bind(message)
        .bind(write.now.as_micros());
        match write.run(statement).await? {
            0 => Err(StoreError::stale("build", &id)),
            _ => Ok(()),
        }
    }
}

fn finished(build: &Build) -> Happening {
    let details = json!({ "status": build.status, "slug": build.slug, "release": build.release,
        "failure_message": build.failure_message });
    happening("build.update", build, details)
}

fn happening(kind: &'static str, build: &Build, details: serde_json::Value) -> Happening {
    Happening {
        kind,
        app: Some(build.app),
        subject: build.id.to_string(),
        details,
    }
}
