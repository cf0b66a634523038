//! Log drains: where log lines are sent to, sealed, because an address may hold a password.

use api::{
    clock::Time,
    ids::{AppId, LogDrainId},
};
use serde_json::json;
use sqlx::query;

use crate::{
    Change, Result, Store, StoreError,
    columns::{Columns, Record, list},
    seal::Purpose,
    write::Happening,
};

/// A place that gets an app's log lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDrain {
    /// Its id.
    pub id: LogDrainId,
    /// Whose lines.
    pub app: AppId,
    /// By which its receiver tells drains apart.
    pub token: String,
    /// When it was added.
    pub created_at: Time,
    /// When it last changed.
    pub updated_at: Time,
    sealed_url: String,
}

impl Record for LogDrain {
    const RESOURCE: &'static str = "log drain";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        Ok(Self {
            id: columns.parsed("id")?,
            app: columns.parsed("app_id")?,
            token: columns.text("token")?,
            created_at: columns.time("created_at")?,
            updated_at: columns.time("updated_at")?,
            sealed_url: columns.text("sealed_url")?,
        })
    }
}

impl Store {
    /// Adds a drain under a token of its own.
    pub async fn create_log_drain(
        &self,
        change: &Change,
        app: AppId,
        (token, url): (&str, &str),
    ) -> Result<LogDrain> {
        let mut write = self.write_app(change, app).await?;
        let key = self.data_key_in(&mut write, app).await?;
        let id = LogDrainId::new();
        let drain = LogDrain {
            id,
            app,
            token: token.to_owned(),
            created_at: write.now,
            updated_at: write.now,
            sealed_url: key.seal(Purpose::LogDrain(id), url),
        };
        let statement = query(
            "INSERT INTO log_drains (id, app_id, token, sealed_url, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $5)",
        )
        .bind(id.to_string())
        .bind(app.to_string())
        .bind(drain.token.clone())
        .bind(drain.sealed_url.clone())
        .bind(write.now.as_micros());
        write.run(statement).await?;
        write.commit(happening("log-drain.create", &drain)).await?;
        Ok(drain)
    }

    /// An app's drains, oldest first.
    pub async fn log_drains(&self, app: AppId) -> Result<Vec<LogDrain>> {
        let statement = query("SELECT * FROM log_drains WHERE app_id = $1 ORDER BY created_at, id")
            .bind(app.to_string());
        list(self.backend.reader(), statement).await
    }

    /// The drains of all apps, oldest first.
    pub async fn all_log_drains(&self) -> Result<Vec<LogDrain>> {
        let statement = query("SELECT * FROM log_drains ORDER BY created_at, id");
        list(self.backend.reader(), statement).await
    }

    /// Where a drain leads.
    pub async fn log_drain_url(&self, drain: &LogDrain) -> Result<String> {
        let key = self.data_key(drain.app).await?;
        key.open(Purpose::LogDrain(drain.id), &drain.sealed_url)
    }

    /// Removes a drain.
    pub async fn delete_log_drain(&self, change: &Change, drain: &LogDrain) -> Result<()> {
        let mut write = self.write_app(change, drain.app).await?;
        let statement = query("DELETE FROM log_drains WHERE id = $1").bind(drain.id.to_string());
        if write.run(statement).await? == 0 {
            return Err(StoreError::not_found(LogDrain::RESOURCE, &drain.id));
        }
        write.commit(happening("log-drain.destroy", drain)).await
    }
}

fn happening(kind: &'static str, drain: &LogDrain) -> Happening {
    Happening {
        kind,
        app: Some(drain.app),
        subject: drain.id.to_string(),
        details: json!({ "token": drain.token }),
    }
}
