//! Team invitations. There is no mail: who invites gets a link and hands it on. Who opens it signs in,
//! or chooses a password and so has an account.

use std::time::Duration;

use store::{Account, NewTeamInvitation, Team, TeamInvitation, TeamMember, hash_token};

use crate::{
    Platform,
    authorizations::new_token,
    caller::{Caller, system_change},
    error::{Error, Result},
    team_members::team_role,
};

/// How long an invitation may be accepted.
const LIFETIME: Duration = Duration::from_hours(7 * 24);

impl Platform {
    /// A team's invitations that can still be accepted.
    pub async fn team_invitations(&self, team: &Team) -> Result<Vec<TeamInvitation>> {
        let now = self.clock.now();
        let mut rows = self.store.team_invitations(team.id).await?;
        rows.retain(|row| now < row.expires_at);
        Ok(rows)
    }

    /// Invites an address to a team; the secret is told once.
    ///
    /// # Errors
    /// `Invalid` for what is no address or no role, and for who is in the team already.
    pub async fn invite_to_team(
        &self,
        caller: &Caller,
        team: &Team,
        (email, role): (&str, &str),
    ) -> Result<(TeamInvitation, String)> {
        check_address(email)?;
        let is_member = self.team_member(team, email).await.is_ok();
        if is_member {
            return Err(Error::Invalid {
                message: format!("{email} is in the team {} already.", team.name),
            });
        }
        let token = new_token();
        let new = NewTeamInvitation {
            email: email.to_owned(),
            role: team_role(role)?,
            invited_by: caller.account,
            token_hash: hash_token(&token),
            expires_at: self.clock.now().after(LIFETIME),
        };
        let made = self
            .store
            .put_team_invitation(&caller.change(), team.id, &new)
            .await?;
        Ok((made, token))
    }

    /// Takes an invitation back, by its id or the address.
    pub async fn revoke_team_invitation(
        &self,
        caller: &Caller,
        team: &Team,
        identity: &str,
    ) -> Result<TeamInvitation> {
        let rows = self.store.team_invitations(team.id).await?.into_iter();
        let found = rows
            .into_iter()
            .find(|row| row.id.to_string() == identity || row.email.eq_ignore_ascii_case(identity));
        let row = found.ok_or_else(unknown)?;
        self.store
            .delete_team_invitation(&caller.change(), &row)
            .await?;
        Ok(row)
    }

    /// The invitation of a secret, with its team.
    pub async fn invitation_of(&self, token: &str) -> Result<(TeamInvitation, Team)> {
        let found = self
            .store
            .team_invitation_by_token_hash(&hash_token(token))
            .await?;
        let now = self.clock.now();
        let row = found
            .filter(|row| now < row.expires_at)
            .ok_or_else(unknown)?;
        let team = self.store.team(row.team).await?;
        Ok((row, team))
    }

    /// Joins a team. The secret is for whoever has the address it was made for.
    pub async fn accept_invitation(
        &self,
        caller: &Caller,
        token: &str,
    ) -> Result<(TeamMember, Account)> {
        let (row, _) = self.invitation_of(token).await?;
        if !row.email.eq_ignore_ascii_case(&caller.email) {
            return Err(Error::Forbidden {
                what: "this invitation, which is for another address".to_owned(),
            });
        }
        let member = self
            .store
            .accept_team_invitation(&caller.change(), &row, caller.account)
            .await?;
        let account = self.store.account(caller.account).await?;
        Ok((member, account))
    }

    /// Makes the account of who was invited, with the password they chose, and has it join.
    ///
    /// # Errors
    /// `Invalid` when there is an account already: who has one signs in instead.
    pub async fn join_with_password(&self, token: &str, password: String) -> Result<Account> {
        let (row, _) = self.invitation_of(token).await?;
        let hash = self.new_password_hash(password).await?;
        let change = system_change(format!("invitation {}", row.id));
        let new = store::NewAccount {
            email: row.email.clone(),
            password_hash: Some(hash),
        };
        let account = match self.store.create_account(&change, &new).await {
            Err(store::StoreError::Conflict { .. }) => {
                return Err(Error::Invalid {
                    message:
                        "There is an account of that address already: sign in with it and accept \
                              the invitation."
                            .to_owned(),
                });
            }
            made => made?,
        };
        self.store
            .accept_team_invitation(&change, &row, account.id)
            .await?;
        Ok(account)
    }
}

fn unknown() -> Error {
    Error::NotFound {
        resource: "invitation",
        name: String::new(),
    }
}

/// Whether something can be an account's address. Whether mail arrives there is nobody's question.
pub(crate) fn check_address(email: &str) -> Result<()> {
    let fits = email.len() <= 254
        && email.split_once('@').is_some_and(|(name, domain)| {
            !name.is_empty()
                && !domain.contains('@')
                && domain.split('.').all(|label| !label.is_empty())
                && !domain.eq_ignore_ascii_case("herokumanager.com")
        })
        && email
            .chars()
            .all(|c| c.is_ascii_graphic() && !matches!(c, '"' | '<' | '>' | '/' | '\\' | ','));
    if fits {
        return Ok(());
    }
    Err(Error::Invalid {
        message: format!("{email} is not an email address."),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for fits in ["a@b.c", "first.last+tag@example.com", "me@localhost"] {
            assert!(check_address(fits).is_ok(), "{fits}");
        }
        for refused in [
            "",
            "a",
            "@b",
            "a@",
            "a@b@c",
            "a b@c",
            "<a>@b",
            "x@herokumanager.com",
        ] {
            assert!(check_address(refused).is_err(), "{refused}");
        }
    }
}
