//! App features: switches an app has set. What features exist is not known here.

use api::{clock::Time, ids::AppId};
use serde_json::json;
use sqlx::query;

use crate::{
    Change, Result, Store,
    columns::{Columns, Record, list, required},
    write::Happening,
};

/// A switch that was set for an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppFeature {
    /// Whose switch.
    pub app: AppId,
    /// The feature's name.
    pub name: String,
    /// How it is set.
    pub enabled: bool,
    /// When it was first set.
    pub created_at: Time,
    /// When it was last set.
    pub updated_at: Time,
}

impl Record for AppFeature {
    const RESOURCE: &'static str = "app feature";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        Ok(Self {
            app: columns.parsed("app_id")?,
            name: columns.text("name")?,
            enabled: columns.flag("enabled")?,
            created_at: columns.time("created_at")?,
            updated_at: columns.time("updated_at")?,
        })
    }
}

impl Store {
    /// The features an app has set, by name; the others have their defaults.
    pub async fn app_features(&self, app: AppId) -> Result<Vec<AppFeature>> {
        let statement = query("SELECT * FROM app_features WHERE app_id = $1").bind(app.to_string());
        let mut features: Vec<AppFeature> = list(self.backend.reader(), statement).await?;
        features.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(features)
    }

    /// Sets a feature of an app.
    pub async fn update_app_feature(
        &self,
        change: &Change,
        app: AppId,
        name: &str,
        enabled: bool,
    ) -> Result<AppFeature> {
        let mut write = self.write_app(change, app).await?;
        let statement = query(
            "INSERT INTO app_features (app_id, name, enabled, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $4)
             ON CONFLICT (app_id, name)
             DO UPDATE SET enabled = excluded.enabled, updated_at = excluded.updated_at",
        )
        .bind(app.to_string())
        .bind(name.to_owned())
        .bind(i64::from(enabled))
        .bind(write.now.as_micros());
        write.run(statement).await?;
        let statement = query("SELECT * FROM app_features WHERE app_id = $1 AND name = $2")
            .bind(app.to_string())
            .bind(name.to_owned());
        let feature = required(write.connection(), statement, name).await?;
        write
            .commit(Happening {
                kind: "app-feature.update",
                app: Some(app),
                subject: name.to_owned(),
                details: json!({ "enabled": enabled }),
            })
            .await?;
        Ok(feature)
    }
}
