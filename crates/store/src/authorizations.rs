//! Authorizations: token grants. The token itself is never stored, only its hash.

use api::{
    clock::Time,
    ids::{AccountId, AuthorizationId, OauthClientId},
};
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::query;

use crate::{
    Change, Result, Store, StoreError,
    columns::{Columns, Record, list, optional, required},
    write::Happening,
};

/// The hash under which a token or source secret is stored: SHA-256 as lower-case hex.
///
/// Plain hashing is enough only because tokens are long and random.
pub fn hash_token(token: &str) -> String {
    format!("{:x}", Sha256::digest(token))
}

/// A token grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorization {
    /// Its id.
    pub id: AuthorizationId,
    /// Whose it is.
    pub account: AccountId,
    /// As its owner described it.
    pub description: String,
    /// Heroku's scope words: `global`, `read`, …
    pub scope: Vec<String>,
    /// See [`hash_token`].
    pub token_hash: String,
    /// Enough of the token to recognise it: prefix and suffix.
    pub token_hint: String,
    /// When it stops being valid; callers compare it with the present.
    pub expires_at: Option<Time>,
    /// The program that it was made for.
    pub client: Option<OauthClientId>,
    /// Shown in place of the token that makes the next.
    pub refresh_token_hint: Option<String>,
    /// Whether somebody signed in for it with their password.
    pub is_session: bool,
    /// When it was made.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
}

/// An authorization to make.
#[derive(Clone, Debug)]
pub struct NewAuthorization {
    /// Whose it is.
    pub account: AccountId,
    /// What it is for.
    pub description: String,
    /// Heroku's scope words.
    pub scope: Vec<String>,
    /// See [`hash_token`]; unique.
    pub token_hash: String,
    /// Shown in place of the token.
    pub token_hint: String,
    /// When it stops being valid.
    pub expires_at: Option<Time>,
    /// The program that it is made for.
    pub client: Option<OauthClientId>,
    /// Whether somebody signed in for it with their password.
    pub is_session: bool,
}

impl Record for Authorization {
    const RESOURCE: &'static str = "authorization";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        Ok(Self {
            id: columns.parsed("id")?,
            account: columns.parsed("account_id")?,
            description: columns.text("description")?,
            scope: columns.json("scope")?,
            token_hash: columns.text("token_hash")?,
            token_hint: columns.text("token_hint")?,
            expires_at: columns.optional_time("expires_at")?,
            client: columns.optional_parsed("client_id")?,
            refresh_token_hint: columns.optional_text("refresh_token_hint")?,
            is_session: columns.flag("is_session")?,
            created_at: columns.time("created_at")?,
            updated_at: columns.time("updated_at")?,
        })
    }
}

impl Store {
    /// Grants a token.
    pub async fn create_authorization(
        &self,
        change: &Change,
        new: &NewAuthorization,
    ) -> Result<Authorization> {
        let mut write = self.write(change).await?;
        let id = AuthorizationId::new();
        let statement = query(
            "INSERT INTO authorizations (id, account_id, description, scope, token_hash, token_hint,
                                         expires_at, created_at, updated_at, client_id, is_session)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9, $10)",
        )
        .bind(id.to_string())
        .bind(new.account.to_string())
        .bind(new.description.clone())
        .bind(json!(new.scope).to_string())
        .bind(new.token_hash.clone())
        .bind(new.token_hint.clone())
        .bind(new.expires_at.map(Time::as_micros))
        .bind(write.now.as_micros())
        .bind(new.client.map(|client| client.to_string()))
        .bind(i64::from(new.is_session));
        write
            .run(statement)
            .await
            .map_err(|e| e.or_conflict("authorization", &id))?;
        let now = write.now;
        write
            .commit(Happening {
                kind: "authorization.create",
                app: None,
                subject: id.to_string(),
                details: json!({ "account": new.account, "description": new.description,
                                 "scope": new.scope, "client": new.client }),
            })
            .await?;
        Ok(Authorization {
            id,
            account: new.account,
            description: new.description.clone(),
            scope: new.scope.clone(),
            token_hash: new.token_hash.clone(),
            token_hint: new.token_hint.clone(),
            expires_at: new.expires_at,
            client: new.client,
            refresh_token_hint: None,
            is_session: new.is_session,
            created_at: now,
            updated_at: now,
        })
    }

    /// The authorization with this id.
    pub async fn authorization(&self, id: AuthorizationId) -> Result<Authorization> {
        let statement = query("SELECT * FROM authorizations WHERE id = $1").bind(id.to_string());
        required(self.backend.reader(), statement, id).await
    }

    /// The authorization a presented token belongs to, expired or not.
    pub async fn authorization_by_token_hash(&self, hash: &str) -> Result<Option<Authorization>> {
        let statement =
            query("SELECT * FROM authorizations WHERE token_hash = $1").bind(hash.to_owned());
        optional(self.backend.reader(), statement).await
    }

    /// An account's authorizations, oldest first.
    pub async fn authorizations_of(&self, account: AccountId) -> Result<Vec<Authorization>> {
        let statement =
            query("SELECT * FROM authorizations WHERE account_id = $1 ORDER BY created_at, id")
                .bind(account.to_string());
        list(self.backend.reader(), statement).await
    }

    /// Describes an authorization anew.
    pub async fn describe_authorization(
        &self,
        change: &Change,
        id: AuthorizationId,
        description: &str,
    ) -> Result<Authorization> {
        let mut write = self.write(change).await?;
        let statement =
            query("UPDATE authorizations SET description = $2, updated_at = $3 WHERE id = $1")
                .bind(id.to_string())
                .bind(description.to_owned())
                .bind(write.now.as_micros());
        if write.run(statement).await? == 0 {
            return Err(StoreError::not_found("authorization", &id));
        }
        write
            .commit(Happening {
                kind: "authorization.update",
                app: None,
                subject: id.to_string(),
                details: json!({ "description": description }),
            })
            .await?;
        self.authorization(id).await
    }

    /// Gives an authorization another token; the one before is void at once.
    pub async fn replace_token(
        &self,
        change: &Change,
        id: AuthorizationId,
        token_hash: &str,
        token_hint: &str,
    ) -> Result<Authorization> {
        let mut write = self.write(change).await?;
        let statement = query(
            "UPDATE authorizations SET token_hash = $2, token_hint = $3, updated_at = $4
             WHERE id = $1",
        )
        .bind(id.to_string())
        .bind(token_hash.to_owned())
        .bind(token_hint.to_owned())
        .bind(write.now.as_micros());
        if write.run(statement).await? == 0 {
            return Err(StoreError::not_found("authorization", &id));
        }
        write
            .commit(Happening {
                kind: "authorization.regenerate",
                app: None,
                subject: id.to_string(),
                details: json!({}),
            })
            .await?;
        self.authorization(id).await
    }

    /// Revokes a token at once.
    pub async fn delete_authorization(&self, change: &Change, id: AuthorizationId) -> Result<()> {
        let mut write = self.write(change).await?;
        let statement = query("DELETE FROM authorizations WHERE id = $1").bind(id.to_string());
        if write.run(statement).await? == 0 {
            return Err(StoreError::not_found("authorization", &id));
        }
        write
            .commit(Happening {
                kind: "authorization.destroy",
                app: None,
                subject: id.to_string(),
                details: json!({}),
            })
            .await
    }
}
