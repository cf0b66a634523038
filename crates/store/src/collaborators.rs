//! Collaborators: who may work on an app. The owner is one of them.

use api::{
    clock::Time,
    ids::{AccountId, AppId, CollaboratorId},
};
use serde_json::json;
use sqlx::query;

use crate::{
    Change, Result, Store,
    columns::{Columns, Record, list, required},
    words::words,
    write::{Happening, Write},
};

words! {
    /// What a collaborator is to an app.
    CollaboratorRole {
        /// The account that owns it.
        Owner = "owner",
        /// May do all but give it away.
        Admin = "admin",
        /// Belongs to the owning team.
        Member = "member",
        /// Was invited to this app.
        Collaborator = "collaborator",
    }
}

/// A person who may work on an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collaborator {
    /// Its id.
    pub id: CollaboratorId,
    /// On which app.
    pub app: AppId,
    /// Who.
    pub account: AccountId,
    /// As what.
    pub role: CollaboratorRole,
    /// Since when.
    pub created_at: Time,
    /// When the role last changed.
    pub updated_at: Time,
}

impl Record for Collaborator {
    const RESOURCE: &'static str = "collaborator";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        Ok(Self {
            id: columns.parsed("id")?,
            app: columns.parsed("app_id")?,
            account: columns.parsed("account_id")?,
            role: columns.parsed("role")?,
            created_at: columns.time("created_at")?,
            updated_at: columns.time("updated_at")?,
        })
    }
}

impl Store {
    /// Adds a collaborator; one that is there already is a conflict.
    pub async fn create_collaborator(
        &self,
        change: &Change,
        app: AppId,
        account: AccountId,
        role: CollaboratorRole,
    ) -> Result<Collaborator> {
        let mut write = self.write_app(change, app).await?;
        let id = CollaboratorId::new();
        insert_collaborator(&mut write, id, (app, account, role)).await?;
        let (created_at, updated_at) = (write.now, write.now);
        let details = json!({ "account": account, "role": role });
        write
            .commit(happening("collaborator.create", app, id, details))
            .await?;
        Ok(Collaborator {
            id,
            app,
            account,
            role,
            created_at,
            updated_at,
        })
    }

    /// An app's collaborators, its owner among them, oldest first.
    pub async fn collaborators(&self, app: AppId) -> Result<Vec<Collaborator>> {
        let statement =
            query("SELECT * FROM collaborators WHERE app_id = $1 ORDER BY created_at, id")
                .bind(app.to_string());
        list(self.backend.reader(), statement).await
    }

    /// Removes a collaborator of an app.
    pub async fn delete_collaborator(
        &self,
        change: &Change,
        app: AppId,
        id: CollaboratorId,
    ) -> Result<()> {
        let mut write = self.write_app(change, app).await?;
        let statement = query("SELECT * FROM collaborators WHERE app_id = $1 AND id = $2")
            .bind(app.to_string())
            .bind(id.to_string());
        let gone: Collaborator = required(write.connection(), statement, id).await?;
        write
            .run(query("DELETE FROM collaborators WHERE id = $1").bind(id.to_string()))
            .await?;
        let details = json!({ "account": gone.account, "role": gone.role });
        write
            .commit(happening("collaborator.destroy", app, id, details))
            .await
    }
}

/// Adds the row only; the caller tells the event.
pub(crate) async fn insert_collaborator(
    write: &mut Write<'_>,
    id: CollaboratorId,
    (app, account, role): (AppId, AccountId, CollaboratorRole),
) -> Result<()> {
    let statement = query(
        "INSERT INTO collaborators (id, app_id, account_id, role, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $5)",
    )
    .bind(id.to_string())
    .bind(app.to_string())
    .bind(account.to_string())
    .bind(role.as_str())
    .bind(write.now.as_micros());
    write
        .run(statement)
        .await
        .map_err(|e| e.or_conflict("collaborator", &account))?;
    Ok(())
}

fn happening(
    kind: &'static str,
    app: AppId,
    id: CollaboratorId,
    details: serde_json::Value,
) -> Happening {
    Happening {
        kind,
        app: Some(app),
        subject: id.to_string(),
        details,
    }
}
