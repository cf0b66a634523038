//! Second factors: the secret that makes an account's codes, sealed, and its recovery codes, hashed.

use api::{
    clock::Time,
    ids::{AccountId, AppId},
};
use serde_json::json;
use sqlx::query;

use crate::{
    Change, Result, Store, StoreError,
    accounts::happening,
    columns::{Columns, Record, optional},
    seal::Purpose,
    write::Write,
};

/// An account's second factor.
#[derive(Clone, PartialEq, Eq)]
pub struct TwoFactor {
    /// What its codes are made of.
    pub secret: String,
    /// Since when it is asked for; none: no code of it has been shown yet.
    pub confirmed_at: Option<Time>,
    /// The newest time step whose code was taken.
    pub last_step: u64,
}

impl std::fmt::Debug for TwoFactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TwoFactor")
            .field("confirmed_at", &self.confirmed_at)
            .finish_non_exhaustive()
    }
}

struct Sealed {
    data_key: String,
    secret: String,
    confirmed_at: Option<Time>,
    last_step: u64,
}

impl Record for Sealed {
    const RESOURCE: &'static str = "second factor";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        Ok(Self {
            data_key: columns.text("data_key")?,
            secret: columns.text("sealed_secret")?,
            confirmed_at: columns.optional_time("confirmed_at")?,
            last_step: columns.number("last_step")?,
        })
    }
}

struct Count(u64);

impl Record for Count {
    const RESOURCE: &'static str = "recovery code";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        columns.number("count").map(Self)
    }
}

impl Store {
    /// An account's second factor, asked for or not yet.
    pub async fn two_factor(&self, account: AccountId) -> Result<Option<TwoFactor>> {
        let statement =
            query("SELECT * FROM two_factors WHERE account_id = $1").bind(account.to_string());
        let Some(row) = optional::<Sealed>(self.backend.reader(), statement).await? else {
            return Ok(None);
        };
        let key = self.root_key.data_key(holder(account), &row.data_key)?;
        Ok(Some(TwoFactor {
            secret: key.open(Purpose::TwoFactor, &row.secret)?,
            confirmed_at: row.confirmed_at,
            last_step: row.last_step,
        }))
    }

    /// Keeps a secret that no code has been shown of yet, in place of one like it.
    ///
    /// # Errors
    /// [`StoreError::Stale`] when a second factor is asked for already.
    pub async fn begin_two_factor(
        &self,
        change: &Change,
        account: AccountId,
        secret: &str,
    ) -> Result<()> {
        let mut write = self.write(change).await?;
        let data_key = self.root_key.new_data_key(holder(account));
        let key = self.root_key.data_key(holder(account), &data_key)?;
        let statement = query(
            "INSERT INTO two_factors (account_id, data_key, sealed_secret, last_step, created_at)
             VALUES ($1, $2, $3, 0, $4)
             ON CONFLICT (account_id) DO UPDATE
             SET data_key = excluded.data_key, sealed_secret = excluded.sealed_secret,
                 last_step = 0, created_at = excluded.created_at
             WHERE two_factors.confirmed_at IS NULL",
        )
        .bind(account.to_string())
        .bind(data_key)
        .bind(key.seal(Purpose::TwoFactor, secret))
        .bind(write.now.as_micros());
        if write.run(statement).await? == 0 {
            return Err(StoreError::stale("second factor", &account));
        }
        write
            .commit(happening("two-factor.begin", account, json!({})))
            .await
    }

    /// From now on the second factor is asked for. Its recovery codes are these.
    pub async fn confirm_two_factor(
        &self,
        change: &Change,
        account: AccountId,
        code_hashes: &[String],
    ) -> Result<()> {
        let mut write = self.write(change).await?;
        let statement = query("UPDATE two_factors SET confirmed_at = $2 WHERE account_id = $1")
            .bind(account.to_string())
            .bind(write.now.as_micros());
        write.run(statement).await?;
        ask_for_code(&mut write, account, true).await?;
        put_codes(&mut write, account, code_hashes).await?;
        write
            .commit(happening("two-factor.enable", account, json!({})))
            .await
    }

    /// Takes the code of a time step. True once for each step; never for one before.
    pub async fn take_step(&self, change: &Change, account: AccountId, step: u64) -> Result<bool> {
        let mut write = self.write(change).await?;
        let statement =
            query("UPDATE two_factors SET last_step = $2 WHERE account_id = $1 AND last_step < $2")
                .bind(account.to_string())
                .bind(i64::try_from(step).unwrap_or(i64::MAX));
        if write.run(statement).await? == 0 {
            return Ok(false);
        }
        let details = json!({ "step": step });
        write
            .commit(happening("two-factor.use", account, details))
            .await?;
        Ok(true)
    }

    /// Takes a recovery code. True once for each.
    pub async fn take_recovery_code(
        &self,
        change: &Change,
        account: AccountId,
        code_hash: &str,
    ) -> Result<bool> {
        let mut write = self.write(change).await?;
        let statement =
            query("DELETE FROM recovery_codes WHERE account_id = $1 AND code_hash = $2")
                .bind(account.to_string())
                .bind(code_hash.to_owned());
        if write.run(statement).await? == 0 {
            return Ok(false);
        }
        write
            .commit(happening("recovery-code.use", account, json!({})))
            .await?;
        Ok(true)
    }

    /// Replaces an account's recovery codes.
    pub async fn replace_recovery_codes(
        &self,
        change: &Change,
        account: AccountId,
        code_hashes: &[String],
    ) -> Result<()> {
        let mut write = self.write(change).await?;
        put_codes(&mut write, account, code_hashes).await?;
        write
            .commit(happening("recovery-code.replace", account, json!({})))
            .await
    }

    /// How many recovery codes an account has left.
    pub async fn recovery_codes_left(&self, account: AccountId) -> Result<u64> {
        let statement = query("SELECT COUNT(*) AS count FROM recovery_codes WHERE account_id = $1")
            .bind(account.to_string());
        let count: Option<Count> = optional(self.backend.reader(), statement).await?;
        Ok(count.map_or(0, |Count(count)| count))
    }

    /// From now on no second factor is asked for.
    pub async fn delete_two_factor(&self, change: &Change, account: AccountId) -> Result<()> {
        let mut write = self.write(change).await?;
        let statement =
            query("DELETE FROM two_factors WHERE account_id = $1").bind(account.to_string());
        write.run(statement).await?;
        put_codes(&mut write, account, &[]).await?;
        ask_for_code(&mut write, account, false).await?;
        write
            .commit(happening("two-factor.disable", account, json!({})))
            .await
    }
}

/// Whose data key it is: an account has none of its own, as an app has.
fn holder(account: AccountId) -> AppId {
    account.as_uuid().into()
}

async fn ask_for_code(write: &mut Write<'_>, account: AccountId, is_asked: bool) -> Result<()> {
    let statement = query("UPDATE accounts SET has_two_factor = $2, updated_at = $3 WHERE id = $1")
        .bind(account.to_string())
        .bind(i64::from(is_asked))
        .bind(write.now.as_micros());
    write.run(statement).await?;
    Ok(())
}

async fn put_codes(
    write: &mut Write<'_>,
    account: AccountId,
    code_hashes: &[String],
) -> Result<()> {
    let statement =
        query("DELETE FROM recovery_codes WHERE account_id = $1").bind(account.to_string());
    write.run(statement).await?;
    for hash in code_hashes {
        let statement = query("INSERT INTO recovery_codes (account_id, code_hash) VALUES ($1, $2)")
            .bind(account.to_string())
            .bind(hash.clone());
        write.run(statement).await?;
    }
    Ok(())
}
