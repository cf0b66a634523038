//! Teams: groups of people that own apps.

use api::{
    ids::TeamId,
    names::{NameError, TeamName},
    teams::{NewTeam, TeamUpdate},
};
use store::{StoreError, Team, TeamRole};

use crate::{
    Platform,
    caller::Caller,
    error::{Error, Result},
};

impl Platform {
    /// The team with this name or id, whoever asks.
    pub(crate) async fn team(&self, identity: &str) -> Result<Team> {
        if let Ok(id) = identity.parse::<TeamId>() {
            return Ok(self.store.team(id).await?);
        }
        let name: TeamName = identity.parse().map_err(|_| Error::NotFound {
            resource: "team",
            name: identity.to_owned(),
        })?;
        Ok(self.store.team_by_name(&name).await?)
    }

    /// The teams that the caller is in, and as what, oldest first.
    pub async fn teams(&self, caller: &Caller) -> Result<Vec<(Team, Option<TeamRole>)>> {
        let mut found = Vec::new();
        for team in self.store.teams_of(caller.account).await? {
            let role = self.team_role(caller, team.id).await?;
            found.push((team, role));
        }
        Ok(found)
    }

    /// What the caller is to a team.
    pub async fn team_role(&self, caller: &Caller, team: TeamId) -> Result<Option<TeamRole>> {
        let member = self.store.team_member(team, caller.account).await?;
        Ok(member.map(|member| member.role))
    }

    /// Makes a team, with the caller as its admin.
    ///
    /// # Errors
    /// `Invalid` for a name that is taken or not allowed.
    pub async fn create_team(&self, caller: &Caller, new: &NewTeam) -> Result<Team> {
        let row = store::NewTeam {
            name: team_name(&new.name)?,
            founder: caller.account,
        };
        named(self.store.create_team(&caller.change(), &row).await)
    }

    /// Renames a team.
    pub async fn update_team(
        &self,
        caller: &Caller,
        team: &Team,
        update: TeamUpdate,
    ) -> Result<Team> {
        if update.default == Some(true) {
            return Err(Error::Invalid {
                message: "There are no default teams here: name the team when you make an app."
                    .to_owned(),
            });
        }
        let Some(name) = update.name else {
            return Ok(team.clone());
        };
        let update = store::TeamUpdate {
            name: Some(team_name(&name)?),
            ..store::TeamUpdate::default()
        };
        named(
            self.store
                .update_team(&caller.change(), team.id, &update)
                .await,
        )
    }

    /// Says whether only listed add-on services may be used.
    ///
    /// # Errors
    /// `Invalid` for yes: there is no such list.
    pub async fn set_addons_controls(
        &self,
        caller: &Caller,
        team: &Team,
        addons_controls: Option<bool>,
    ) -> Result<Team> {
        if addons_controls == Some(true) {
            return Err(Error::Invalid {
                message:
                    "There is no list of add-on services that a team may use: every member who \
                          may deploy an app may add any service."
                        .to_owned(),
            });
        }
        let update = store::TeamUpdate {
            addons_controls,
            ..store::TeamUpdate::default()
        };
        Ok(self
            .store
            .update_team(&caller.change(), team.id, &update)
            .await?)
    }

    /// Removes a team that owns no app any more.
    pub async fn delete_team(&self, caller: &Caller, team: &Team) -> Result<Team> {
        match self.store.delete_team(&caller.change(), team.id).await {
            Err(StoreError::Conflict { .. }) => Err(Error::Invalid {
                message: format!(
                    "The team {} owns apps: delete them or give them away first.",
                    team.name
                ),
            }),
            outcome => Ok(outcome?),
        }
    }
}

fn team_name(text: &str) -> Result<TeamName> {
    text.parse().map_err(|error: NameError| Error::Invalid {
        message: error.to_string(),
    })
}

fn named(outcome: store::Result<Team>) -> Result<Team> {
    match outcome {
        Err(StoreError::Conflict { .. }) => Err(Error::Invalid {
            message: "Name is already taken".to_owned(),
        }),
        outcome => Ok(outcome?),
    }
}
