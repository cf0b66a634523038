//! What is kept of how builds went, and the sources they can be done again from.
//!
//! The builder takes the notes; here they are compared with the last build's and kept. A record
//! that cannot be written fails no build.

use std::time::Duration;

use api::{
    build_records::{BuildCourse, BuildRecord},
    builds::{BuildCause, BuildStatus},
    ids::AppId,
    references::UserReference,
};
use builder::{Journal, Noted};
use store::{Build, DynoState, Release};

use crate::{Platform, caller::system_change, error::Result};

/// What the marks of values in records are made with.
const MARK_PURPOSE: &str = "build record";

impl Platform {
    /// How a build went, as far as that is known.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn build_record(&self, app: AppId, number_or_id: &str) -> Result<BuildRecord> {
        let build = self.find_build(app, number_or_id).await?;
        let kept = self.store.build_record(build.id).await?;
        let noted: Option<Noted> = kept.and_then(|kept| serde_json::from_str(&kept.record).ok());
        let account = self.account(build.account).await?;
        let user = UserReference {
            id: account.id,
            email: account.email,
        };
        let is_replayable = self.kept_source(&build).await?.is_some();
        let course = noted.map_or_else(BuildCourse::default, |noted| noted.course);
        Ok(shown(build, user, is_replayable, course))
    }

    /// The layer of a build's source, if it is still there.
    pub(crate) async fn kept_source(&self, build: &Build) -> Result<Option<String>> {
        let kept = self.store.build_record(build.id).await?;
        let layer = kept.and_then(|kept| kept.source_layer);
        Ok(layer.filter(|key| self.builder.layers().path(key).is_dir()))
    }

    /// Takes notes of a build of an app.
    pub(crate) fn journal(&self, app: AppId) -> Journal {
        Journal::new(&self.settings.secret_for(MARK_PURPOSE, &app.to_string()))
    }

    /// Where the time of a finished release went: until its last web dyno answered, and then until
    /// it had the requests.
    pub(crate) async fn note_release(
        &self,
        journal: &Journal,
        release: &Release,
        finished: &Release,
    ) -> Result<()> {
        let dynos = self.store.dynos(release.app).await?;
        let answered = dynos
            .iter()
            .filter(|dyno| dyno.release == release.id && dyno.process_type.is_web())
            .filter(|dyno| dyno.state == DynoState::Up)
            .map(|dyno| dyno.state_changed_at)
            .max();
        let (from, to) = (release.created_at, finished.updated_at);
        let up = answered.unwrap_or(to).clamp(from, to.max(from));
        journal.spend("boot", up.since(from));
        journal.spend(
            "switch",
            if answered.is_some() {
                to.since(up)
            } else {
                Duration::ZERO
            },
        );
        Ok(())
    }

    /// Keeps the notes of a build that has come to its end, whichever.
    pub(crate) async fn keep_build_record(&self, build: &Build, journal: &Journal) {
        if let Err(error) = self.try_to_keep(build, journal).await {
            tracing::warn!(build = %build.id, error = &error as &dyn std::error::Error, "cannot keep the record of a build");
        }
    }

    async fn try_to_keep(&self, build: &Build, journal: &Journal) -> Result<()> {
        let former = self.store.newest_build_record(build.app, build.id).await?;
        let former: Option<Noted> =
            former.and_then(|former| serde_json::from_str(&former.record).ok());
        let mut noted = journal.noted(former.as_ref());
        if let Some(former) = former {
            // A build that failed early says nothing of the steps that it did not come to.
            for (step, inputs) in former.inputs {
                noted.inputs.entry(step).or_insert(inputs);
            }
        }
        let kept = store::BuildRecord {
            build: build.id,
            source_layer: noted.source_layer.clone(),
            record: serde_json::to_string(&noted).unwrap_or_default(),
        };
        let change = system_change("the build has ended");
        self.store
            .keep_build_record(&change, build.app, &kept)
            .await?;
        Ok(())
    }
}

fn shown(
    build: Build,
    user: UserReference,
    is_replayable: bool,
    course: BuildCourse,
) -> BuildRecord {
    BuildRecord {
        id: build.id,
        number: build.number,
        cause: cause(build.cause),
        rebuild_of: build.rebuild_of,
        user,
        version: build.commit,
        stack: build.stack.to_string(),
        status: match build.status {
            store::BuildStatus::Pending => BuildStatus::Pending,
            store::BuildStatus::Succeeded => BuildStatus::Succeeded,
            store::BuildStatus::Failed => BuildStatus::Failed,
        },
        failure_message: build.failure_message,
        created_at: build.created_at,
        is_replayable,
        course,
    }
}

/// The cause of a build, as the API says it.
pub fn cause(cause: store::BuildCause) -> BuildCause {
    match cause {
        store::BuildCause::Push => BuildCause::Push,
        store::BuildCause::Archive => BuildCause::Archive,
        store::BuildCause::Webhook => BuildCause::Webhook,
        store::BuildCause::Url => BuildCause::Url,
        store::BuildCause::Rebuild => BuildCause::Rebuild,
    }
}

/// The cause that a client says a build has; only the platform itself builds again.
pub fn cause_told(cause: Option<BuildCause>) -> store::BuildCause {
    match cause {
        None | Some(BuildCause::Archive | BuildCause::Rebuild) => store::BuildCause::Archive,
        Some(BuildCause::Push) => store::BuildCause::Push,
        Some(BuildCause::Webhook) => store::BuildCause::Webhook,
        Some(BuildCause::Url) => store::BuildCause::Url,
    }
}
