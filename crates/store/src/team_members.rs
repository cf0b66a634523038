//! Team members: who is in a team, and as what.

use api::{
    clock::Time,
    ids::{AccountId, TeamId, TeamMemberId},
};
use serde_json::json;
use sqlx::query;

use crate::{
    Change, Result, Store,
    columns::{Columns, Record, Statement, list, optional, required},
    teams::happening,
    words::words,
    write::Write,
};

words! {
    /// What somebody is to a team.
    TeamRole {
        /// May do everything, as an admin does.
        Owner = "owner",
        /// May do everything.
        Admin = "admin",
        /// Sees the team and its apps, makes apps, lets themselves on apps that are not locked.
        Member = "member",
        /// Sees the team and its apps.
        Viewer = "viewer",
        /// Knows of the team, because they work on an app of it.
        Collaborator = "collaborator",
    }
}

impl TeamRole {
    /// Whether they may do everything.
    pub const fn is_admin(self) -> bool {
        matches!(self, Self::Owner | Self::Admin)
    }
}

/// A person in a team.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TeamMember {
    /// Its id.
    pub id: TeamMemberId,
    /// In which team.
    pub team: TeamId,
    /// Who.
    pub account: AccountId,
    /// As what.
    pub role: TeamRole,
    /// Since when.
    pub created_at: Time,
    /// When the role last changed.
    pub updated_at: Time,
}

impl Record for TeamMember {
    const RESOURCE: &'static str = "team member";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        Ok(Self {
            id: columns.parsed("id")?,
            team: columns.parsed("team_id")?,
            account: columns.parsed("account_id")?,
            role: columns.parsed("role")?,
            created_at: columns.time("created_at")?,
            updated_at: columns.time("updated_at")?,
        })
    }
}

impl Store {
    /// A team's members, oldest first.
    pub async fn team_members(&self, team: TeamId) -> Result<Vec<TeamMember>> {
        let statement =
            query("SELECT * FROM team_members WHERE team_id = $1 ORDER BY created_at, id")
                .bind(team.to_string());
        list(self.backend.reader(), statement).await
    }

    /// What an account is to a team, if it is in it.
    pub async fn team_member(
        &self,
        team: TeamId,
        account: AccountId,
    ) -> Result<Option<TeamMember>> {
        optional(self.backend.reader(), member_row(team, account)).await
    }

    /// Makes an account a member of a team, or one that is a member something else there.
    pub async fn set_team_member(
        &self,
        change: &Change,
        team: TeamId,
        (account, role): (AccountId, TeamRole),
    ) -> Result<TeamMember> {
        let mut write = self.write(change).await?;
        let kind = match write.find::<TeamMember>(member_row(team, account)).await? {
            None => {
                insert_member(&mut write, team, (account, role)).await?;
                "team-member.create"
            }
            Some(member) => {
                let statement =
                    query("UPDATE team_members SET role = $2, updated_at = $3 WHERE id = $1")
                        .bind(member.id.to_string())
                        .bind(role.as_str())
                        .bind(write.now.as_micros());
                write.run(statement).await?;
                "team-member.update"
            }
        };
        let statement = member_row(team, account);
        let member: TeamMember = required(write.connection(), statement, account).await?;
        let details = json!({ "account": account, "role": role });
        write.commit(happening(kind, team, details)).await?;
        Ok(member)
    }

    /// Takes an account out of a team, and off its apps.
    pub async fn delete_team_member(
        &self,
        change: &Change,
        team: TeamId,
        account: AccountId,
    ) -> Result<TeamMember> {
        let mut write = self.write(change).await?;
        let statement = member_row(team, account);
        let gone: TeamMember = required(write.connection(), statement, account).await?;
        for statement in [
            "DELETE FROM team_members WHERE team_id = $1 AND account_id = $2",
            "DELETE FROM collaborators WHERE account_id = $2
             AND app_id IN (SELECT id FROM apps WHERE team_id = $1)",
        ] {
            let statement = query(statement)
                .bind(team.to_string())
                .bind(account.to_string());
            write.run(statement).await?;
        }
        let details = json!({ "account": account, "role": gone.role });
        write
            .commit(happening("team-member.destroy", team, details))
            .await?;
        Ok(gone)
    }
}

/// Finds what an account is to a team.
pub(crate) fn member_row<'q>(team: TeamId, account: AccountId) -> Statement<'q> {
    query("SELECT * FROM team_members WHERE team_id = $1 AND account_id = $2")
        .bind(team.to_string())
        .bind(account.to_string())
}

/// Adds the row only; the caller tells the event.
pub(crate) async fn insert_member(
    write: &mut Write<'_>,
    team: TeamId,
    (account, role): (AccountId, TeamRole),
) -> Result<()> {
    let statement = query(
        "INSERT INTO team_members (id, team_id, account_id, role, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $5)",
    )
    .bind(TeamMemberId::new().to_string())
    .bind(team.to_string())
    .bind(account.to_string())
    .bind(role.as_str())
    .bind(write.now.as_micros());
    write
        .run(statement)
        .await
        .map_err(|e| e.or_conflict("team member", &account))?;
    Ok(())
}
