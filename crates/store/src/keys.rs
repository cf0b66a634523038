//! Keys: SSH public keys of accounts. What a key looks like is not looked at here.

use api::{
    clock::Time,
    ids::{AccountId, KeyId},
};
use serde_json::json;
use sqlx::query;

use crate::{
    Change, Result, Store, StoreError,
    columns::{Columns, Record, list, optional},
    write::Happening,
};

/// An SSH public key of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its id.
    pub id: KeyId,
    /// Who pushes with it.
    pub account: AccountId,
    /// The key as OpenSSH writes it.
    pub public_key: String,
    /// What its owner calls it.
    pub comment: String,
    /// The fingerprint that people see.
    pub md5: String,
    /// The fingerprint that it is found by: `SHA256:…`; unique.
    pub sha256: String,
    /// When it was added.
    pub created_at: Time,
}

/// A key to add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    /// Who pushes with it.
    pub account: AccountId,
    /// The key as OpenSSH writes it.
    pub public_key: String,
    /// What its owner calls it.
    pub comment: String,
    /// The fingerprint that people see.
    pub md5: String,
    /// The fingerprint that it is found by.
    pub sha256: String,
}

impl Record for Key {
    const RESOURCE: &'static str = "key";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        Ok(Self {
            id: columns.parsed("id")?,
            account: columns.parsed("account_id")?,
            public_key: columns.text("public_key")?,
            comment: columns.text("comment")?,
            md5: columns.text("md5")?,
            sha256: columns.text("sha256")?,
            created_at: columns.time("created_at")?,
        })
    }
}

impl Store {
    /// Adds a key; one that any account has is a conflict.
    pub async fn create_key(&self, change: &Change, new: &NewKey) -> Result<Key> {
        let mut write = self.write(change).await?;
        let key = Key {
            id: KeyId::new(),
            account: new.account,
            public_key: new.public_key.clone(),
            comment: new.comment.clone(),
            md5: new.md5.clone(),
            sha256: new.sha256.clone(),
            created_at: write.now,
        };
        let statement = query(
            "INSERT INTO keys (id, account_id, public_key, comment, md5, sha256, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(key.id.to_string())
        .bind(key.account.to_string())
        .bind(key.public_key.clone())
        .bind(key.comment.clone())
        .bind(key.md5.clone())
        .bind(key.sha256.clone())
        .bind(key.created_at.as_micros());
        write
            .run(statement)
            .await
            .map_err(|e| e.or_conflict("key", &new.sha256))?;
        write.commit(happening("key.create", &key)).await?;
        Ok(key)
    }

    /// An account's keys, oldest first.
    pub async fn keys_of(&self, account: AccountId) -> Result<Vec<Key>> {
        let statement = query("SELECT * FROM keys WHERE account_id = $1 ORDER BY created_at, id")
            .bind(account.to_string());
        list(self.backend.reader(), statement).await
    }

    /// The key with this fingerprint, `SHA256:…`.
    pub async fn key_by_sha256(&self, sha256: &str) -> Result<Option<Key>> {
        let statement = query("SELECT * FROM keys WHERE sha256 = $1").bind(sha256.to_owned());
        optional(self.backend.reader(), statement).await
    }

    /// Removes a key; who is connected with it can do nothing more.
    pub async fn delete_key(&self, change: &Change, key: &Key) -> Result<()> {
        let mut write = self.write(change).await?;
        let statement = query("DELETE FROM keys WHERE id = $1").bind(key.id.to_string());
        if write.run(statement).await? == 0 {
            return Err(StoreError::not_found("key", &key.id));
        }
        write.commit(happening("key.destroy", key)).await
    }
}

fn happening(kind: &'static str, key: &Key) -> Happening {
    Happening {
        kind,
        app: None,
        subject: key.id.to_string(),
        details: json!({ "account": key.account, "fingerprint": key.sha256 }),
    }
}
