//! Password resets. There is no mail: who has forgotten their password asks the operator, who makes a link
//! and hands it on. So people get their first password, too.

use std::time::Duration;

use store::{Account, NewEvent, hash_token};

use crate::{
    Platform,
    authorizations::new_token,
    caller::{Caller, system_change},
    error::{Error, Result},
    team_invitations::check_address,
};

/// How long a link works.
const LIFETIME: Duration = Duration::from_hours(24);

impl Platform {
    /// Takes down that somebody wants a new password; the operator finds it in the events. Whether there
    /// is such an account is not told.
    pub async fn note_forgotten_password(&self, email: &str) -> Result<()> {
        let known = self.store.account_by_email(email).await?;
        let Some(account) = known.filter(|account| !account.is_team) else {
            return Ok(());
        };
        tracing::warn!(
            account = %account.email,
            "somebody asks for a new password; hint: as the operator, POST /accounts/ADDRESS/password-resets"
        );
        let event = NewEvent {
            app: None,
            kind: "password-reset.ask",
            subject: account.id.to_string(),
            details: serde_json::json!({ "email": account.email }),
        };
        let change = system_change("POST /password-resets");
        Ok(self.store.record_event(&change, event).await?)
    }

    /// Everybody's account, oldest first; not those of teams, nor deleted ones.
    pub async fn people(&self) -> Result<Vec<Account>> {
        let mut accounts = self.store.accounts().await?;
        accounts.retain(|account| !account.is_team && account.deleted_at.is_none());
        Ok(accounts)
    }

    /// Makes an account; the secret, told once, lets its person choose a password.
    ///
    /// # Errors
    /// `Invalid` for what is no address, and for one that somebody has.
    pub async fn create_account(&self, caller: &Caller, email: &str) -> Result<(Account, String)> {
        check_address(email)?;
        let new = store::NewAccount {
            email: email.to_owned(),
            password_hash: None,
        };
        let account = match self.store.create_account(&caller.change(), &new).await {
            Err(store::StoreError::Conflict { .. }) => {
                return Err(Error::Invalid {
                    message: format!("There is an account of {email} already."),
                });
            }
            made => made?,
        };
        let token = self.allow_new_password(caller, &account).await?;
        Ok((account, token))
    }

    /// A secret, told once, with which a password can be chosen for an account.
    pub async fn reset_password(&self, caller: &Caller, who: &str) -> Result<(Account, String)> {
        let account = self.person(who).await?;
        let token = self.allow_new_password(caller, &account).await?;
        Ok((account, token))
    }

    /// A person's second factor is asked for no more.
    pub async fn reset_two_factor(&self, caller: &Caller, who: &str) -> Result<Account> {
        let account = self.person(who).await?;
        self.drop_two_factor(caller, account.id).await?;
        self.account(account.id).await
    }

    async fn allow_new_password(&self, caller: &Caller, account: &Account) -> Result<String> {
        let token = new_token();
        let until = self.clock.now().after(LIFETIME);
        let named = (account.id, hash_token(&token));
        self.store
            .put_password_reset(&caller.change(), (named.0, &named.1), until)
            .await?;
        Ok(token)
    }

    /// Whose password can be chosen with a secret.
    pub async fn password_reset_of(&self, token: &str) -> Result<Account> {
        let missing = || Error::NotFound {
            resource: "password reset",
            name: String::new(),
        };
        let found = self.store.password_reset(&hash_token(token)).await?;
        let now = self.clock.now();
        let reset = found
            .filter(|reset| now < reset.expires_at)
            .ok_or_else(missing)?;
        Ok(self.store.account(reset.account).await?)
    }

    /// Sets the password that was chosen with a secret. The second factor, if there is one, stays.
    pub async fn finish_password_reset(&self, token: &str, password: String) -> Result<Account> {
        let account = self.password_reset_of(token).await?;
        let hash = self.new_password_hash(password).await?;
        let change = system_change("password reset");
        self.store
            .finish_password_reset(&change, (account.id, &hash_token(token)), &hash)
            .await?;
        Ok(account)
    }
}
