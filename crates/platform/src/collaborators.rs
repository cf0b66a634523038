//! Collaborators: who works on an app. The owner is one of them and cannot be removed.

use store::{Account, App, Collaborator, CollaboratorRole, NewCollaborator, Permission};

use crate::{
    Platform,
    caller::Caller,
    error::{Error, Result},
};

impl Platform {
    /// Everyone who works on an app, with their accounts.
    pub async fn collaborators(&self, app: &App) -> Result<Vec<(Collaborator, Account)>> {
        let mut found = Vec::new();
        for row in self.store.collaborators(app.id).await? {
            let account = self.store.account(row.account).await?;
            found.push((row, account));
        }
        Ok(found)
    }

    /// One collaborator, by email address, account id or collaborator id.
    pub async fn collaborator(&self, app: &App, identity: &str) -> Result<(Collaborator, Account)> {
        let found = self
            .collaborators(app)
            .await?
            .into_iter()
            .find(|(row, account)| {
                account.email.eq_ignore_ascii_case(identity)
                    || account.id.to_string() == identity
                    || row.id.to_string() == identity
            });
        found.ok_or_else(|| Error::NotFound {
            resource: "collaborator",
            name: identity.to_owned(),
        })
    }

    /// Lets an account work on an app; one that does already is left as it is.
    ///
    /// # Errors
    /// `NotFound` when nobody has that address or id.
    pub async fn add_collaborator(
        &self,
        caller: &Caller,
        app: &App,
        user: &str,
    ) -> Result<(Collaborator, Account)> {
        if let Ok(known) = self.collaborator(app, user).await {
            return Ok(known);
        }
        let account = match user.parse() {
            Ok(id) => Some(self.store.account(id).await?),
            Err(_) => self.store.account_by_email(user).await?,
        };
        let account = account.ok_or_else(|| Error::NotFound {
            resource: "user",
            name: user.to_owned(),
        })?;
        let new = NewCollaborator {
            account: account.id,
            role: CollaboratorRole::Collaborator,
            permissions: [Permission::View, Permission::Deploy, Permission::Operate].into(),
        };
        let row = self
            .store
            .create_collaborator(&caller.change(), app.id, &new)
            .await?;
        Ok((row, account))
    }

    /// Ends somebody's work on an app. Everyone may end their own; the owner cannot.
    pub async fn remove_collaborator(
        &self,
        caller: &Caller,
        app: &App,
        identity: &str,
    ) -> Result<(Collaborator, Account)> {
        let (row, account) = self.collaborator(app, identity).await?;
        if row.role == CollaboratorRole::Owner {
            return Err(Error::Invalid {
                message: "The owner of an app cannot leave it.".to_owned(),
            });
        }
        let may_choose = self.permissions(caller.account, app).await?;
        if account.id != caller.account && !may_choose.contains(&Permission::Manage) {
            return Err(Error::Forbidden {
                what: format!("the collaborators of {}", app.name),
            });
        }
        self.store
            .delete_collaborator(&caller.change(), app.id, row.id)
            .await?;
        Ok((row, account))
    }
}
