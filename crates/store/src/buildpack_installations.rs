//! Buildpack installations: the ordered list of buildpacks chosen for an app.

use api::ids::{AppId, BuildpackInstallationId};
use serde_json::json;
use sqlx::query;

use crate::{
    Change, Result, Store,
    columns::{Columns, Record, list},
    write::Happening,
};

/// A buildpack chosen for an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildpackInstallation {
    /// Its id.
    pub id: BuildpackInstallationId,
    /// Chosen for which app.
    pub app: AppId,
    /// Its place, from 0.
    pub ordinal: u32,
    /// A URL or a shorthand such as `heroku/python`.
    pub url: String,
}

impl Record for BuildpackInstallation {
    const RESOURCE: &'static str = "buildpack installation";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        Ok(Self {
            id: columns.parsed("id")?,
            app: columns.parsed("app_id")?,
            ordinal: columns.number("ordinal")?,
            url: columns.text("url")?,
        })
    }
}

impl Store {
    /// An app's buildpacks in order; empty means that they are detected.
    pub async fn buildpacks(&self, app: AppId) -> Result<Vec<BuildpackInstallation>> {
        let statement =
            query("SELECT * FROM buildpack_installations WHERE app_id = $1 ORDER BY ordinal")
                .bind(app.to_string());
        list(self.backend.reader(), statement).await
    }

    /// Replaces an app's whole list of buildpacks.
    pub async fn replace_buildpacks(
        &self,
        change: &Change,
        app: AppId,
        urls: &[String],
    ) -> Result<Vec<BuildpackInstallation>> {
        let mut write = self.write_app(change, app).await?;
        let clear = query("DELETE FROM buildpack_installations WHERE app_id = $1");
        write.run(clear.bind(app.to_string())).await?;
        let mut installations = Vec::with_capacity(urls.len());
        for (ordinal, url) in (0..).zip(urls) {
            let installation = BuildpackInstallation {
                id: BuildpackInstallationId::new(),
                app,
                ordinal,
                url: url.clone(),
            };
            let statement = query(
                "INSERT INTO buildpack_installations (id, app_id, ordinal, url)
                 VALUES ($1, $2, $3, $4)",
            )
            .bind(installation.id.to_string())
            .bind(app.to_string())
            .bind(i64::from(ordinal))
            .bind(url.clone());
            write.run(statement).await?;
            installations.push(installation);
        }
        write
            .commit(Happening {
                kind: "buildpack-installation.update",
                app: Some(app),
                subject: app.to_string(),
                details: json!({ "count": urls.len() }),
            })
            .await?;
        Ok(installations)
    }
}
