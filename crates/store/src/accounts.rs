//! Accounts: people and robots that sign in.

use std::fmt;

use api::{
    clock::Time,
    ids::{AccountId, AuthorizationId},
};
use serde_json::{Value, json};
use sqlx::query;

use crate::{
    Change, Result, Store, StoreError,
    columns::{Columns, Record, list, optional, required},
    write::Happening,
};

/// A person or robot that signs in.
#[derive(Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a claim of its own")]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// In lower case; unique.
    pub email: String,
    /// As the caller's password hashing writes it; none for robots.
    pub password_hash: Option<String>,
    /// Whether it answers for the platform itself: the first account does.
    pub is_operator: bool,
    /// Whether it is a team's, into which nobody signs.
    pub is_team: bool,
    /// What the person is called.
    pub name: Option<String>,
    /// Whether the person said that they may be tracked; nothing comes of it.
    pub allow_tracking: bool,
    /// Whether the person wants to try new things; nothing comes of it.
    pub beta: bool,
    /// Whether signing in with the password asks for a second factor.
    pub has_two_factor: bool,
    /// When somebody last signed in with the password.
    pub last_login: Option<Time>,
    /// When it was deleted: it is kept because others name it.
    pub deleted_at: Option<Time>,
    /// When it was made.
    pub created_at: Time,
    /// When it last changed.
    pub updated_at: Time,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("id", &self.id)
            .field("email", &self.email)
            .finish_non_exhaustive()
    }
}

/// An account to make.
#[derive(Clone)]
pub struct NewAccount {
    /// Letter case is dropped.
    pub email: String,
    /// Never the password itself.
    pub password_hash: Option<String>,
}

/// Changes to an account; `None` leaves a field as it is.
#[derive(Clone, Debug, Default)]
pub struct AccountUpdate {
    /// What the person is called.
    pub name: Option<String>,
    /// Whether the person may be tracked.
    pub allow_tracking: Option<bool>,
    /// Whether the person wants to try new things.
    pub beta: Option<bool>,
}

impl Record for Account {
    const RESOURCE: &'static str = "account";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        let created_at = columns.time("created_at")?;
        Ok(Self {
            id: columns.parsed("id")?,
            email: columns.text("email")?,
            password_hash: columns.optional_text("password_hash")?,
            is_operator: columns.flag("is_operator")?,
            is_team: columns.flag("is_team")?,
            name: columns.optional_text("name")?,
            allow_tracking: columns.flag("allow_tracking")?,
            beta: columns.flag("beta")?,
            has_two_factor: columns.flag("has_two_factor")?,
            last_login: columns.optional_time("last_login")?,
            deleted_at: columns.optional_time("deleted_at")?,
            created_at,
            updated_at: columns.optional_time("updated_at")?.unwrap_or(created_at),
        })
    }
}

