//! Build records: what is kept of how a build went. The text is the platform's; it is opaque here.

use std::collections::BTreeMap;

use api::ids::{AppId, BuildId};
use serde_json::json;
use sqlx::query;

use crate::{
    Change, Result, Store,
    columns::{Columns, Record, list, optional},
    write::Happening,
};

/// What is kept of one build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildRecord {
    /// Of which build.
    pub build: BuildId,
    /// The layer of its source.
    pub source_layer: Option<String>,
    /// JSON. Must not hold secrets: it is not sealed.
    pub record: String,
}

impl Record for BuildRecord {
    const RESOURCE: &'static str = "build record";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        Ok(Self {
            build: columns.parsed("build_id")?,
            source_layer: columns.optional_text("source_layer")?,
            record: columns.text("record")?,
        })
    }
}

/// The layer of one build's source.
struct SourceLayer(AppId, String);

impl Record for SourceLayer {
    const RESOURCE: &'static str = "build record";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        Ok(Self(
            columns.parsed("app_id")?,
            columns.text("source_layer")?,
        ))
    }
}

impl Store {
    /// Keeps how a build went, in the place of what was kept of it before.
    ///
    /// # Errors
    /// `NotFound` when the app is gone.
    pub async fn keep_build_record(
        &self,
        change: &Change,
        app: AppId,
        kept: &BuildRecord,
    ) -> Result<()> {
        let mut write = self.write_app(change, app).await?;
        let statement = query(
            "INSERT INTO build_records (build_id, source_layer, record) VALUES ($1, $2, $3)
             ON CONFLICT (build_id) DO UPDATE SET source_layer = $2, record = $3",
        )
        .bind(kept.build.to_string())
        .bind(kept.source_layer.clone())
        .bind(kept.record.clone());
        write.run(statement).await?;
        write
            .commit(Happening {
                kind: "build.record",
                app: Some(app),
                subject: kept.build.to_string(),
                details: json!({}),
            })
            .await
    }

    /// What is kept of a build, if anything.
    pub async fn build_record(&self, build: BuildId) -> Result<Option<BuildRecord>> {
        let statement =
            query("SELECT * FROM build_records WHERE build_id = $1").bind(build.to_string());
        optional(self.backend.reader(), statement).await
    }

    /// What is kept of the newest build of an app of which anything is, but for one build.
    pub async fn newest_build_record(
        &self,
        app: AppId,
        but_for: BuildId,
    ) -> Result<Option<BuildRecord>> {
        let statement = query(
            "SELECT build_records.* FROM build_records
             JOIN builds ON builds.id = build_records.build_id
             WHERE builds.app_id = $1 AND builds.id <> $2
             ORDER BY builds.number DESC LIMIT 1",
        )
        .bind(app.to_string())
        .bind(but_for.to_string());
        optional(self.backend.reader(), statement).await
    }

    /// App → layers of the sources of its builds, newest first, each once for every build.
    pub async fn source_layers(&self) -> Result<BTreeMap<AppId, Vec<String>>> {
        let statement = query(
            "SELECT builds.app_id, build_records.source_layer FROM build_records
             JOIN builds ON builds.id = build_records.build_id
             WHERE build_records.source_layer IS NOT NULL
             ORDER BY builds.app_id, builds.number DESC",
        );
        let rows: Vec<SourceLayer> = list(self.backend.reader(), statement).await?;
        let mut layers: BTreeMap<AppId, Vec<String>> = BTreeMap::new();
        for SourceLayer(app, key) in rows {
            layers.entry(app).or_default().push(key);
        }
        Ok(layers)
    }
}
