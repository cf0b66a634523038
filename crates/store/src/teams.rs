//! Teams: groups of people that own apps, each by an account into which nobody signs.

use api::{
    clock::Time,
    ids::{AccountId, TeamId},
    names::TeamName,
};
use serde_json::{Value, json};
use sqlx::query;

use crate::{
    Change, Result, Store, StoreError, TeamRole,
    columns::{Columns, Record, list, required},
    team_members::insert_member,
    write::{Happening, Write},
};

/// Addresses of teams' accounts end so; clients know a team's app by it.
const DOMAIN: &str = "herokumanager.com";

/// The account by which a team owns apps.
pub fn team_account(team: TeamId) -> AccountId {
    team.as_uuid().into()
}

/// A group of people that owns apps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Team {
    /// Its id.
    pub id: TeamId,
    /// Unique; may change.
    pub name: TeamName,
    /// Whom members are on apps that nobody let them on: `admin`, `member`, `viewer`.
    pub default_permission: Option<String>,
    /// Whether only listed add-on services may be used.
    pub addons_controls: Option<bool>,
    /// When it was made.
    pub created_at: Time,
    /// When it last changed.
    pub updated_at: Time,
}

/// A team to make.
#[derive(Clone, Debug)]
pub struct NewTeam {
    /// Its name; a taken one is a conflict.
    pub name: TeamName,
    /// Its first member, as admin.
    pub founder: AccountId,
}

/// Changes to a team; `None` leaves a field as it is.
#[derive(Clone, Debug, Default)]
pub struct TeamUpdate {
    /// A new name.
    pub name: Option<TeamName>,
    /// Whether only listed add-on services may be used.
    pub addons_controls: Option<bool>,
}

impl Record for Team {
    const RESOURCE: &'static str = "team";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        let addons_controls: Option<i64> = columns.optional_number("addons_controls")?;
        Ok(Self {
            id: columns.parsed("id")?,
            name: columns.parsed("name")?,
            default_permission: columns.optional_text("default_permission")?,
            addons_controls: addons_controls.map(|flag| flag != 0),
            created_at: columns.time("created_at")?,
            updated_at: columns.time("updated_at")?,
        })
    }
}

impl Store {
    /// Makes a team with the account by which it owns apps, and its first member.
    pub async fn create_team(&self, change: &Change, new: &NewTeam) -> Result<Team> {
        let mut write = self.write(change).await?;
        let id = TeamId::new();
        let account = query(
            "INSERT INTO accounts (id, email, is_operator, is_team, created_at)
             VALUES ($1, $2, 0, 1, $3)",
        )
        .bind(id.to_string())
        .bind(address(&new.name))
        .bind(write.now.as_micros());
        write
            .run(account)
            .await
            .map_err(|e| e.or_conflict("team", &new.name))?;
        let team =
            query("INSERT INTO teams (id, name, created_at, updated_at) VALUES ($1, $2, $3, $3)")
                .bind(id.to_string())
                .bind(new.name.to_string())
                .bind(write.now.as_micros());
        write.run(team).await?;
        insert_member(&mut write, id, (new.founder, TeamRole::Admin)).await?;
        let team = team_row(&mut write, id).await?;
        let details = json!({ "name": team.name, "founder": new.founder });
        write.commit(happening("team.create", id, details)).await?;
        Ok(team)
    }

    /// The team with this id.
    pub async fn team(&self, team: TeamId) -> Result<Team> {
        let statement = query("SELECT * FROM teams WHERE id = $1").bind(team.to_string());
        required(self.backend.reader(), statement, team).await
    }

    /// The team with this name.
    pub async fn team_by_name(&self, name: &TeamName) -> Result<Team> {
        let statement = query("SELECT * FROM teams WHERE name = $1").bind(name.to_string());
        required(self.backend.reader(), statement, name).await
    }

    /// All teams, oldest first.
    pub async fn teams(&self) -> Result<Vec<Team>> {
        let statement = query("SELECT * FROM teams ORDER BY created_at, id");
        list(self.backend.reader(), statement).await
    }

    /// The teams that an account is in, oldest first.
    pub async fn teams_of(&self, account: AccountId) -> Result<Vec<Team>> {
        let statement = query(
            "SELECT * FROM teams
             WHERE id IN (SELECT team_id FROM team_members WHERE account_id = $1)
             ORDER BY created_at, id",
        )
        .bind(account.to_string());
        list(self.backend.reader(), statement).await
    }

    /// Changes a team, and with its name the address of its account.
    pub async fn update_team(
        &self,
        change: &Change,
        team: TeamId,
        update: &TeamUpdate,
    ) -> Result<Team> {
        let mut write = self.write(change).await?;
        let former = team_row(&mut write, team).await?;
        let name = update.name.as_ref().unwrap_or(&former.name);
        let statement = query("UPDATE accounts SET email = $2 WHERE id = $1")
            .bind(team.to_string())
            .bind(address(name));
        write
            .run(statement)
            .await
            .map_err(|e| e.or_conflict("team", name))?;
        let statement = query(
            "UPDATE teams SET name = $2, addons_controls = COALESCE($3, addons_controls),
                              updated_at = $4
             WHERE id = $1",
        )
        .bind(team.to_string())
        .bind(name.to_string())
        .bind(update.addons_controls.map(i64::from))
        .bind(write.now.as_micros());
        write.run(statement).await?;
        let updated = team_row(&mut write, team).await?;
        let details = json!({ "name": updated.name, "former_name": former.name,
            "addons_controls": updated.addons_controls });
        write
            .commit(happening("team.update", team, details))
            .await?;
        Ok(updated)
    }

    /// Removes a team with its members and invitations.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] while it owns apps.
    pub async fn delete_team(&self, change: &Change, team: TeamId) -> Result<Team> {
        let mut write = self.write(change).await?;
        let gone = team_row(&mut write, team).await?;
        for statement in [
            "DELETE FROM teams WHERE id = $1",
            "DELETE FROM accounts WHERE id = $1",
        ] {
            let deleted = write.run(query(statement).bind(team.to_string())).await;
            deleted.map_err(|error| match &error {
                StoreError::Database(sqlx::Error::Database(refused))
                    if refused.is_foreign_key_violation() =>
                {
                    StoreError::Conflict {
                        resource: "app of team",
                        key: gone.name.to_string(),
                    }
                }
                _ => error,
            })?;
        }
        let details = json!({ "name": gone.name, "created_at": gone.created_at });
        write
            .commit(happening("team.destroy", team, details))
            .await?;
        Ok(gone)
    }
}

fn address(name: &TeamName) -> String {
    format!("{name}@{DOMAIN}")
}

async fn team_row(write: &mut Write<'_>, team: TeamId) -> Result<Team> {
    let statement = query("SELECT * FROM teams WHERE id = $1").bind(team.to_string());
    required(write.connection(), statement, team).await
}

pub(crate) fn happening(kind: &'static str, team: TeamId, details: Value) -> Happening {
    Happening {
        kind,
        app: None,
        subject: team.to_string(),
        details,
    }
}
