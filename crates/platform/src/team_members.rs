//! Team members: who is in a team, and as what. A team never is without an admin.

use store::{Account, Permission, Team, TeamMember, TeamRole};

use crate::{
    Platform,
    authorize::{Action, Bearer, Target},
    caller::Caller,
    error::{Error, Result},
};

impl Platform {
    /// A team's members with their accounts, oldest first.
    pub async fn team_members(&self, team: &Team) -> Result<Vec<(TeamMember, Account)>> {
        let mut found = Vec::new();
        for member in self.store.team_members(team.id).await? {
            let account = self.store.account(member.account).await?;
            found.push((member, account));
        }
        Ok(found)
    }

    /// One member, by email address, account id or the membership's id.
    pub async fn team_member(&self, team: &Team, identity: &str) -> Result<(TeamMember, Account)> {
        let members = self.team_members(team).await?.into_iter();
        let found = members.into_iter().find(|(member, account)| {
            account.email.eq_ignore_ascii_case(identity)
                || account.id.to_string() == identity
                || member.id.to_string() == identity
        });
        found.ok_or_else(|| Error::NotFound {
            resource: "team member",
            name: identity.to_owned(),
        })
    }

    /// Makes somebody a member, or a member something else.
    ///
    /// # Errors
    /// `Invalid` for a role that there is not, an address that nobody has, and the last admin.
    pub async fn set_team_member(
        &self,
        caller: &Caller,
        team: &Team,
        (email, role): (&str, &str),
    ) -> Result<(TeamMember, Account)> {
        let role = team_role(role)?;
        let account = match self.person(email).await {
            Err(Error::NotFound { .. }) => {
                return Err(Error::Invalid {
                    message: format!(
                        "Nobody has the address {email} here. Invite them: PUT /teams/{}/invitations \
                         answers with a link for them.",
                        team.name
                    ),
                });
            }
            found => found?,
        };
        let before = self.store.team_member(team.id, account.id).await?;
        if let Some(member) = &before
            && member.role.is_admin()
            && !role.is_admin()
        {
            self.check_other_admin(team, account.id).await?;
        }
        let member = self
            .store
            .set_team_member(&caller.change(), team.id, (account.id, role))
            .await?;
        Ok((member, account))
    }

    /// Takes somebody out of a team and off its apps. Everyone may leave, but for the last admin.
    pub async fn remove_team_member(
        &self,
        bearer: &Bearer,
        team: &Team,
        identity: &str,
    ) -> Result<(TeamMember, Account)> {
        let own = [bearer.caller.email.as_str(), "~"];
        let is_own = own.iter().any(|name| name.eq_ignore_ascii_case(identity))
            || identity == bearer.caller.account.to_string();
        if !is_own {
            let target = Target::Team(team);
            self.authorize(Some(bearer), Action::UpdateTeamMembers, target)
                .await?;
        }
        let identity = if identity == "~" {
            bearer.caller.email.as_str()
        } else {
            identity
        };
        let (member, account) = self.team_member(team, identity).await?;
        if member.role.is_admin() {
            self.check_other_admin(team, account.id).await?;
        }
        let gone = self
            .store
            .delete_team_member(&bearer.caller.change(), team.id, account.id)
            .await?;
        Ok((gone, account))
    }

    async fn check_other_admin(&self, team: &Team, but: api::ids::AccountId) -> Result<()> {
        let members = self.store.team_members(team.id).await?;
        let is_other = members
            .iter()
            .any(|member| member.role.is_admin() && member.account != but);
        if is_other {
            return Ok(());
        }
        Err(Error::Invalid {
            message: format!("The team {} needs another admin first.", team.name),
        })
    }

    /// A person's account, by email address or id; that of a team is nobody's.
    pub(crate) async fn person(&self, identity: &str) -> Result<Account> {
        let missing = || Error::NotFound {
            resource: "user",
            name: identity.to_owned(),
        };
        let account = match identity.parse() {
            Ok(id) => match self.store.account(id).await {
                Err(error) if error.is_not_found() => None,
                found => Some(found?),
            },
            Err(_) => self.store.account_by_email(identity).await?,
        };
        account
            .filter(|account| !account.is_team && account.deleted_at.is_none())
            .ok_or_else(missing)
    }

    /// Every app of a team with what each person may do there who was let on it.
    pub async fn team_permissions(
        &self,
        team: &Team,
    ) -> Result<Vec<(store::App, Vec<(Account, Vec<Permission>)>)>> {
        let mut found = Vec::new();
        for app in self.store.apps_of_team(team.id).await? {
            let mut users = Vec::new();
            for (row, account) in self.collaborators(&app).await? {
                if !account.is_team {
                    users.push((account, row.permissions.into_iter().collect()));
                }
            }
            found.push((app, users));
        }
        Ok(found)
    }
}

/// A role in the words of a client.
pub(crate) fn team_role(word: &str) -> Result<TeamRole> {
    word.parse().map_err(|_| Error::Invalid {
        message: format!(
            "{word} is not a role. Roles are owner, admin, member, viewer and collaborator."
        ),
    })
}
