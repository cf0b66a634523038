//! Authorizations: tokens, what each may do and until when. A token is told once, when it is made.

use std::time::Duration;

use api::{
    authorizations::{AuthorizationUpdate, NewAuthorization, Scope},
    ids::AuthorizationId,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::RngCore;
use store::{Authorization, hash_token};

use crate::{
    Platform,
    caller::Caller,
    error::{Error, Result},
};

const TOKEN_BYTES: usize = 32;
/// Longest life that may be asked for: ten years.
const LONGEST_SECONDS: i64 = 10 * 365 * 24 * 3600;

impl Platform {
    /// Makes a token for the caller; the text is not to be had again. For a client there is none yet:
    /// it gets its own for a code.
    pub async fn create_authorization(
        &self,
        caller: &Caller,
        new: NewAuthorization,
        is_session: bool,
    ) -> Result<(Authorization, String)> {
        let client = match &new.client {
            None => None,
            Some(id) => Some(self.oauth_client(id).await?.id),
        };
        let expires_at = match new.expires_in {
            None => None,
            Some(seconds) if (1..=LONGEST_SECONDS).contains(&seconds) => Some(
                self.clock
                    .now()
                    .after(Duration::from_secs(seconds.unsigned_abs())),
            ),
            Some(_) => {
                return Err(Error::Invalid {
                    message: format!("expires_in must be between 1 and {LONGEST_SECONDS} seconds"),
                });
            }
        };
        let scope = new
            .scope
            .filter(|scope| !scope.is_empty())
            .unwrap_or(vec![Scope::Global]);
        let token = new_token();
        let row = store::NewAuthorization {
            account: caller.account,
            description: new
                .description
                .unwrap_or_else(|| "Long-lived user authorization".into()),
            scope: scope.iter().map(|scope| word(*scope)).collect(),
            token_hash: hash_token(&token),
            token_hint: hint(&token),
            // What the client was not given yet opens nothing.
            expires_at: client.map_or(expires_at, |_| Some(self.clock.now())),
            client,
            is_session,
        };
        let made = self
            .store
            .create_authorization(&caller.change(), &row)
            .await?;
        Ok((made, token))
    }

    /// The caller's tokens that have not expired, oldest first.
    pub async fn authorizations(&self, caller: &Caller) -> Result<Vec<Authorization>> {
        let now = self.clock.now();
        let mut rows = self.store.authorizations_of(caller.account).await?;
        rows.retain(|row| row.client.is_some() || row.expires_at.is_none_or(|at| now < at));
        Ok(rows)
    }

    /// One of the caller's tokens.
    pub async fn authorization(&self, caller: &Caller, id: &str) -> Result<Authorization> {
        let missing = || Error::NotFound {
            resource: "authorization",
            name: id.to_owned(),
        };
        let parsed: AuthorizationId = id.parse().map_err(|_| missing())?;
        let row = self.store.authorization(parsed).await?;
        if row.account == caller.account {
            Ok(row)
        } else {
            Err(missing())
        }
    }

    /// Describes one of the caller's tokens anew.
    pub async fn update_authorization(
        &self,
        caller: &Caller,
        id: &str,
        update: AuthorizationUpdate,
    ) -> Result<Authorization> {
        let row = self.authorization(caller, id).await?;
        let Some(description) = update.description else {
            return Ok(row);
        };
        Ok(self
            .store
            .describe_authorization(&caller.change(), row.id, &description)
            .await?)
    }

    /// Replaces a token by a new one that may do the same; the old one is void at once.
    pub async fn regenerate_token(
        &self,
        caller: &Caller,
        id: &str,
    ) -> Result<(Authorization, String)> {
        let row = self.authorization(caller, id).await?;
        if row.client.is_some() {
            return Err(Error::Invalid {
                message: "A client makes its tokens itself, with its refresh token.".to_owned(),
            });
        }
        let token = new_token();
        let (hash, hint) = (hash_token(&token), hint(&token));
        let row = self
            .store
            .replace_token(&caller.change(), row.id, &hash, &hint)
            .await?;
        Ok((row, token))
    }

    /// Revokes one of the caller's tokens.
    pub async fn delete_authorization(&self, caller: &Caller, id: &str) -> Result<Authorization> {
        let row = self.authorization(caller, id).await?;
        self.store
            .delete_authorization(&caller.change(), row.id)
            .await?;
        Ok(row)
    }
}

/// The scopes that stored words stand for; a word that is none allows nothing.
pub fn scopes(words: &[String]) -> Vec<Scope> {
    let scope = |word: &String| serde_json::from_value(word.as_str().into()).ok();
    words.iter().filter_map(scope).collect()
}

/// A random token, marked so that secret scanners can tell whose it is.
pub(crate) fn new_token() -> String {
    let mut bytes = [0; TOKEN_BYTES];
    rand::rng().fill_bytes(&mut bytes);
    format!("LFTK-{}", URL_SAFE_NO_PAD.encode(bytes))
}

/// A token's ends around ten asterisks, as clients compare them with the token they hold.
pub(crate) fn hint(token: &str) -> String {
    let ends = (token.len() >= 24).then(|| token.get(..8).zip(token.get(token.len() - 4..)));
    let (prefix, suffix) = ends.flatten().unwrap_or_default();
    format!("{prefix}**********{suffix}")
}

fn word(scope: Scope) -> String {
    match scope {
        Scope::Global => "global",
        Scope::Identity => "identity",
        Scope::Read => "read",
        Scope::Write => "write",
        Scope::ReadProtected => "read-protected",
        Scope::WriteProtected => "write-protected",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_show_the_ends_of_long_tokens_only() {
        let token = new_token();
        assert_eq!(hint(&token).len(), 22);
        assert!(token.starts_with(&hint(&token)[..8]) && token.ends_with(&hint(&token)[18..]));
        assert_eq!(hint("short"), "**********");
    }

    #[test]
    fn scope_words_are_those_of_the_api() {
        for scope in [
            Scope::Global,
            Scope::Identity,
            Scope::ReadProtected,
            Scope::WriteProtected,
        ] {
            assert_eq!(serde_json::to_value(scope).unwrap(), word(scope));
        }
    }
}