impl Store {
    /// Makes an account; a taken email is a [`StoreError::Conflict`]. The first one is the
    /// operator's.
    pub async fn create_account(&self, change: &Change, new: &NewAccount) -> Result<Account> {
        let mut write = self.write(change).await?;
        let first = query("SELECT * FROM accounts LIMIT 1");
        let is_operator = write.find::<Account>(first).await?.is_none();
        let account = Account {
            id: AccountId::new(),
            email: new.email.to_lowercase(),
            password_hash: new.password_hash.clone(),
            is_operator,
            is_team: false,
            name: None,
            allow_tracking: false,
            beta: false,
            has_two_factor: false,
            last_login: None,
            deleted_at: None,
            created_at: write.now,
            updated_at: write.now,
        };
        let statement = query(
            "INSERT INTO accounts (id, email, password_hash, is_operator, created_at)
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(account.id.to_string())
        .bind(account.email.clone())
        .bind(account.password_hash.clone())
        .bind(i64::from(account.is_operator))
        .bind(account.created_at.as_micros());
        write
            .run(statement)
            .await
            .map_err(|e| e.or_conflict("account", &account.email))?;
        write
            .commit(happening(
                "account.create",
                account.id,
                json!({ "email": account.email }),
            ))
            .await?;
        Ok(account)
    }

    /// Replaces an account's password hash, and signs everybody out who signed in with the former
    /// password, but for who shows the token `keep`.
    pub async fn update_account_password(
        &self,
        change: &Change,
        (account, keep): (AccountId, Option<AuthorizationId>),
        password_hash: &str,
    ) -> Result<()> {
        let mut write = self.write(change).await?;
        let statement =
            query("UPDATE accounts SET password_hash = $2, updated_at = $3 WHERE id = $1")
                .bind(account.to_string())
                .bind(password_hash.to_owned())
                .bind(write.now.as_micros());
        if write.run(statement).await? == 0 {
            return Err(StoreError::not_found("account", &account));
        }
        let statement = query(
            "DELETE FROM authorizations WHERE account_id = $1 AND is_session = 1 AND id <> $2",
        )
        .bind(account.to_string())
        .bind(keep.map(|id| id.to_string()).unwrap_or_default());
        write.run(statement).await?;
        let details = json!({ "changed": ["password"] });
        write
            .commit(happening("account.update", account, details))
            .await
    }

    /// Changes what an account says of itself.
    pub async fn update_account(
        &self,
        change: &Change,
        account: AccountId,
        update: &AccountUpdate,
    ) -> Result<Account> {
        let mut write = self.write(change).await?;
        let statement = query(
            "UPDATE accounts SET name = COALESCE($2, name),
                                 allow_tracking = COALESCE($3, allow_tracking),
                                 beta = COALESCE($4, beta), updated_at = $5
             WHERE id = $1",
        )
        .bind(account.to_string())
        .bind(update.name.clone())
        .bind(update.allow_tracking.map(i64::from))
        .bind(update.beta.map(i64::from))
        .bind(write.now.as_micros());
        write.run(statement).await?;
        let statement = query("SELECT * FROM accounts WHERE id = $1").bind(account.to_string());
        let updated: Account = required(write.connection(), statement, account).await?;
        let details = json!({ "name": updated.name, "allow_tracking": updated.allow_tracking,
            "beta": updated.beta });
        write
            .commit(happening("account.update", account, details))
            .await?;
        Ok(updated)
    }

    /// Takes down that somebody signed in with the password.
    pub async fn note_sign_in(&self, change: &Change, account: AccountId) -> Result<()> {
        let mut write = self.write(change).await?;
        let statement = query("UPDATE accounts SET last_login = $2 WHERE id = $1")
            .bind(account.to_string())
            .bind(write.now.as_micros());
        write.run(statement).await?;
        write
            .commit(happening("account.sign-in", account, json!({})))
            .await
    }

    /// Empties an account: its tokens, keys and memberships go, its address is free again. The row
    /// stays without a name, because releases say who made them.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] while it owns apps.
    pub async fn delete_account(&self, change: &Change, account: AccountId) -> Result<()> {
        let mut write = self.write(change).await?;
        let owned =
            query("SELECT * FROM apps WHERE owner_id = $1 LIMIT 1").bind(account.to_string());
        if write.find::<crate::App>(owned).await?.is_some() {
            return Err(StoreError::Conflict {
                resource: "app of account",
                key: account.to_string(),
            });
        }
        for statement in [
            "DELETE FROM authorizations WHERE account_id = $1",
            "DELETE FROM oauth_clients WHERE account_id = $1",
            "DELETE FROM keys WHERE account_id = $1",
            "DELETE FROM collaborators WHERE account_id = $1",
            "DELETE FROM team_members WHERE account_id = $1",
            "DELETE FROM team_invitations WHERE invited_by = $1",
            "DELETE FROM app_transfers WHERE recipient_id = $1 OR owner_id = $1",
            "DELETE FROM source_hooks WHERE account_id = $1",
            "DELETE FROM two_factors WHERE account_id = $1",
            "DELETE FROM recovery_codes WHERE account_id = $1",
            "DELETE FROM password_resets WHERE account_id = $1",
        ] {
            write
                .run(query(statement).bind(account.to_string()))
                .await?;
        }
        let statement = query(
            "UPDATE accounts SET email = $2, name = NULL, password_hash = NULL, has_two_factor = 0,
                                 deleted_at = $3, updated_at = $3
             WHERE id = $1",
        )
        .bind(account.to_string())
        .bind(format!("{account}@deleted.invalid"))
        .bind(write.now.as_micros());
        write.run(statement).await?;
        write
            .commit(happening("account.destroy", account, json!({})))
            .await
    }

    /// The account with this id.
    pub async fn account(&self, account: AccountId) -> Result<Account> {
        let statement = query("SELECT * FROM accounts WHERE id = $1").bind(account.to_string());
        required(self.backend.reader(), statement, account).await
    }

    /// The account with this email, in any letter case.
    pub async fn account_by_email(&self, email: &str) -> Result<Option<Account>> {
        let statement = query("SELECT * FROM accounts WHERE email = $1").bind(email.to_lowercase());
        optional(self.backend.reader(), statement).await
    }

    /// All accounts, oldest first.
    pub async fn accounts(&self) -> Result<Vec<Account>> {
        let statement = query("SELECT * FROM accounts ORDER BY created_at, id");
        list(self.backend.reader(), statement).await
    }
}

pub(crate) fn happening(kind: &'static str, account: AccountId, details: Value) -> Happening {
    Happening {
        kind,
        app: None,
        subject: account.to_string(),
        details,
    }
}
