//! Team invitations: who may join a team, with which secret, until when.

use api::{
    clock::Time,
    ids::{AccountId, TeamId, TeamInvitationId},
};
use serde_json::json;
use sqlx::query;

use crate::{
    Change, Result, Store, TeamMember, TeamRole,
    columns::{Columns, Record, list, optional, required},
    team_members::{insert_member, member_row},
    teams::happening,
};

/// That somebody may join a team.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TeamInvitation {
    /// Its id.
    pub id: TeamInvitationId,
    /// To which team.
    pub team: TeamId,
    /// Who, in lower case; there need not be an account of it yet.
    pub email: String,
    /// As what.
    pub role: TeamRole,
    /// Who says so.
    pub invited_by: AccountId,
    /// Until when; callers compare it with the present.
    pub expires_at: Time,
    /// Since when.
    pub created_at: Time,
    /// When the role or the secret last changed.
    pub updated_at: Time,
}

/// An invitation to make; one of the same address is replaced.
#[derive(Clone, Debug)]
pub struct NewTeamInvitation {
    /// Who; letter case is dropped.
    pub email: String,
    /// As what.
    pub role: TeamRole,
    /// Who says so.
    pub invited_by: AccountId,
    /// See [`crate::hash_token`]; unique.
    pub token_hash: String,
    /// Until when.
    pub expires_at: Time,
}

impl Record for TeamInvitation {
    const RESOURCE: &'static str = "invitation";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        Ok(Self {
            id: columns.parsed("id")?,
            team: columns.parsed("team_id")?,
            email: columns.text("email")?,
            role: columns.parsed("role")?,
            invited_by: columns.parsed("invited_by")?,
            expires_at: columns.time("expires_at")?,
            created_at: columns.time("created_at")?,
            updated_at: columns.time("updated_at")?,
        })
    }
}

impl Store {
    /// Invites somebody to a team; the secret of an earlier invitation is void.
    pub async fn put_team_invitation(
        &self,
        change: &Change,
        team: TeamId,
        new: &NewTeamInvitation,
    ) -> Result<TeamInvitation> {
        let mut write = self.write(change).await?;
        let email = new.email.to_lowercase();
        let statement = query(
            "INSERT INTO team_invitations (id, team_id, email, role, invited_by, token_hash,
                                           expires_at, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)
             ON CONFLICT (team_id, email) DO UPDATE
             SET role = excluded.role, invited_by = excluded.invited_by,
                 token_hash = excluded.token_hash, expires_at = excluded.expires_at,
                 updated_at = excluded.updated_at",
        )
        .bind(TeamInvitationId::new().to_string())
        .bind(team.to_string())
        .bind(email.clone())
        .bind(new.role.as_str())
        .bind(new.invited_by.to_string())
        .bind(new.token_hash.clone())
        .bind(new.expires_at.as_micros())
        .bind(write.now.as_micros());
        write.run(statement).await?;
        let statement = query("SELECT * FROM team_invitations WHERE team_id = $1 AND email = $2")
            .bind(team.to_string())
            .bind(email.clone());
        let made: TeamInvitation = required(write.connection(), statement, &email).await?;
        let details = json!({ "email": email, "role": new.role });
        write
            .commit(happening("team-invitation.create", team, details))
            .await?;
        Ok(made)
    }

    /// A team's invitations, expired ones too, oldest first.
    pub async fn team_invitations(&self, team: TeamId) -> Result<Vec<TeamInvitation>> {
        let statement =
            query("SELECT * FROM team_invitations WHERE team_id = $1 ORDER BY created_at, id")
                .bind(team.to_string());
        list(self.backend.reader(), statement).await
    }

    /// The invitation of a secret, expired or not.
    pub async fn team_invitation_by_token_hash(
        &self,
        hash: &str,
    ) -> Result<Option<TeamInvitation>> {
        let statement =
            query("SELECT * FROM team_invitations WHERE token_hash = $1").bind(hash.to_owned());
        optional(self.backend.reader(), statement).await
    }

    /// Makes who was invited a member. Who is one already keeps their role.
    ///
    /// # Errors
    /// `NotFound` when the invitation was used or revoked meanwhile.
    pub async fn accept_team_invitation(
        &self,
        change: &Change,
        invitation: &TeamInvitation,
        account: AccountId,
    ) -> Result<TeamMember> {
        let mut write = self.write(change).await?;
        let statement =
            query("DELETE FROM team_invitations WHERE id = $1").bind(invitation.id.to_string());
        if write.run(statement).await? == 0 {
            return Err(crate::StoreError::not_found("invitation", &invitation.id));
        }
        let team = invitation.team;
        let known: Option<TeamMember> = write.find(member_row(team, account)).await?;
        if known.is_none() {
            insert_member(&mut write, team, (account, invitation.role)).await?;
        }
        let member = required(write.connection(), member_row(team, account), account).await?;
        let details = json!({ "account": account, "role": invitation.role });
        write
            .commit(happening("team-invitation.accept", team, details))
            .await?;
        Ok(member)
    }

    /// Takes an invitation back.
    pub async fn delete_team_invitation(
        &self,
        change: &Change,
        invitation: &TeamInvitation,
    ) -> Result<()> {
        let mut write = self.write(change).await?;
        let statement =
            query("DELETE FROM team_invitations WHERE id = $1").bind(invitation.id.to_string());
        if write.run(statement).await? == 0 {
            return Err(crate::StoreError::not_found("invitation", &invitation.id));
        }
        let details = json!({ "email": invitation.email });
        write
            .commit(happening(
                "team-invitation.destroy",
                invitation.team,
                details,
            ))
            .await
    }
}
