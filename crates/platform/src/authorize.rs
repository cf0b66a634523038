//! The one place that decides who may do what. Default deny.
//!
//! Each request names an [`Action`]; the table in [`action`] says who may do it and which token scopes
//! carry it, [`target`] what it may be about. It must not know about HTTP. Read [`Platform::admit`].

mod action;
mod target;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use api::{authorizations::Scope, ids::AccountId};
use store::{App, Permission, Team, TeamRole};

use self::action::Needs;
pub use self::{
    action::Action,
    target::{Kind, Subject, Target},
};
use crate::{
    Platform,
    caller::Caller,
    error::{Error, Result},
};

/// Who shows which token: a caller, and how far the token goes.
#[derive(Clone, Debug)]
pub struct Bearer {
    /// Whose token it is.
    pub caller: Caller,
    /// What the token may do.
    pub scopes: Vec<Scope>,
    /// Which token it is; none when a password was given.
    pub authorization: Option<api::ids::AuthorizationId>,
}

/// What an account is to what a request is about. Nothing of all this: a stranger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Standing {
    is_operator: bool,
    permissions: BTreeSet<Permission>,
    role: Option<TeamRole>,
}

impl Standing {
    /// Whether the account may not even know that the thing is there.
    fn is_strange(&self) -> bool {
        self.permissions.is_empty() && self.role.is_none()
    }
}

impl Platform {
    /// What a path or a body names, if the bearer may do this to it.
    ///
    /// # Errors
    /// `Forbidden` when the token's scope or the account's standing does not do; `NotFound` alike for
    /// what is not there and for what the account may not know of.
    pub async fn admit(&self, bearer: &Bearer, action: Action, identity: &str) -> Result<Subject> {
        check_scope(Some(&bearer.scopes), action)
            .map_err(|refusal| said(refusal, Target::Platform))?;
        let Some(kind) = action.about() else {
            return Err(said(Refusal::Standing, Target::Platform));
        };
        let subject = self.find(kind, identity).await?;
        self.authorize(Some(bearer), action, subject.target())
            .await?;
        Ok(subject)
    }

    /// The app that a path or a body names, if the bearer may do this to it. See [`Self::admit`].
    pub async fn admitted_app(
        &self,
        bearer: &Bearer,
        action: Action,
        identity: &str,
    ) -> Result<App> {
        let Subject::App(app) = self.admit(bearer, action, identity).await? else {
            return Err(said(Refusal::Standing, Target::Platform));
        };
        Ok(app)
    }

    /// The team that a path or a body names, if the bearer may do this to it. See [`Self::admit`].
    pub async fn admitted_team(
        &self,
        bearer: &Bearer,
        action: Action,
        identity: &str,
    ) -> Result<Team> {
        let Subject::Team(team) = self.admit(bearer, action, identity).await? else {
            return Err(said(Refusal::Standing, Target::Platform));
        };
        Ok(team)
    }

    /// Allows an action or says why not. Every request passes here before anything else is done.
    ///
    /// # Errors
    /// `Unauthorized` without a token where one is needed, `Forbidden` with one that does not do,
    /// `NotFound` for what its account may not know of.
    pub async fn authorize(
        &self,
        bearer: Option<&Bearer>,
        action: Action,
        target: Target<'_>,
    ) -> Result<()> {
        let scopes = bearer.map(|bearer| bearer.scopes.as_slice());
        check_scope(scopes, action).map_err(|refusal| said(refusal, target))?;
        let standing = match bearer {
            Some(bearer) => self.standing(bearer.caller.account, action, target).await?,
            None => Standing::default(),
        };
        check_standing(action, &standing).map_err(|refusal| said(refusal, target))
    }

    /// What an account may do on an app, whatever its token may.
    pub async fn permissions(&self, account: AccountId, app: &App) -> Result<BTreeSet<Permission>> {
        if app.owner == account {
            return Ok(Permission::ALL.into());
        }
        let mut permissions = match self.store.collaborator_of(app.id, account).await? {
            Some(row) => row.permissions,
            None => BTreeSet::new(),
        };
        if let Some(team) = app.team
            && let Some(member) = self.store.team_member(team, account).await?
        {
            permissions.extend(permissions_of(member.role));
        }
        Ok(permissions)
    }

    async fn standing(
        &self,
        account: AccountId,
        action: Action,
        target: Target<'_>,
    ) -> Result<Standing> {
        let mut standing = Standing::default();
        match target {
            Target::Platform if action.rule().0 == Needs::Operator => {
                standing.is_operator = self.store.account(account).await?.is_operator;
            }
            Target::Platform => {}
            Target::App(app) => standing.permissions = self.permissions(account, app).await?,
            Target::Pipeline(pipeline) => {
                standing.permissions = self.permissions_on_pipeline(account, pipeline).await?;
            }
            Target::Team(team) => {
                let member = self.store.team_member(team.id, account).await?;
                standing.role = member.map(|member| member.role);
            }
        }
        Ok(standing)
    }
}

/// What a role in a team allows on every app of the team.
pub(crate) fn permissions_of(role: TeamRole) -> &'static [Permission] {
    match role {
        TeamRole::Owner | TeamRole::Admin => &Permission::ALL,
        TeamRole::Member | TeamRole::Viewer => &[Permission::View],
        TeamRole::Collaborator => &[],
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    NoToken,
    Scope,
    /// The thing may not be known.
    Stranger,
    Standing,
}

fn said(refusal: Refusal, target: Target<'_>) -> Error {
    match (refusal, target.named()) {
        (Refusal::NoToken, _) => Error::Unauthorized,
        (Refusal::Scope, _) => Error::Forbidden {
            what: "this with the token's scope".to_owned(),
        },
        (Refusal::Stranger, Some((kind, name))) => Error::NotFound {
            resource: kind.resource(),
            name,
        },
        (Refusal::Standing, Some((kind, name))) => Error::Forbidden {
            what: format!("the {} {name}", kind.resource()),
        },
        (Refusal::Stranger | Refusal::Standing, None) => Error::Forbidden {
            what: "this".to_owned(),
        },
    }
}

/// Whether a token of these scopes carries the action; looked at before anything is looked up.
fn check_scope(scopes: Option<&[Scope]>, action: Action) -> Result<(), Refusal> {
    let (needs, carried_by) = action.rule();
    if needs == Needs::Anyone {
        return Ok(());
    }
    let scopes = scopes.ok_or(Refusal::NoToken)?;
    let is_carried = scopes
        .iter()
        .any(|scope| *scope == Scope::Global || carried_by.contains(scope));
    if is_carried {
        Ok(())
    } else {
        Err(Refusal::Scope)
    }
}

/// Whether somebody of this standing may.
fn check_standing(action: Action, standing: &Standing) -> Result<(), Refusal> {
    let is_allowed = match action.rule().0 {
        Needs::Anyone | Needs::SignedIn => true,
        // Who owns an app is not the platform's operator by that.
        Needs::Operator => standing.is_operator,
        Needs::Permission(_, any) => any
            .iter()
            .any(|permission| standing.permissions.contains(permission)),
        Needs::Role(any) => standing.role.is_some_and(|role| any.contains(&role)),
    };
    if is_allowed {
        Ok(())
    } else if standing.is_strange() {
        Err(Refusal::Stranger)
    } else {
        Err(Refusal::Standing)
    }
}
