//! Collaborators: who works on an app. The owner is one of them and cannot be removed.

use std::collections::BTreeSet;

use api::ids::{AccountId, TeamId};
use store::{Account, App, Collaborator, CollaboratorRole, NewCollaborator, Permission, TeamRole};

use crate::{
    Platform,
    authorize::{Action, Bearer, Target},
    caller::Caller,
    error::{Error, Result},
};

impl Platform {
    /// Everyone who works on an app, with their accounts.
    pub async fn collaborators(&self, app: &App) -> Result<Vec<(Collaborator, Account)>> {
        let mut found = Vec::new();
        let members = match app.team {
            Some(team) => self.store.team_members(team).await?,
            None => Vec::new(),
        };
        for mut row in self.store.collaborators(app.id).await? {
            let member = members.iter().find(|member| member.account == row.account);
            if let Some(member) = member {
                row.role = role_of(member.role);
            }
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

    /// Lets an account work on an app; one that does already is left as it is. On a team's app
    /// somebody from outside becomes known to the team as a collaborator.
    ///
    /// # Errors
    /// `NotFound` when nobody has that address or id, `Invalid` for a permission that there is not.
    pub async fn add_collaborator(
        &self,
        bearer: &Bearer,
        app: &App,
        (user, permissions): (&str, Option<&[String]>),
    ) -> Result<(Collaborator, Account)> {
        let wanted = permissions.map(parsed).transpose()?;
        let is_own = user.eq_ignore_ascii_case(&bearer.caller.email)
            || user == bearer.caller.account.to_string();
        if is_own && self.may_join(bearer, app).await? {
            return self.put_on(bearer, app, (user, by_default())).await;
        }
        self.authorize(Some(bearer), Action::UpdateCollaborators, Target::App(app))
            .await?;
        self.put_on(bearer, app, (user, wanted.unwrap_or_else(by_default)))
            .await
    }

    /// Members let themselves on apps of their team that are not locked, as on any they are on.
    async fn may_join(&self, bearer: &Bearer, app: &App) -> Result<bool> {
        let Some(team) = app.team else {
            return Ok(false);
        };
        let member = self.store.team_member(team, bearer.caller.account).await?;
        let may = member.is_some_and(|member| match member.role {
            TeamRole::Owner | TeamRole::Admin => true,
            TeamRole::Member => !app.locked,
            TeamRole::Viewer | TeamRole::Collaborator => false,
        });
        Ok(may)
    }

    async fn put_on(
        &self,
        bearer: &Bearer,
        app: &App,
        (user, permissions): (&str, BTreeSet<Permission>),
    ) -> Result<(Collaborator, Account)> {
        if let Ok(known) = self.collaborator(app, user).await {
            return Ok(known);
        }
        let account = self.person(user).await?;
        let change = bearer.caller.change();
        let mut role = CollaboratorRole::Collaborator;
        if let Some(team) = app.team {
            if let Some(member) = self.store.team_member(team, account.id).await? {
                role = role_of(member.role);
            } else {
                let outside = (account.id, TeamRole::Collaborator);
                self.store.set_team_member(&change, team, outside).await?;
            }
        }
        let new = NewCollaborator {
            account: account.id,
            role,
            permissions,
        };
        let row = self
            .store
            .create_collaborator(&change, app.id, &new)
            .await?;
        Ok((row, account))
    }

    /// Who is a team's collaborator on no app of it any more is none of it.
    async fn forget_outsider(
        &self,
        caller: &Caller,
        team: TeamId,
        account: AccountId,
    ) -> Result<()> {
        let member = self.store.team_member(team, account).await?;
        if member.is_none_or(|member| member.role != TeamRole::Collaborator) {
            return Ok(());
        }
        let joined = self.store.apps_joined(account).await?;
        let apps = self.store.apps_of_team(team).await?;
        if apps.iter().any(|app| joined.contains(&app.id)) {
            return Ok(());
        }
        self.store
            .delete_team_member(&caller.change(), team, account)
            .await?;
        Ok(())
    }

    /// Changes what a collaborator may do on an app. The owner may do everything.
    pub async fn update_collaborator(
        &self,
        caller: &Caller,
        app: &App,
        (identity, permissions): (&str, &[String]),
    ) -> Result<(Collaborator, Account)> {
        let (row, account) = self.collaborator(app, identity).await?;
        if row.role == CollaboratorRole::Owner {
            return Err(Error::Invalid {
                message: "The owner of an app may do everything.".to_owned(),
            });
        }
        let row = self
            .store
            .update_collaborator(&caller.change(), (app.id, row.id), &parsed(permissions)?)
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
        if let Some(team) = app.team {
            self.forget_outsider(caller, team, account.id).await?;
        }
        Ok((row, account))
    }
}

/// What a member of its team is to an app, as clients tell admins from the others.
fn role_of(role: TeamRole) -> CollaboratorRole {
    match role {
        TeamRole::Owner | TeamRole::Admin => CollaboratorRole::Admin,
        TeamRole::Member | TeamRole::Viewer => CollaboratorRole::Member,
        TeamRole::Collaborator => CollaboratorRole::Collaborator,
    }
}

/// What somebody may do who was let on an app without a word of what: all but manage.
fn by_default() -> BTreeSet<Permission> {
    [Permission::View, Permission::Deploy, Permission::Operate].into()
}

/// Permissions in the words of a client. Whoever may do anything may see the app.
fn parsed(words: &[String]) -> Result<BTreeSet<Permission>> {
    let mut permissions = BTreeSet::from([Permission::View]);
    for word in words {
        let permission = word.parse().map_err(|_| Error::Invalid {
            message: format!(
                "{word} is not a permission. Permissions are view, deploy, operate and manage."
            ),
        })?;
        permissions.insert(permission);
    }
    Ok(permissions)
}
