//! Source hooks: secrets that code hosts sign their pushes with, sealed, and which were heard.

use api::{
    clock::Time,
    ids::{AccountId, AppId, SourceHookId},
    source_hooks::Sender,
};
use serde_json::json;
use sqlx::query;

use crate::{
    Change, Result, Store, StoreError,
    columns::{Columns, Record, list, required},
    seal::Purpose,
    write::Happening,
};

/// A webhook of a code host that deploys an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceHook {
    /// Its id.
    pub id: SourceHookId,
    /// The app that it deploys.
    pub app: AppId,
    /// In whose name.
    pub account: AccountId,
    /// Who calls it.
    pub sender: Sender,
    /// When it was made.
    pub created_at: Time,
    sealed_secret: String,
}

impl Record for SourceHook {
    const RESOURCE: &'static str = "source hook";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        Ok(Self {
            id: columns.parsed("id")?,
            app: columns.parsed("app_id")?,
            account: columns.parsed("account_id")?,
            sender: columns.parsed("sender")?,
            created_at: columns.time("created_at")?,
            sealed_secret: columns.text("sealed_secret")?,
        })
    }
}

impl Store {
    /// Makes a hook.
    pub async fn create_source_hook(
        &self,
        change: &Change,
        app: AppId,
        (account, sender): (AccountId, Sender),
        secret: &str,
    ) -> Result<SourceHook> {
        let mut write = self.write_app(change, app).await?;
        let key = self.data_key_in(&mut write, app).await?;
        let id = SourceHookId::new();
        let hook = SourceHook {
            id,
            app,
            account,
            sender,
            created_at: write.now,
            sealed_secret: key.seal(Purpose::SourceHook(id), secret),
        };
        let statement = query(
            "INSERT INTO source_hooks (id, app_id, account_id, sender, sealed_secret, created_at)
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(id.to_string())
        .bind(app.to_string())
        .bind(account.to_string())
        .bind(sender.to_string())
        .bind(hook.sealed_secret.clone())
        .bind(hook.created_at.as_micros());
        write.run(statement).await?;
        write.commit(happening("source-hook.create", &hook)).await?;
        Ok(hook)
    }

    /// An app's hooks, oldest first.
    pub async fn source_hooks(&self, app: AppId) -> Result<Vec<SourceHook>> {
        let statement =
            query("SELECT * FROM source_hooks WHERE app_id = $1 ORDER BY created_at, id")
                .bind(app.to_string());
        list(self.backend.reader(), statement).await
    }

    /// The hook with this id.
    pub async fn source_hook(&self, id: SourceHookId) -> Result<SourceHook> {
        let statement = query("SELECT * FROM source_hooks WHERE id = $1").bind(id.to_string());
        required(self.backend.reader(), statement, id).await
    }

    /// A hook's secret.
    pub async fn source_hook_secret(&self, hook: &SourceHook) -> Result<String> {
        let key = self.data_key(hook.app).await?;
        key.open(Purpose::SourceHook(hook.id), &hook.sealed_secret)
    }

    /// Removes a hook.
    pub async fn delete_source_hook(&self, change: &Change, hook: &SourceHook) -> Result<()> {
        let mut write = self.write_app(change, hook.app).await?;
        let statement = query("DELETE FROM source_hooks WHERE id = $1").bind(hook.id.to_string());
        if write.run(statement).await? == 0 {
            return Err(StoreError::not_found("source hook", &hook.id));
        }
        write.commit(happening("source-hook.destroy", hook)).await
    }

    /// Notes that a delivery was heard under these names; `false` if it was under any of them.
    /// Forgets what was heard before `oldest`.
    pub async fn hear_delivery(
        &self,
        change: &Change,
        hook: &SourceHook,
        (names, oldest): (&[String], Time),
    ) -> Result<bool> {
        let mut write = self.write_app(change, hook.app).await?;
        let statement = query("DELETE FROM source_hook_deliveries WHERE hook_id = $1 AND at < $2")
            .bind(hook.id.to_string())
            .bind(oldest.as_micros());
        write.run(statement).await?;
        for name in names {
            let statement = query(
                "INSERT INTO source_hook_deliveries (hook_id, delivery, at) VALUES ($1, $2, $3)
                 ON CONFLICT (hook_id, delivery) DO NOTHING",
            )
            .bind(hook.id.to_string())
            .bind(name.clone())
            .bind(write.now.as_micros());
            if write.run(statement).await? == 0 {
                return Ok(false);
            }
        }
        write.commit(happening("source-hook.hear", hook)).await?;
        Ok(true)
    }

    /// Forgets a delivery that came to nothing, so that it may be sent again.
    pub async fn forget_delivery(
        &self,
        change: &Change,
        hook: &SourceHook,
        names: &[String],
    ) -> Result<()> {
        let mut write = self.write_app(change, hook.app).await?;
        for name in names {
            let statement =
                query("DELETE FROM source_hook_deliveries WHERE hook_id = $1 AND delivery = $2")
                    .bind(hook.id.to_string())
                    .bind(name.clone());
            write.run(statement).await?;
        }
        write.commit(happening("source-hook.forget", hook)).await
    }
}

fn happening(kind: &'static str, hook: &SourceHook) -> Happening {
    Happening {
        kind,
        app: Some(hook.app),
        subject: hook.id.to_string(),
        details: json!({ "sender": hook.sender }),
    }
}
