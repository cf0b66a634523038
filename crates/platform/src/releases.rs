//! Releases: making them, rolling back, waiting until they are live or failed.

use std::collections::BTreeMap;

use api::{
    ids::{AppId, ReleaseId, SlugId},
    names::ProcessType,
};
use futures_util::stream::BoxStream;
use logs::LogSource;
use store::{NewRelease, Release, ReleaseStatus, Slug};

use crate::{
    Caller, Platform,
    error::{Error, Result},
    slugs::check_is_uploaded,
};

impl Platform {
    /// All releases of an app.
    pub async fn releases(&self, app: AppId) -> Result<Vec<Release>> {
        Ok(self.store.releases(app).await?)
    }

    /// One release by number (with or without `v`) or id.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn release(&self, app: AppId, version_or_id: &str) -> Result<Release> {
        let missing = || Error::NotFound {
            resource: "release",
            name: version_or_id.to_owned(),
        };
        if let Ok(id) = version_or_id.parse::<ReleaseId>() {
            return Ok(self.store.release(app, id).await?);
        }
        let digits = version_or_id.strip_prefix('v').unwrap_or(version_or_id);
        let version: u64 = digits.parse().map_err(|_| missing())?;
        Ok(self.store.release_by_version(app, version).await?)
    }

    /// Releases a slug of the app.
    ///
    /// # Errors
    /// `NotFound` when the slug is not the app's, `Invalid` when it awaits its archive.
    pub async fn create_release(
        &self,
        caller: &Caller,
        app: AppId,
        slug: SlugId,
        description: Option<String>,
    ) -> Result<Release> {
        let found = self.store.slug(slug).await?;
        if found.app != app {
            return Err(Error::NotFound {
                resource: "slug",
                name: slug.to_string(),
            });
        }
        check_is_uploaded(&found)?;
        let description = description.unwrap_or_else(|| {
            let commit = found.commit.as_deref().unwrap_or("slug");
            format!("Deploy {}", commit.get(..8).unwrap_or(commit))
        });
        let new = NewRelease {
            app,
            account: caller.account,
            description,
            slug: Some(slug),
            config_updates: None,
            config_replacement: None,
            output_stream: has_release_phase(&found),
        };
        self.add_release(caller, new).await
    }

    /// Changes config vars, which makes a release; a value of `None` removes the var. Without a
    /// real change no release is made and the newest one is returned.
    pub async fn set_config_vars(
        &self,
        caller: &Caller,
        app: AppId,
        updates: BTreeMap<String, Option<String>>,
    ) -> Result<Release> {
        let present = self.store.config_vars(app).await?;
        let is_change = updates
            .iter()
            .any(|(name, value)| present.get(name) != value.as_ref());
        if !is_change && let Some(newest) = self.store.newest_release(app).await? {
            return Ok(newest);
        }
        let new = NewRelease {
            app,
            account: caller.account,
            description: describe(&updates),
            slug: None,
            config_updates: Some(updates),
            config_replacement: None,
            output_stream: self.keeps_release_phase(app).await?,
        };
        self.add_release(caller, new).await
    }

    /// Makes a release like an earlier one: its slug and its config vars.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for a release that failed or never had a slug.
    pub async fn rollback(&self, caller: &Caller, app: AppId, target: &str) -> Result<Release> {
        let target = self.release(app, target).await?;
        let Some(slug) = target.slug else {
            return Err(Error::Invalid {
                message: format!("Cannot roll back to v{}: it has no slug.", target.version),
            });
        };
        if target.status != ReleaseStatus::Succeeded {
            return Err(Error::Invalid {
                message: format!(
                    "Cannot roll back to v{}: it {}.",
                    target.version,
                    if target.status == ReleaseStatus::Failed {
                        "failed"
                    } else {
                        "is not live yet"
                    }
                ),
            });
        }
        let found = self.store.slug(slug).await?;
        check_is_uploaded(&found)?;
        let new = NewRelease {
            app,
            account: caller.account,
            description: format!("Rollback to v{}", target.version),
            slug: Some(slug),
            config_updates: None,
            config_replacement: Some(self.store.release_config_vars(target.id).await?),
            output_stream: has_release_phase(&found),
        };
        self.add_release(caller, new).await
    }

    /// What the release phase printed, live while it runs.
    pub fn release_output(
        &self,
        release: ReleaseId,
        offset: u64,
    ) -> BoxStream<'static, std::io::Result<Vec<u8>>> {
        self.outputs.read(release.as_uuid(), offset)
    }

    /// Waits until the release is live or has failed. Safe to drop.
    pub async fn await_release(&self, app: AppId, id: ReleaseId) -> Result<Release> {
        let mut changes = self.nudges.changes();
        loop {
            changes.borrow_and_update();
            let release = self.store.release(app, id).await?;
            if release.status != ReleaseStatus::Pending {
                return Ok(release);
            }
            if changes.changed().await.is_err() {
                return Ok(release);
            }
        }
    }

    pub(crate) async fn add_release(&self, caller: &Caller, new: NewRelease) -> Result<Release> {
        let release = self.store.create_release(&caller.change(), &new).await?;
        self.announce_release(caller, &release).await;
        Ok(release)
    }

    /// Tells the app's log of a new release, and has it brought live.
    pub(crate) async fn announce_release(&self, caller: &Caller, release: &Release) {
        let app = release.app;
        let by = format!("by user {}", caller.email);
        self.say(
            app,
            LogSource::App,
            "api",
            format!("{} {by}", release.description),
        )
        .await;
        let text = format!("Release v{} created {by}", release.version);
        self.say(app, LogSource::App, "api", text).await;
        self.nudges.nudge(app);
    }

    /// Whether a release that keeps the newest slug has a release phase.
    async fn keeps_release_phase(&self, app: AppId) -> Result<bool> {
        let releases = self.store.releases(app).await?;
        let newest = releases
            .iter()
            .rev()
            .find(|r| r.status != ReleaseStatus::Failed);
        match newest.and_then(|release| release.slug) {
            Some(slug) => Ok(has_release_phase(&self.store.slug(slug).await?)),
            None => Ok(false),
        }
    }
}

/// Whether a slug declares a release phase command.
pub(crate) fn has_release_phase(slug: &Slug) -> bool {
    slug.process_types.keys().any(ProcessType::is_release)
}

/// `Set A, B config vars`, `Remove C config vars`: Heroku's words.
fn describe(updates: &BTreeMap<String, Option<String>>) -> String {
    let names = |set: bool| {
        let chosen = updates.iter().filter(|(_, value)| value.is_some() == set);
        chosen
            .map(|(name, _)| name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    let (set, removed) = (names(true), names(false));
    match (set.is_empty(), removed.is_empty()) {
        (false, false) => format!("Set {set} and remove {removed} config vars"),
        (false, true) => format!("Set {set} config vars"),
        _ => format!("Remove {removed} config vars"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn config_changes_are_described_without_values() {
        let check = |updates: &[(&str, Option<&str>)], expected: &str| {
            let updates = updates
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned)))
                .collect();
            assert_eq!(describe(&updates), expected);
        };
        check(
            &[("A", Some("secret")), ("B", Some("x"))],
            "Set A, B config vars",
        );
        check(&[("A", None)], "Remove A config vars");
        check(
            &[("A", None), ("B", Some("x"))],
            "Set B and remove A config vars",
        );
    }
}
