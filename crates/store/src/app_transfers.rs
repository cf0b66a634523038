//! App transfers: offers to give an app to another owner, and the giving itself.

use api::{
    clock::Time,
    ids::{AccountId, AppId, AppTransferId, TeamId},
};
use serde_json::json;
use sqlx::query;

use crate::{
    App, Change, CollaboratorRole, NewCollaborator, Permission, Result, Store,
    apps::app_row,
    collaborators::insert_collaborator,
    columns::{Columns, Record, list, required},
    words::words,
    write::{Happening, Write},
};

words! {
    /// What became of an offer.
    TransferState {
        /// The recipient has not answered.
        Pending = "pending",
        /// The recipient owns the app.
        Accepted = "accepted",
        /// The recipient does not want it.
        Declined = "declined",
    }
}

/// An offer to give an app to another owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppTransfer {
    /// Its id.
    pub id: AppTransferId,
    /// Which app.
    pub app: AppId,
    /// Who owned it when it was offered.
    pub owner: AccountId,
    /// Who may have it.
    pub recipient: AccountId,
    /// What became of it.
    pub state: TransferState,
    /// Since when.
    pub created_at: Time,
    /// When it was answered.
    pub updated_at: Time,
}

impl Record for AppTransfer {
    const RESOURCE: &'static str = "app transfer";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        Ok(Self {
            id: columns.parsed("id")?,
            app: columns.parsed("app_id")?,
            owner: columns.parsed("owner_id")?,
            recipient: columns.parsed("recipient_id")?,
            state: columns.parsed("state")?,
            created_at: columns.time("created_at")?,
            updated_at: columns.time("updated_at")?,
        })
    }
}

impl Store {
    /// Offers an app to somebody; an offer before that nobody has answered is withdrawn.
    pub async fn create_app_transfer(
        &self,
        change: &Change,
        app: AppId,
        recipient: AccountId,
    ) -> Result<AppTransfer> {
        let mut write = self.write_app(change, app).await?;
        let owner = app_row(&mut write, app).await?.owner;
        withdraw(&mut write, app).await?;
        let made = AppTransfer {
            id: AppTransferId::new(),
            app,
            owner,
            recipient,
            state: TransferState::Pending,
            created_at: write.now,
            updated_at: write.now,
        };
        let statement = query(
            "INSERT INTO app_transfers (id, app_id, owner_id, recipient_id, state, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $6)",
        )
        .bind(made.id.to_string())
        .bind(app.to_string())
        .bind(owner.to_string())
        .bind(recipient.to_string())
        .bind(made.state.as_str())
        .bind(write.now.as_micros());
        write.run(statement).await?;
        write
            .commit(happening("app-transfer.create", &made))
            .await?;
        Ok(made)
    }

    /// The offer with this id.
    pub async fn app_transfer(&self, id: AppTransferId) -> Result<AppTransfer> {
        let statement = query("SELECT * FROM app_transfers WHERE id = $1").bind(id.to_string());
        required(self.backend.reader(), statement, id).await
    }

    /// Every offer, oldest first.
    pub async fn app_transfers(&self) -> Result<Vec<AppTransfer>> {
        let statement = query("SELECT * FROM app_transfers ORDER BY created_at, id");
        list(self.backend.reader(), statement).await
    }

    /// Withdraws an offer.
    pub async fn delete_app_transfer(&self, change: &Change, offer: &AppTransfer) -> Result<()> {
        let mut write = self.write_app(change, offer.app).await?;
        let statement = query("DELETE FROM app_transfers WHERE id = $1").bind(offer.id.to_string());
        write.run(statement).await?;
        write.commit(happening("app-transfer.destroy", offer)).await
    }

    /// Takes down that an offer is not wanted.
    pub async fn decline_app_transfer(
        &self,
        change: &Change,
        offer: &AppTransfer,
    ) -> Result<AppTransfer> {
        let mut write = self.write_app(change, offer.app).await?;
        let declined = answered(&mut write, offer, TransferState::Declined).await?;
        write
            .commit(happening("app-transfer.decline", &declined))
            .await?;
        Ok(declined)
    }

