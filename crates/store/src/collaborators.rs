//! Collaborators: who may work on an app. The owner is one of them.

use std::collections::BTreeSet;

use api::{
    clock::Time,
    ids::{AccountId, AppId, CollaboratorId},
};
use serde_json::json;
use sqlx::query;

use crate::{
    Change, Result, Store,
    columns::{Columns, Record, list, optional, required},
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

words! {
    /// What somebody may do on an app, in Heroku's words. Whoever may do anything may see it.
    Permission {
        /// See it, its releases and dynos.
        View = "view",
        /// Change its code and config vars.
        Deploy = "deploy",
        /// Keep it running: scale, restart, read its log.
        Operate = "operate",
        /// Choose who works on it, rename it, give it away, delete it.
        Manage = "manage",
    }
}

impl Permission {
    /// Every permission.
    pub const ALL: [Self; 4] = [Self::View, Self::Deploy, Self::Operate, Self::Manage];
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
    /// What they may do there.
    pub permissions: BTreeSet<Permission>,
    /// Since when.
    pub created_at: Time,
    /// When the role last changed.
    pub updated_at: Time,
}

/// A collaborator to add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCollaborator {
    /// Who.
    pub account: AccountId,
    /// As what.
    pub role: CollaboratorRole,
    /// What they may do there.
    pub permissions: BTreeSet<Permission>,
}

impl Record for Collaborator {
    const RESOURCE: &'static str = "collaborator";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        Ok(Self {
            id: columns.parsed("id")?,
            app: columns.parsed("app_id")?,
            account: columns.parsed("account_id")?,
            role: columns.parsed("role")?,
            permissions: columns.json("permissions")?,
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
        new: &NewCollaborator,
    ) -> Result<Collaborator> {
        let mut write = self.write_app(change, app).await?;
        let made = insert_collaborator(&mut write, app, new).await?;
        write
            .commit(happening("collaborator.create", &made))
            .await?;
        Ok(made)
    }

    /// An app's collaborators, its owner among them, oldest first.
    pub async fn collaborators(&self, app: AppId) -> Result<Vec<Collaborator>> {
        let statement =
            query("SELECT * FROM collaborators WHERE app_id = $1 ORDER BY created_at, id")
                .bind(app.to_string());
        list(self.backend.reader(), statement).await
    }

    /// What an account is to an app, if it works on it.
    pub async fn collaborator_of(
        &self,
        app: AppId,
        account: AccountId,
    ) -> Result<Option<Collaborator>> {
        let statement = query("SELECT * FROM collaborators WHERE app_id = $1 AND account_id = $2")
            .bind(app.to_string())
            .bind(account.to_string());
        optional(self.backend.reader(), statement).await
    }

    /// Changes what a collaborator may do.
    pub async fn update_collaborator(
        &self,
        change: &Change,
        (app, id): (AppId, CollaboratorId),
        permissions: &BTreeSet<Permission>,
    ) -> Result<Collaborator> {
        let mut write = self.write_app(change, app).await?;
        let mut row = collaborator_row(&mut write, app, id).await?;
        row.permissions.clone_from(permissions);
        row.updated_at = write.now;
        let statement =
            query("UPDATE collaborators SET permissions = $2, updated_at = $3 WHERE id = $1")
                .bind(id.to_string())
                .bind(json!(permissions).to_string())
                .bind(write.now.as_micros());
        write.run(statement).await?;
        write.commit(happening("collaborator.update", &row)).await?;
        Ok(row)
    }

    /// Removes a collaborator of an app.
    pub async fn delete_collaborator(
        &self,
        change: &Change,
        app: AppId,
        id: CollaboratorId,
    ) -> Result<()> {
        let mut write = self.write_app(change, app).await?;
        let gone = collaborator_row(&mut write, app, id).await?;
        write
            .run(query("DELETE FROM collaborators WHERE id = $1").bind(id.to_string()))
            .await?;
        write.commit(happening("collaborator.destroy", &gone)).await
    }
}

async fn collaborator_row(
    write: &mut Write<'_>,
    app: AppId,
    id: CollaboratorId,
) -> Result<Collaborator> {
    let statement = query("SELECT * FROM collaborators WHERE app_id = $1 AND id = $2")
        .bind(app.to_string())
        .bind(id.to_string());
    required(write.connection(), statement, id).await
}

/// Adds the row only; the caller tells the event.
pub(crate) async fn insert_collaborator(
    write: &mut Write<'_>,
    app: AppId,
    new: &NewCollaborator,
) -> Result<Collaborator> {
    let made = Collaborator {
        id: CollaboratorId::new(),
        app,
        account: new.account,
        role: new.role,
        permissions: new.permissions.clone(),
        created_at: write.now,
        updated_at: write.now,
    };
    let statement = query(
        "INSERT INTO collaborators (id, app_id, account_id, role, permissions, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $6)",
    )
    .bind(made.id.to_string())
    .bind(app.to_string())
    .bind(made.account.to_string())
    .bind(made.role.as_str())
    .bind(json!(made.permissions).to_string())
    .bind(write.now.as_micros());
    write
        .run(statement)
        .await
        .map_err(|e| e.or_conflict("collaborator", &made.account))?;
    Ok(made)
}

fn happening(kind: &'static str, row: &Collaborator) -> Happening {
    Happening {
        kind,
        app: Some(row.app),
        subject: row.id.to_string(),
        details: json!({ "account": row.account, "role": row.role,
            "permissions": row.permissions }),
    }
}
