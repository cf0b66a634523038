//! Accounts: who signs in, with a password or a token.
//!
//! Passwords are kept as PBKDF2-HMAC-SHA-256 with the work factor that OWASP's password storage
//! cheat sheet asks for, written `pbkdf2-sha256$ROUNDS$SALT$HASH`. Read [`Platform::token_holder`].

use std::{collections::BTreeMap, num::NonZeroU32};

use api::{
    accounts::AccountUpdate,
    authorizations::Scope,
    clock::Time,
    ids::{AccountId, AuthorizationId},
};
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use rand::RngCore;
use ring::pbkdf2;
use store::{Account, NewAccount, NewAuthorization, hash_token};

use crate::{
    Platform,
    authorizations::{hint, scopes},
    caller::{Caller, system_change},
    error::{Error, Result},
};

const ROUNDS: NonZeroU32 = NonZeroU32::new(600_000).expect("not zero");
pub(crate) const HASHED_AT_ONCE: usize = 2;
const HASH_BYTES: usize = 32;
const SALT_BYTES: usize = 16;
/// Longest name of a person, in characters.
const LONGEST_NAME: usize = 200;
/// Shorter passwords are refused.
const SHORTEST_PASSWORD: usize = 12;

/// What a valid token stands for.
#[derive(Clone, Debug)]
pub struct TokenGrant {
    /// The authorization it belongs to.
    pub id: AuthorizationId,
    /// What it may do.
    pub scope: Vec<Scope>,
}

impl Platform {
    /// What time it is for the platform.
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// The account that a token belongs to and what the token may do; nothing for a token that is
    /// unknown or has expired.
    pub async fn token_holder(&self, token: &str) -> Result<Option<(Account, TokenGrant)>> {
        let found = self
            .store
            .authorization_by_token_hash(&hash_token(token))
            .await?;
        let now = self.clock.now();
        let Some(row) = found.filter(|row| row.expires_at.is_none_or(|at| now < at)) else {
            return Ok(None);
        };
        let account = self.store.account(row.account).await?;
        Ok(Some((
            account,
            TokenGrant {
                id: row.id,
                scope: scopes(&row.scope),
            },
        )))
    }

    /// The account with this email address and password.
    ///
    /// # Errors
    /// `Unauthorized`, after the same time whether or not there is such an account.
    pub async fn password_holder(&self, email: &str, password: &str) -> Result<Account> {
        let account = self.store.account_by_email(email).await?;
        let stored = account
            .as_ref()
            .and_then(|account| account.password_hash.clone());
        let password = password.to_owned();
        let is_right =
            tokio::task::spawn_blocking(move || is_password(&password, stored.as_deref()));
        match (account, is_right.await.unwrap_or(false)) {
            (Some(account), true) => Ok(account),
            _ => Err(Error::Unauthorized),
        }
    }

    /// The account with this id.
    pub async fn account(&self, id: AccountId) -> Result<Account> {
        Ok(self.store.account(id).await?)
    }

    /// The account with this email address, if anybody has it.
    pub async fn account_of(&self, email: &str) -> Result<Option<Account>> {
        Ok(self.store.account_by_email(email).await?)
    }

    /// Email addresses of all accounts, for lists that name many.
    pub async fn emails(&self) -> Result<BTreeMap<AccountId, String>> {
        let accounts = self.store.accounts().await?;
        Ok(accounts
            .into_iter()
            .map(|account| (account.id, account.email))
            .collect())
    }

    /// Changes the caller's own account. For a new password the present one or a valid token is asked;
    /// whoever signed in with the former is signed out, but for the token `keep`.
    pub async fn update_account(
        &self,
        caller: &Caller,
        keep: Option<AuthorizationId>,
        update: AccountUpdate,
    ) -> Result<Account> {
        if let Some(new) = update.new_password {
            let present = update.password.unwrap_or_default();
            let is_token = self
                .token_holder(&present)
                .await?
                .is_some_and(|(account, _)| account.id == caller.account);
            if !is_token {
                self.password_holder(&caller.email, &present).await?;
            }
            let hash = self.new_password_hash(new).await?;
            self.store
                .update_account_password(&caller.change(), (caller.account, keep), &hash)
                .await?;
        }
        if let Some(name) = &update.name
            && (name.chars().count() > LONGEST_NAME || name.chars().any(char::is_control))
        {
            return Err(Error::Invalid {
                message: format!("Name may have {LONGEST_NAME} characters"),
            });
        }
        if update.name.is_some() || update.allow_tracking.is_some() || update.beta.is_some() {
            let row = store::AccountUpdate {
                name: update.name,
                allow_tracking: update.allow_tracking,
                beta: update.beta,
            };
            self.store
                .update_account(&caller.change(), caller.account, &row)
                .await?;
        }
        self.account(caller.account).await
    }

