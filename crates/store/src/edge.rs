//! Edge settings, sealed as a whole: header values may be secrets. What any of it means is not known
//! here.

use api::{edge::Edge, ids::AppId};
use serde_json::json;
use sqlx::query;

use crate::{
    Change, Result, Store, StoreError,
    columns::{Columns, Record, required},
    seal::{DataKey, Purpose},
    write::Happening,
};

struct SealedEdge(Option<String>);

impl Record for SealedEdge {
    const RESOURCE: &'static str = "app";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        columns.optional_text("edge").map(Self)
    }
}

impl SealedEdge {
    fn open(self, key: &DataKey) -> Result<Edge> {
        let Some(sealed) = self.0 else {
            return Ok(Edge::default());
        };
        let text = key.open(Purpose::Edge, &sealed)?;
        serde_json::from_str(&text).map_err(|_| StoreError::Unreadable {
            resource: Self::RESOURCE,
            column: "edge",
        })
    }
}

impl Store {
    /// An app's edge settings.
    pub async fn edge(&self, app: AppId) -> Result<Edge> {
        let statement = query("SELECT edge FROM apps WHERE id = $1").bind(app.to_string());
        let sealed: SealedEdge = required(self.backend.reader(), statement, app).await?;
        if sealed.0.is_none() {
            return Ok(Edge::default());
        }
        sealed.open(&self.data_key(app).await?)
    }

    /// Gives an app other edge settings, made of those it has. `names` are those of the settings
    /// that differ: all that may be told of it.
    ///
    /// # Errors
    /// [`StoreError::Stale`] when it has others by now than `former`.
    pub async fn set_edge(
        &self,
        change: &Change,
        app: AppId,
        (former, edge): (&Edge, &Edge),
        names: &[String],
    ) -> Result<()> {
        let mut write = self.write_app(change, app).await?;
        let key = self.data_key_in(&mut write, app).await?;
        let statement = query("SELECT edge FROM apps WHERE id = $1").bind(app.to_string());
        let present = write.find::<SealedEdge>(statement).await?;
        let present = present.map(|sealed| sealed.open(&key)).transpose()?;
        if present.as_ref() != Some(former) {
            return Err(StoreError::Stale {
                resource: "edge settings of app",
                key: app.to_string(),
            });
        }
        let sealed =
            (!edge.is_default()).then(|| key.seal(Purpose::Edge, &json!(edge).to_string()));
        let statement = query("UPDATE apps SET edge = $2, updated_at = $3 WHERE id = $1")
            .bind(app.to_string())
            .bind(sealed)
            .bind(write.now.as_micros());
        write.run(statement).await?;
        write
            .commit(Happening {
                kind: "edge.update",
                app: Some(app),
                subject: app.to_string(),
                details: json!({ "settings": names }),
            })
            .await
    }
}
