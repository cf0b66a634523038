//! OAuth tokens: a client shows a code that somebody let it have, and gets tokens; later it shows the
//! refresh token of the time before. Each code and each refresh token is taken once.

use std::time::Duration;

use api::oauth_tokens::NewOauthToken;
use store::{Authorization, NewTokens, OauthClient, StoreError, Taken, hash_token};

use crate::{
    Platform,
    authorizations::{hint, new_token},
    caller::{Caller, system_change},
    error::{Error, Result},
};

/// How long a client's token is valid, as Heroku's.
const TOKEN_LIFETIME: Duration = Duration::from_hours(8);
/// How long a code waits for its client.
pub const CODE_LIFETIME: Duration = Duration::from_mins(5);

/// Tokens that were made, told once.
pub struct Tokens {
    /// What they belong to.
    pub authorization: Authorization,
    /// What the client shows.
    pub access_token: String,
    /// What makes the next tokens.
    pub refresh_token: String,
    /// For what they were made.
    pub kind: &'static str,
}

impl Platform {
    /// Tokens for a code or a refresh token.
    ///
    /// # Errors
    /// `Unauthorized` for a secret that no client has, a code or token that is not this client's, has
    /// expired or was taken; `Invalid` for another kind of grant.
    pub async fn exchange_tokens(&self, asked: &NewOauthToken) -> Result<Tokens> {
        let secret = asked.client.secret.as_deref().unwrap_or_default();
        let client = self
            .store
            .oauth_client_by_secret_hash(&hash_token(secret))
            .await?
            .ok_or(Error::Unauthorized)?;
        match asked.grant.kind.as_deref() {
            Some("authorization_code") => {
                let hash = hash_token(asked.grant.code.as_deref().unwrap_or_default());
                let grant = self.store.oauth_grant(&hash).await?;
                let now = self.clock.now();
                let grant = grant
                    .filter(|grant| now < grant.expires_at)
                    .ok_or(Error::Unauthorized)?;
                let row = self.store.authorization(grant.authorization).await?;
                self.renew(&client, row, (Taken::Code(&hash), "authorization_code"))
                    .await
            }
            Some("refresh_token") => {
                let hash = hash_token(asked.refresh_token.token.as_deref().unwrap_or_default());
                let row = self
                    .store
                    .authorization_by_refresh_token_hash(&hash)
                    .await?;
                let row = row.ok_or(Error::Unauthorized)?;
                self.renew(&client, row, (Taken::RefreshToken(&hash), "refresh_token"))
                    .await
            }
            _ => Err(Error::Invalid {
                message: "grant.type must be authorization_code or refresh_token".to_owned(),
            }),
        }
    }

    async fn renew(
        &self,
        client: &OauthClient,
        row: Authorization,
        (taken, kind): (Taken<'_>, &'static str),
    ) -> Result<Tokens> {
        if row.client != Some(client.id) {
            return Err(Error::Unauthorized);
        }
        let (access_token, refresh_token) = (new_token(), new_token());
        let new = NewTokens {
            token_hash: hash_token(&access_token),
            token_hint: hint(&access_token),
            expires_at: self.clock.now().after(TOKEN_LIFETIME),
            refresh_token_hash: hash_token(&refresh_token),
            refresh_token_hint: hint(&refresh_token),
        };
        let change = system_change(format!("{kind} of client {}", client.id));
        match self
            .store
            .replace_tokens(&change, (row.id, taken), &new)
            .await
        {
            Err(StoreError::NotFound { .. }) => Err(Error::Unauthorized),
            renewed => Ok(Tokens {
                authorization: renewed?,
                access_token,
                refresh_token,
                kind,
            }),
        }
    }

    /// A code for a client of an authorization, told once.
    pub async fn new_code(
        &self,
        caller: &Caller,
        row: &Authorization,
    ) -> Result<(store::OauthGrant, String)> {
        let code = new_token();
        let until = self.clock.now().after(CODE_LIFETIME);
        let grant = self
            .store
            .create_oauth_grant(&caller.change(), row.id, (&hash_token(&code), until))
            .await?;
        Ok((grant, code))
    }
}
