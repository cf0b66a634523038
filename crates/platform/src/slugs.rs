//! Slugs: built apps. Builds make them; here they are shown.

use api::ids::SlugId;
use store::{App, Slug};

use crate::{
    Platform,
    error::{Error, Result},
};

impl Platform {
    /// One of an app's slugs.
    pub async fn slug(&self, app: &App, id: &str) -> Result<Slug> {
        let missing = || Error::NotFound {
            resource: "slug",
            name: id.to_owned(),
        };
        let parsed: SlugId = id.parse().map_err(|_| missing())?;
        let slug = self.store.slug(parsed).await?;
        if slug.app == app.id {
            Ok(slug)
        } else {
            Err(missing())
        }
    }
}
