//! Team apps: apps made in a team, locked, joined, and given to other owners.

use std::collections::BTreeSet;

use api::{
    apps::NewApp,
    ids::{AccountId, AppId},
    team_apps::NewTeamApp,
};
use store::{App, AppTransfer, Team, team_account};

use crate::{
    Platform,
    apps::Owner,
    authorize::{Action, Bearer},
    caller::Caller,
    error::{Error, Result},
};

/// What came of giving an app away.
#[derive(Debug)]
pub enum Given {
    /// It has its new owner.
    App(Box<App>),
    /// Whom it was offered must accept it first.
    Offer(AppTransfer),
}

impl Platform {
    /// A team's apps, oldest first.
    pub async fn apps_of_team(&self, team: &Team) -> Result<Vec<App>> {
        Ok(self.store.apps_of_team(team.id).await?)
    }

    /// The apps that an account owns or was let on.
    pub async fn joined(&self, account: AccountId) -> Result<BTreeSet<AppId>> {
        Ok(self.store.apps_joined(account).await?)
    }

    /// Makes an app in a team, or the caller's own if none is named.
    pub async fn create_team_app(&self, bearer: &Bearer, new: NewTeamApp) -> Result<App> {
        if new.space.is_some() || new.internal_routing == Some(true) {
            return Err(Error::Invalid {
                message: "There are no private spaces here; leave space and internal_routing out."
                    .to_owned(),
            });
        }
        let is_personal = new.personal == Some(true);
        let team = match new.team.filter(|_| !is_personal) {
            None => None,
            Some(team) => Some(
                self.admitted_team(bearer, Action::CreateTeamApp, &team)
                    .await?,
            ),
        };
        let owner = Owner {
            team: team.map(|team| team.id),
            locked: new.locked == Some(true),
        };
        let app = NewApp {
            name: new.name,
            region: new.region,
            stack: new.stack,
        };
        self.create_app_of(&bearer.caller, app, owner).await
    }

    /// Says whether members of its team may let themselves on an app.
    pub async fn lock_app(&self, caller: &Caller, app: &App, locked: bool) -> Result<App> {
        if app.team.is_none() {
            return Err(Error::Invalid {
                message: "Only apps of a team can be locked.".to_owned(),
            });
        }
        Ok(self
            .store
            .lock_app(&caller.change(), app.id, locked)
            .await?)
    }

    /// Gives an app to a team in which the bearer may make apps, or to an account: at once to the
    /// bearer's own, else when it is accepted.
    pub async fn give_app(&self, bearer: &Bearer, app: &App, owner: &str) -> Result<Given> {
        let change = bearer.caller.change();
        let account = match self.person(owner).await {
            Err(Error::NotFound { .. }) => None,
            found => Some(found?),
        };
        let to = match account {
            Some(account) if account.id != bearer.caller.account => {
                let offer = self.store.create_app_transfer(&change, app.id, account.id);
                return Ok(Given::Offer(offer.await?));
            }
            Some(account) => (account.id, None),
            None => {
                let team = self
                    .admitted_team(bearer, Action::CreateTeamApp, owner)
                    .await?;
                (team_account(team.id), Some(team.id))
            }
        };
        if to.0 == app.owner {
            return Ok(Given::App(Box::new(app.clone())));
        }
        let given = self.store.transfer_app(&change, app.id, to).await?;
        self.nudges.nudge(app.id);
        Ok(Given::App(Box::new(given)))
    }
}
