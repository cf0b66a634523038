//! Sources: places an archive is uploaded to before it is built.

use api::{
    clock::Time,
    ids::{AccountId, SourceId},
};
use serde_json::json;
use sqlx::query;

use crate::{
    Change, Result, Store, StoreError,
    columns::{Columns, Record, list, required},
    write::Happening,
};

/// A place for an uploaded archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its id.
    pub id: SourceId,
    /// Who asked for it.
    pub account: AccountId,
    /// Hash of the secret in its put and get URLs; see [`crate::hash_token`].
    pub secret_hash: String,
    /// When it was made.
    pub created_at: Time,
}

/// A source to make.
#[derive(Clone, Debug)]
pub struct NewSource {
    /// Who asks for it.
    pub account: AccountId,
    /// Hash of the secret in its URLs.
    pub secret_hash: String,
}

impl Record for Source {
    const RESOURCE: &'static str = "source";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        Ok(Self {
            id: columns.parsed("id")?,
            account: columns.parsed("account_id")?,
            secret_hash: columns.text("secret_hash")?,
            created_at: columns.time("created_at")?,
        })
    }
}

impl Store {
    /// Makes a source.
    pub async fn create_source(&self, change: &Change, new: &NewSource) -> Result<Source> {
        let mut write = self.write(change).await?;
        let source = Source {
            id: SourceId::new(),
            account: new.account,
            secret_hash: new.secret_hash.clone(),
            created_at: write.now,
        };
        let statement = query(
            "INSERT INTO sources (id, account_id, secret_hash, created_at) VALUES ($1, $2, $3, $4)",
        )
        .bind(source.id.to_string())
        .bind(source.account.to_string())
        .bind(source.secret_hash.clone())
        .bind(source.created_at.as_micros());
        write.run(statement).await?;
        write.commit(happening("source.create", source.id)).await?;
        Ok(source)
    }

    /// The source with this id.
    pub async fn source(&self, id: SourceId) -> Result<Source> {
        let statement = query("SELECT * FROM sources WHERE id = $1").bind(id.to_string());
        required(self.backend.reader(), statement, id).await
    }

    /// Sources made before a moment, oldest first, to be swept away.
    pub async fn sources_before(&self, moment: Time) -> Result<Vec<Source>> {
        let statement =
            query("SELECT * FROM sources WHERE created_at < $1 ORDER BY created_at, id")
                .bind(moment.as_micros());
        list(self.backend.reader(), statement).await
    }

    /// Forgets a source; its archive is the caller's to remove.
    pub async fn delete_source(&self, change: &Change, id: SourceId) -> Result<()> {
        let mut write = self.write(change).await?;
        let statement = query("DELETE FROM sources WHERE id = $1").bind(id.to_string());
        if write.run(statement).await? == 0 {
            return Err(StoreError::not_found("source", &id));
        }
        write.commit(happening("source.destroy", id)).await
    }
}

fn happening(kind: &'static str, id: SourceId) -> Happening {
    Happening {
        kind,
        app: None,
        subject: id.to_string(),
        details: json!({}),
    }
}
