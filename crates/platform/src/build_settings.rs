//! Build settings: what may be set, and whether what is live need not be built again.
//!
//! What they do with a source is the builder's. Read [`Platform::update_build_settings`].

use api::{build_settings::BuildSettings, ids::AppId};
use builder::check_watch_paths;
use serde_json::{Map, Value};
use store::{App, Release, ReleaseStatus, StoreError};

use crate::{
    Caller, Platform,
    error::{Error, Result},
    merge::merged,
};

/// Most config vars that are named.
const MAX_NAMES: usize = 200;
/// Most bytes that watch paths come to.
const MAX_WATCH_BYTES: usize = 16 * 1024;

/// What is live, and what its watched files were.
pub(crate) struct Watched {
    pub(crate) release: Release,
    pub(crate) digest: String,
}

impl Platform {
    /// An app's build settings.
    pub async fn build_settings(&self, app: &App) -> Result<BuildSettings> {
        Ok(self.store.build_settings(app.id).await?)
    }

    /// Changes build settings: what is left out stays, `null` is as if it were never set. The next
    /// build heeds them.
    ///
    /// # Errors
    /// `Invalid` with the setting and what is wrong with it; `Conflict` when somebody else changes
    /// them at the same time.
    pub async fn update_build_settings(
        &self,
        caller: &Caller,
        app: &App,
        update: Map<String, Value>,
    ) -> Result<BuildSettings> {
        let former = self.store.build_settings(app.id).await?;
        let settings: BuildSettings = merged(&former, update, "build")?;
        check(&settings)?;
        self.store
            .set_build_settings(&caller.change(), app.id, (&former, &settings))
            .await?;
        Ok(settings)
    }

    /// What is live, if it was built with watch paths.
    pub(crate) async fn watched(&self, app: AppId) -> Result<Option<Watched>> {
        let current = match self.store.current_release(app).await {
            Err(StoreError::NotFound { .. }) => None,
            current => current?,
        };
        let live = current.filter(|release| release.status == ReleaseStatus::Succeeded);
        let Some((release, slug)) = live.and_then(|release| Some((release.clone(), release.slug?)))
        else {
            return Ok(None);
        };
        let digest = self.store.watch_digest(slug).await?;
        Ok(digest.map(|digest| Watched { release, digest }))
    }
}

/// What the types do not see to.
fn check(settings: &BuildSettings) -> Result<()> {
    let BuildSettings {
        config_vars,
        root_directory: _,
        watch_paths,
    } = settings;
    let invalid = |message: String| Err(Error::Invalid { message });
    if let Some(api::build_settings::BuildConfigVars::Named(names)) = config_vars
        && names.len() > MAX_NAMES
    {
        return invalid(format!("config_vars: at most {MAX_NAMES} names."));
    }
    let bytes: usize = watch_paths.iter().map(String::len).sum();
    if bytes > MAX_WATCH_BYTES {
        return invalid(format!("watch_paths: at most {MAX_WATCH_BYTES} bytes."));
    }
    if watch_paths
        .iter()
        .any(|path| path.trim().is_empty() || path.contains(['\n', '\0']))
    {
        return invalid("watch_paths: each is one pattern, such as services/api.".to_owned());
    }
    check_watch_paths(watch_paths).or_else(|error| invalid(format!("watch_paths: {error}.")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn update(former: &BuildSettings, update: Value) -> Result<BuildSettings, String> {
        let Value::Object(update) = update else {
            panic!("settings by name")
        };
        let settings = merged(former, update, "build").map_err(|error| error.to_string())?;
        check(&settings).map_err(|error| error.to_string())?;
        Ok(settings)
    }

    #[test]
    fn settings_change_by_name() {
        let set = json!({"root_directory": "api/", "watch_paths": ["api", "!*.md"]});
        let settings = update(&BuildSettings::default(), set).unwrap();
        assert_eq!(settings.root_directory.as_ref().unwrap().as_str(), "api");
        let settings = update(&settings, json!({"root_directory": null})).unwrap();
        assert_eq!(settings.root_directory, None);
        assert_eq!(settings.watch_paths, ["api", "!*.md"]);
        let settings = update(&settings, json!({"watch_paths": null})).unwrap();
        assert_eq!(settings, BuildSettings::default());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (settings, expected) in [
            (
                json!({"root_directory": "../other"}),
                "These are no build settings: `../other` is not a directory within the source",
            ),
            (
                json!({"root": "a"}),
                "These are no build settings: unknown field `root`",
            ),
            (json!({"root": null}), "There is no build setting root."),
            (
                json!({"watch_paths": [" "]}),
                "watch_paths: each is one pattern",
            ),
            (
                json!({"watch_paths": ["a[z-b]"]}),
                "watch_paths: line 1 is no pattern: a[z-b].",
            ),
            (
                json!({"watch_paths": ["x".repeat(MAX_WATCH_BYTES + 1)]}),
                "watch_paths: at most 16384 bytes.",
            ),
            (
                json!({"config_vars": ["A B"]}),
                "These are no build settings: ",
            ),
        ] {
            let error = update(&BuildSettings::default(), settings.clone()).unwrap_err();
            assert!(error.starts_with(expected), "{settings}: {error}");
        }
    }
}