    /// Takes the caller's account away: its tokens, keys and memberships. Says what it was.
    ///
    /// # Errors
    /// `Invalid` for the operator's, for one that owns apps, and for a team's last admin.
    pub async fn delete_account(&self, caller: &Caller) -> Result<Account> {
        let refused = |message: &str| Error::Invalid {
            message: message.to_owned(),
        };
        let account = self.account(caller.account).await?;
        if account.is_operator {
            return Err(refused("The platform needs its operator's account."));
        }
        for (team, role) in self.teams(caller).await? {
            let members = self.store.team_members(team.id).await?;
            let admins = members.iter().filter(|member| member.role.is_admin());
            if role.is_some_and(store::TeamRole::is_admin) && admins.count() == 1 {
                return Err(refused(&format!(
                    "The team {} needs another admin first, or delete it.",
                    team.name
                )));
            }
        }
        match self
            .store
            .delete_account(&caller.change(), account.id)
            .await
        {
            Err(store::StoreError::Conflict { .. }) => Err(refused(
                "This account owns apps: delete them or give them away first.",
            )),
            deleted => {
                deleted?;
                Ok(account)
            }
        }
    }

    /// Takes down that somebody signed in with the password.
    pub async fn note_sign_in(&self, caller: &Caller) -> Result<()> {
        Ok(self
            .store
            .note_sign_in(&caller.change(), caller.account)
            .await?)
    }

    /// The hash to keep of a password that somebody chose.
    ///
    /// # Errors
    /// `Invalid` when it is too short.
    pub(crate) async fn new_password_hash(&self, password: String) -> Result<String> {
        if password.len() < SHORTEST_PASSWORD {
            return Err(Error::Invalid {
                message: format!("Password must have at least {SHORTEST_PASSWORD} characters"),
            });
        }
        let _turn = self.hashing.acquire().await;
        let hash = tokio::task::spawn_blocking(move || hash_password(&password)).await;
        hash.map_err(|_| Error::Unavailable {
            message: "The password could not be set.".to_owned(),
        })
    }

    /// Sees to it that an account with this email address exists and that `token` is one of its
    /// tokens: the server's own first account, at every start.
    pub async fn ensure_account(&self, email: &str, token: &str) -> Result<Account> {
        if let Some((account, _)) = self.token_holder(token).await? {
            return Ok(account);
        }
        let change = system_change("first start");
        let account = if let Some(account) = self.store.account_by_email(email).await? {
            account
        } else {
            let new = NewAccount {
                email: email.to_owned(),
                password_hash: None,
            };
            self.store.create_account(&change, &new).await?
        };
        let new = NewAuthorization {
            account: account.id,
            description: "Made at first start".to_owned(),
            scope: vec!["global".to_owned()],
            token_hash: hash_token(token),
            token_hint: hint(token),
            expires_at: None,
            client: None,
            is_session: false,
        };
        self.store.create_authorization(&change, &new).await?;
        Ok(account)
    }
}

/// Takes about as long when there is no stored hash.
fn is_password(password: &str, stored: Option<&str>) -> bool {
    let parts = stored.and_then(|stored| {
        let mut parts = stored.split('$');
        let ("pbkdf2-sha256", rounds, salt, hash) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?)
        else {
            return None;
        };
        Some((
            rounds.parse().ok()?,
            STANDARD_NO_PAD.decode(salt).ok()?,
            STANDARD_NO_PAD.decode(hash).ok()?,
        ))
    });
    let exists = parts.is_some();
    let (rounds, salt, hash) =
        parts.unwrap_or_else(|| (ROUNDS, vec![0; SALT_BYTES], vec![0; HASH_BYTES]));
    let verified = pbkdf2::verify(
        pbkdf2::PBKDF2_HMAC_SHA256,
        rounds,
        &salt,
        password.as_bytes(),
        &hash,
    );
    verified.is_ok() && exists
}

fn hash_password(password: &str) -> String {
    let mut salt = [0; SALT_BYTES];
    rand::rng().fill_bytes(&mut salt);
    let mut hash = [0; HASH_BYTES];
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA256,
        ROUNDS,
        &salt,
        password.as_bytes(),
        &mut hash,
    );
    let [salt, hash] = [&salt[..], &hash[..]].map(|bytes| STANDARD_NO_PAD.encode(bytes));
    format!("pbkdf2-sha256${ROUNDS}${salt}${hash}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_recognised_by_their_hash() {
        let hash = hash_password("correct horse battery");
        assert!(!hash.contains("horse"));
        assert!(is_password("correct horse battery", Some(&hash)));
        assert!(!is_password("correct horse battery ", Some(&hash)));
        assert!(!is_password("", None));
        assert!(!is_password("x", Some("pbkdf2-sha256$0$a$b")));
    }
}
