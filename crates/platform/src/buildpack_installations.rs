//! Buildpack installations: which buildpacks build an app, in order. None means: detect.

use api::buildpack_installations::BuildpackUpdates;
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

    /// Replaces an app's buildpacks; the next build uses them.
    ///
    /// # Errors
    /// `Invalid` for one that is neither `namespace/name` nor an https URL.
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
    let is_word = |word: &str| {
        word.bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphanumeric())
            && word
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    let is_name = name
        .split_once('/')
        .is_some_and(|(space, name)| is_word(space) && is_word(name));
    let is_url = name.starts_with("https://")
        && name.len() > "https://".len()
        && name.bytes().all(|b| b.is_ascii_graphic());
    if is_name || is_url {
        Ok(name.to_owned())
    } else {
        Err(Error::Invalid {
            message: format!(
                "`{text}` is not a known buildpack: give a name such as heroku/python or an https URL"
            ),
        })
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
        for refused in [
            "",
            "python",
            "a/b/c",
            "../x",
            "http://example.com/a",
            "https://",
            "file:///x",
            "https://a b",
        ] {
            check(refused, None);
        }
    }
}
