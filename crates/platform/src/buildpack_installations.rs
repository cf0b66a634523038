//! Buildpack installations: which buildpacks build an app, in order. None means: detect.

use api::buildpack_installations::BuildpackUpdates;
use builder::packs::{Known, location::Location};
use store::{App, BuildpackInstallation};

use crate::{
    Platform,
    caller::Caller,
    error::{Error, Result},
};

/// More buildpacks for one app are refused (Heroku: 50).
const MOST_BUILDPACKS: usize = 50;

impl Platform {
    /// An app's buildpacks, in order.
    pub async fn buildpacks(&self, app: &App) -> Result<Vec<BuildpackInstallation>> {
        Ok(self.store.buildpacks(app.id).await?)
    }

    /// All buildpacks that have a name on this platform.
    pub async fn known_buildpacks(&self) -> Result<Vec<Known>> {
        Ok(self.builder.known_buildpacks().await?)
    }

    /// Replaces an app's buildpacks; the next build uses them.
    ///
    /// # Errors
    /// `Invalid` for one that is neither `namespace/name` nor the URL of a repository or archive.
    pub async fn replace_buildpacks(
        &self,
        caller: &Caller,
        app: &App,
        updates: BuildpackUpdates,
    ) -> Result<Vec<BuildpackInstallation>> {
        if updates.updates.len() > MOST_BUILDPACKS {
            return Err(Error::Invalid {
                message: format!("An app can have at most {MOST_BUILDPACKS} buildpacks"),
            });
        }
        let urls: Vec<String> = updates
            .updates
            .iter()
            .map(|update| location(&update.buildpack))
            .collect::<Result<_>>()?;
        Ok(self
            .store
            .replace_buildpacks(&caller.change(), app.id, &urls)
            .await?)
    }
}

/// The name or URL without the prefix that some clients put before names.
fn location(text: &str) -> Result<String> {
    let text = text.trim();
    let name = text.strip_prefix("urn:buildpack:").unwrap_or(text);
    match Location::parse(name) {
        Ok(_) => Ok(name.to_owned()),
        Err(error) => Err(Error::Invalid {
            message: error.to_string(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(location(text).ok().as_deref(), expected, "{text:?}");
    }

    #[test]
    fn names_and_urls() {
        check("heroku/python", Some("heroku/python"));
        check("urn:buildpack:heroku/nodejs", Some("heroku/nodejs"));
        check(
            "https://example.com/a.git#main",
            Some("https://example.com/a.git#main"),
        );
        for refused in ["", "python", "file:///x", "https://127.0.0.1/a.git"] {
            check(refused, None);
        }
    }
}
