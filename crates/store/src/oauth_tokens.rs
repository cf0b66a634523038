//! OAuth tokens: codes that a client exchanges for tokens once, and tokens made anew with another.

use api::{
    clock::Time,
    ids::{AuthorizationId, OauthGrantId},
};
use serde_json::json;
use sqlx::query;

use crate::{
    Authorization, Change, Result, Store, StoreError,
    columns::{Columns, Record, optional, required},
    write::Happening,
};

/// A code that a client exchanges for tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OauthGrant {
    /// Its id.
    pub id: OauthGrantId,
    /// What it opens.
    pub authorization: AuthorizationId,
    /// Until when; callers compare it with the present.
    pub expires_at: Time,
}

/// Tokens to put in the place of those before.
#[derive(Clone, Debug)]
pub struct NewTokens {
    /// See [`crate::hash_token`]; unique.
    pub token_hash: String,
    /// Shown in place of the token.
    pub token_hint: String,
    /// Until when the token is valid.
    pub expires_at: Time,
    /// Of the token that makes the next.
    pub refresh_token_hash: String,
    /// Shown in place of that.
    pub refresh_token_hint: String,
}

/// What is taken for tokens; each can be taken once.
#[derive(Clone, Copy, Debug)]
pub enum Taken<'a> {
    /// The hash of a code.
    Code(&'a str),
    /// The hash of a refresh token.
    RefreshToken(&'a str),
}

impl Record for OauthGrant {
    const RESOURCE: &'static str = "grant";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        Ok(Self {
            id: columns.parsed("id")?,
            authorization: columns.parsed("authorization_id")?,
            expires_at: columns.time("expires_at")?,
        })
    }
}

impl Store {
    /// Keeps a code's hash.
    pub async fn create_oauth_grant(
        &self,
        change: &Change,
        authorization: AuthorizationId,
        (code_hash, expires_at): (&str, Time),
    ) -> Result<OauthGrant> {
        let mut write = self.write(change).await?;
        let id = OauthGrantId::new();
        let statement = query(
            "INSERT INTO oauth_grants (id, authorization_id, code_hash, expires_at, created_at)
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(id.to_string())
        .bind(authorization.to_string())
        .bind(code_hash.to_owned())
        .bind(expires_at.as_micros())
        .bind(write.now.as_micros());
        write.run(statement).await?;
        write
            .commit(happening("oauth-grant.create", authorization))
            .await?;
        Ok(OauthGrant {
            id,
            authorization,
            expires_at,
        })
    }

    /// The grant of a code, expired or not.
    pub async fn oauth_grant(&self, code_hash: &str) -> Result<Option<OauthGrant>> {
        let statement =
            query("SELECT * FROM oauth_grants WHERE code_hash = $1").bind(code_hash.to_owned());
        optional(self.backend.reader(), statement).await
    }

    /// The authorization that a refresh token makes tokens of.
    pub async fn authorization_by_refresh_token_hash(
        &self,
        hash: &str,
    ) -> Result<Option<Authorization>> {
        let statement = query("SELECT * FROM authorizations WHERE refresh_token_hash = $1")
            .bind(hash.to_owned());
        optional(self.backend.reader(), statement).await
    }

    /// Gives an authorization new tokens for a code or refresh token, which is void then.
    ///
    /// # Errors
    /// `NotFound` when it was taken meanwhile.
    pub async fn replace_tokens(
        &self,
        change: &Change,
        (authorization, taken): (AuthorizationId, Taken<'_>),
        new: &NewTokens,
    ) -> Result<Authorization> {
        let mut write = self.write(change).await?;
        let statement = match taken {
            Taken::Code(hash) => {
                query("DELETE FROM oauth_grants WHERE authorization_id = $1 AND code_hash = $2")
                    .bind(authorization.to_string())
                    .bind(hash.to_owned())
            }
            Taken::RefreshToken(hash) => query(
                "UPDATE authorizations SET refresh_token_hash = NULL
                 WHERE id = $1 AND refresh_token_hash = $2",
            )
            .bind(authorization.to_string())
            .bind(hash.to_owned()),
        };
        if write.run(statement).await? == 0 {
            return Err(StoreError::not_found("grant", &authorization));
        }
        let statement = query(
            "UPDATE authorizations
             SET token_hash = $2, token_hint = $3, expires_at = $4, refresh_token_hash = $5,
                 refresh_token_hint = $6, updated_at = $7
             WHERE id = $1",
        )
        .bind(authorization.to_string())
        .bind(new.token_hash.clone())
        .bind(new.token_hint.clone())
        .bind(new.expires_at.as_micros())
        .bind(new.refresh_token_hash.clone())
        .bind(new.refresh_token_hint.clone())
        .bind(write.now.as_micros());
        write.run(statement).await?;
        let statement =
            query("SELECT * FROM authorizations WHERE id = $1").bind(authorization.to_string());
        let renewed = required(write.connection(), statement, authorization).await?;
        write
            .commit(happening("oauth-token.create", authorization))
            .await?;
        Ok(renewed)
    }
}

fn happening(kind: &'static str, authorization: AuthorizationId) -> Happening {
    Happening {
        kind,
        app: None,
        subject: authorization.to_string(),
        details: json!({}),
    }
}