    /// Gives an app to who was offered it.
    pub async fn accept_app_transfer(
        &self,
        change: &Change,
        offer: &AppTransfer,
    ) -> Result<AppTransfer> {
        let mut write = self.write_app(change, offer.app).await?;
        let accepted = answered(&mut write, offer, TransferState::Accepted).await?;
        give(&mut write, offer.app, (offer.recipient, None)).await?;
        write
            .commit(happening("app-transfer.accept", &accepted))
            .await?;
        Ok(accepted)
    }

    /// Gives an app to an account, or to a team by its account. Who owned it goes on working on it;
    /// offers of it are withdrawn.
    pub async fn transfer_app(
        &self,
        change: &Change,
        app: AppId,
        to: (AccountId, Option<TeamId>),
    ) -> Result<App> {
        let mut write = self.write_app(change, app).await?;
        let former = app_row(&mut write, app).await?.owner;
        withdraw(&mut write, app).await?;
        give(&mut write, app, to).await?;
        let given = app_row(&mut write, app).await?;
        let happening = Happening {
            kind: "app.transfer",
            app: Some(app),
            subject: app.to_string(),
            details: json!({ "owner": to.0, "former_owner": former }),
        };
        write.commit(happening).await?;
        Ok(given)
    }

    /// Says whether members of its team may let themselves on an app.
    pub async fn lock_app(&self, change: &Change, app: AppId, locked: bool) -> Result<App> {
        let mut write = self.write_app(change, app).await?;
        let statement = query("UPDATE apps SET locked = $2, updated_at = $3 WHERE id = $1")
            .bind(app.to_string())
            .bind(i64::from(locked))
            .bind(write.now.as_micros());
        write.run(statement).await?;
        let updated = app_row(&mut write, app).await?;
        let happening = Happening {
            kind: "app.update",
            app: Some(app),
            subject: app.to_string(),
            details: json!({ "locked": locked }),
        };
        write.commit(happening).await?;
        Ok(updated)
    }
}

async fn withdraw(write: &mut Write<'_>, app: AppId) -> Result<()> {
    let statement = query("DELETE FROM app_transfers WHERE app_id = $1 AND state = $2")
        .bind(app.to_string())
        .bind(TransferState::Pending.as_str());
    write.run(statement).await?;
    Ok(())
}

/// An offer can be answered once.
async fn answered(
    write: &mut Write<'_>,
    offer: &AppTransfer,
    state: TransferState,
) -> Result<AppTransfer> {
    let statement = query(
        "UPDATE app_transfers SET state = $2, updated_at = $3 WHERE id = $1 AND state = 'pending'",
    )
    .bind(offer.id.to_string())
    .bind(state.as_str())
    .bind(write.now.as_micros());
    if write.run(statement).await? == 0 {
        return Err(crate::StoreError::stale("app transfer", &offer.id));
    }
    Ok(AppTransfer {
        state,
        updated_at: write.now,
        ..offer.clone()
    })
}

/// Changes the rows only; the caller tells the event.
async fn give(
    write: &mut Write<'_>,
    app: AppId,
    (owner, team): (AccountId, Option<TeamId>),
) -> Result<()> {
    let former = app_row(write, app).await?;
    let statement = query(
        "UPDATE apps SET owner_id = $2, team_id = $3, locked = 0, updated_at = $4 WHERE id = $1",
    )
    .bind(app.to_string())
    .bind(owner.to_string())
    .bind(team.map(|team| team.to_string()))
    .bind(write.now.as_micros());
    write.run(statement).await?;
    let statement =
        query("DELETE FROM collaborators WHERE app_id = $1 AND (account_id = $2 OR role = $3)")
            .bind(app.to_string())
            .bind(owner.to_string())
            .bind(CollaboratorRole::Owner.as_str());
    write.run(statement).await?;
    let new = NewCollaborator {
        account: owner,
        role: CollaboratorRole::Owner,
        permissions: Permission::ALL.into(),
    };
    insert_collaborator(write, app, &new).await?;
    if former.team.is_none() && former.owner != owner {
        let stays = NewCollaborator {
            account: former.owner,
            role: CollaboratorRole::Collaborator,
            permissions: [Permission::View, Permission::Deploy, Permission::Operate].into(),
        };
        insert_collaborator(write, app, &stays).await?;
    }
    Ok(())
}

fn happening(kind: &'static str, offer: &AppTransfer) -> Happening {
    Happening {
        kind,
        app: Some(offer.app),
        subject: offer.id.to_string(),
        details: json!({ "owner": offer.owner, "recipient": offer.recipient,
            "state": offer.state }),
    }
}
