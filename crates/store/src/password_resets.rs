//! Password resets: that somebody may choose a new password with a secret, once, for a while.

use api::{
    clock::Time,
    ids::{AccountId, PasswordResetId},
};
use serde_json::json;
use sqlx::query;

use crate::{
    Change, Result, Store, StoreError,
    accounts::happening,
    columns::{Columns, Record, optional},
};

/// That an account's password may be chosen anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordReset {
    /// Whose.
    pub account: AccountId,
    /// Until when; callers compare it with the present.
    pub expires_at: Time,
}

impl Record for PasswordReset {
    const RESOURCE: &'static str = "password reset";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        Ok(Self {
            account: columns.parsed("account_id")?,
            expires_at: columns.time("expires_at")?,
        })
    }
}

impl Store {
    /// Lets a password be chosen with a secret; the account's secret before is void.
    pub async fn put_password_reset(
        &self,
        change: &Change,
        (account, token_hash): (AccountId, &str),
        expires_at: Time,
    ) -> Result<()> {
        let mut write = self.write(change).await?;
        let statement = query(
            "INSERT INTO password_resets (id, account_id, token_hash, expires_at, created_at)
             VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (account_id) DO UPDATE
             SET token_hash = excluded.token_hash, expires_at = excluded.expires_at,
                 created_at = excluded.created_at",
        )
        .bind(PasswordResetId::new().to_string())
        .bind(account.to_string())
        .bind(token_hash.to_owned())
        .bind(expires_at.as_micros())
        .bind(write.now.as_micros());
        write.run(statement).await?;
        write
            .commit(happening("password-reset.create", account, json!({})))
            .await
    }

    /// The reset of a secret, expired or not.
    pub async fn password_reset(&self, token_hash: &str) -> Result<Option<PasswordReset>> {
        let statement = query("SELECT * FROM password_resets WHERE token_hash = $1")
            .bind(token_hash.to_owned());
        optional(self.backend.reader(), statement).await
    }

    /// Sets the password that was chosen with a secret, which is void then, and signs everybody out
    /// who is signed in with the former.
    ///
    /// # Errors
    /// `NotFound` when the secret was used meanwhile.
    pub async fn finish_password_reset(
        &self,
        change: &Change,
        (account, token_hash): (AccountId, &str),
        password_hash: &str,
    ) -> Result<()> {
        let mut write = self.write(change).await?;
        let statement =
            query("DELETE FROM password_resets WHERE token_hash = $1").bind(token_hash.to_owned());
        if write.run(statement).await? == 0 {
            return Err(StoreError::not_found("password reset", &account));
        }
        let statement =
            query("UPDATE accounts SET password_hash = $2, updated_at = $3 WHERE id = $1")
                .bind(account.to_string())
                .bind(password_hash.to_owned())
                .bind(write.now.as_micros());
        write.run(statement).await?;
        let statement =
            query("DELETE FROM authorizations WHERE account_id = $1 AND is_session = 1")
                .bind(account.to_string());
        write.run(statement).await?;
        write
            .commit(happening("password-reset.finish", account, json!({})))
            .await
    }
}
