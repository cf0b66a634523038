//! Apps: the rows that own most others, each with its own data key.

use std::collections::BTreeSet;

use api::{
    clock::Time,
    ids::{AccountId, AppId, TeamId},
    names::{AppName, StackName},
    tls::AppTls,
};
use serde_json::json;
use sqlx::query;

use crate::{
    Change, CollaboratorRole, DomainKind, DomainStatus, NewCollaborator, NewDomain, Permission,
    Result, Store,
    collaborators::insert_collaborator,
    columns::{Columns, Record, list, required, to_number},
    domains::insert_domain,
    seal::DataKey,
    teams::team_account,
    write::{Happening, Write},
};

/// An app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    /// Its id.
    pub id: AppId,
    /// Unique; may change.
    pub name: AppName,
    /// Who owns it.
    pub owner: AccountId,
    /// The team whose account that is.
    pub team: Option<TeamId>,
    /// Whether members of the team cannot let themselves on.
    pub locked: bool,
    /// The stack its current slug runs on.
    pub stack: StackName,
    /// The stack its next build uses.
    pub build_stack: StackName,
    /// Whether requests get the maintenance page.
    pub maintenance: bool,
    /// The language of the current slug: `Python`.
    pub buildpack_provided_description: Option<String>,
    /// When its current release went live.
    pub released_at: Option<Time>,
    /// Whether the certificates of its domains are made by the platform.
    pub acm: bool,
    /// What it asks of its clients.
    pub tls: AppTls,
    /// Size of its git repository in bytes.
    pub repo_size: Option<u64>,
    /// Size of its current slug in bytes.
    pub slug_size: Option<u64>,
    /// When it was made.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
}

/// An app to make.
#[derive(Clone, Debug)]
pub struct NewApp {
    /// Its name; a taken one is a conflict.
    pub name: AppName,
    /// Who makes it, its first collaborator: its owner, unless it is a team's.
    pub owner: AccountId,
    /// The team that owns it.
    pub team: Option<TeamId>,
    /// Whether members of the team cannot let themselves on.
    pub locked: bool,
    /// The stack of its first build.
    pub stack: StackName,
    /// Its first domain, of kind heroku: `NAME.localhost`.
    pub hostname: String,
}

/// Changes to an app; `None` leaves a field as it is.
#[derive(Clone, Debug, Default)]
pub struct AppUpdate {
    /// Whether requests get the maintenance page.
    pub maintenance: Option<bool>,
    /// The stack of the next build.
    pub build_stack: Option<StackName>,
    /// Size of its git repository in bytes.
    pub repo_size: Option<u64>,
}

impl Record for App {
    const RESOURCE: &'static str = "app";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        Ok(Self {
            id: columns.parsed("id")?,
            name: columns.parsed("name")?,
            owner: columns.parsed("owner_id")?,
            team: columns.optional_parsed("team_id")?,
            locked: columns.flag("locked")?,
            stack: columns.parsed("stack")?,
            build_stack: columns.parsed("build_stack")?,
            maintenance: columns.flag("maintenance")?,
            buildpack_provided_description: columns
                .optional_text("buildpack_provided_description")?,
            released_at: columns.optional_time("released_at")?,
            acm: columns.flag("acm")?,
            tls: columns.json("tls")?,
            repo_size: columns.optional_number("repo_size_bytes")?,
            slug_size: columns.optional_number("slug_size_bytes")?,
            created_at: columns.time("created_at")?,
            updated_at: columns.time("updated_at")?,
        })
    }
}

struct SealedDataKey(String);

impl Record for SealedDataKey {
    const RESOURCE: &'static str = "app";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        columns.text("data_key").map(Self)
    }
}

impl Store {
    /// Makes an app with its data key, its default domain and its owner as collaborator.
    pub async fn create_app(&self, change: &Change, new: &NewApp) -> Result<App> {
        let mut write = self.write(change).await?;
        let id = AppId::new();
        let owner = new.team.map_or(new.owner, team_account);
        let statement = query(
            "INSERT INTO apps (id, name, owner_id, stack, build_stack, data_key, created_at, updated_at,
                               team_id, locked)
             VALUES ($1, $2, $3, $4, $4, $5, $6, $6, $7, $8)",
        )
        .bind(id.to_string())
        .bind(new.name.to_string())
        .bind(owner.to_string())
        .bind(new.stack.to_string())
        .bind(self.root_key.new_data_key(id))
        .bind(write.now.as_micros())
        .bind(new.team.map(|team| team.to_string()))
        .bind(i64::from(new.locked));
        write
            .run(statement)
            .await
            .map_err(|e| e.or_conflict("app", &new.name))?;
        let domain = NewDomain {
            app: id,
            hostname: new.hostname.clone(),
            kind: DomainKind::Heroku,
            cname: None,
            status: DomainStatus::Succeeded,
            sni_endpoint: None,
        };
        insert_domain(&mut write, &domain).await?;
        insert_collaborator(&mut write, id, &first(owner, CollaboratorRole::Owner)).await?;
        if owner != new.owner {
            let creator = first(new.owner, CollaboratorRole::Member);
            insert_collaborator(&mut write, id, &creator).await?;
        }
        let app = app_row(&mut write, id).await?;
        let details = json!({ "name": app.name, "owner": app.owner, "stack": app.stack });
        write.commit(happening("app.create", id, details)).await?;
        Ok(app)
    }

    /// The app with this id.
    pub async fn app(&self, app: AppId) -> Result<App> {
        let statement = query("SELECT * FROM apps WHERE id = $1").bind(app.to_string());
        required(self.backend.reader(), statement, app).await
    }

    /// The app with this name.
    pub async fn app_by_name(&self, name: &AppName) -> Result<App> {
        let statement = query("SELECT * FROM apps WHERE name = $1").bind(name.to_string());
        required(self.backend.reader(), statement, name).await
    }

    /// All apps, oldest first.
    pub async fn apps(&self) -> Result<Vec<App>> {
        list(
            self.backend.reader(),
            query("SELECT * FROM apps ORDER BY created_at, id"),
        )
        .await
    }

    /// The apps an account owns, collaborates on, or sees because of its team, oldest first.
    pub async fn apps_of(&self, account: AccountId) -> Result<Vec<App>> {
        let statement = query(
            "SELECT * FROM apps
             WHERE id IN (SELECT app_id FROM collaborators WHERE account_id = $1)
                OR team_id IN (SELECT team_id FROM team_members
                               WHERE account_id = $1 AND role <> 'collaborator')
             ORDER BY created_at, id",
        )
        .bind(account.to_string());
        list(self.backend.reader(), statement).await
    }

    /// A team's apps, oldest first.
    pub async fn apps_of_team(&self, team: TeamId) -> Result<Vec<App>> {
        let statement = query("SELECT * FROM apps WHERE team_id = $1 ORDER BY created_at, id")
            .bind(team.to_string());
        list(self.backend.reader(), statement).await
    }

    /// The apps that an account owns or was let on.
    pub async fn apps_joined(&self, account: AccountId) -> Result<BTreeSet<AppId>> {
        let statement = query(
            "SELECT * FROM apps
             WHERE id IN (SELECT app_id FROM collaborators WHERE account_id = $1)",
        )
        .bind(account.to_string());
        let apps: Vec<App> = list(self.backend.reader(), statement).await?;
        Ok(apps.into_iter().map(|app| app.id).collect())
    }

    /// Gives an app a new name and its default domain a new hostname.
    pub async fn rename_app(
        &self,
        change: &Change,
        app: AppId,
        name: &AppName,
        hostname: &str,
    ) -> Result<App> {
        let mut write = self.write_app(change, app).await?;
        let former = app_row(&mut write, app).await?.name;
        let statement = query("UPDATE apps SET name = $2, updated_at = $3 WHERE id = $1")
            .bind(app.to_string())
            .bind(name.to_string())
            .bind(write.now.as_micros());
        write
            .run(statement)
            .await
            .map_err(|e| e.or_conflict("app", &name))?;
        let statement = query(
            "UPDATE domains SET hostname = $2, updated_at = $3 WHERE app_id = $1 AND kind = $4",
        )
        .bind(app.to_string())
        .bind(hostname.to_lowercase())
        .bind(write.now.as_micros())
        .bind(DomainKind::Heroku.as_str());
        write
            .run(statement)
            .await
            .map_err(|e| e.or_conflict("domain", &hostname))?;
        let renamed = app_row(&mut write, app).await?;
        let details = json!({ "name": renamed.name, "former_name": former });
        write.commit(happening("app.update", app, details)).await?;
        Ok(renamed)
    }

    /// Changes an app's settings.
    pub async fn update_app(&self, change: &Change, app: AppId, update: &AppUpdate) -> Result<App> {
        let repo_size = update
            .repo_size
            .map(|size| to_number(size, "repo_size"))
            .transpose()?;
        let mut write = self.write_app(change, app).await?;
        let statement = query(
            "UPDATE apps SET maintenance = COALESCE($2, maintenance),
                             build_stack = COALESCE($3, build_stack),
                             repo_size_bytes = COALESCE($4, repo_size_bytes), updated_at = $5
             WHERE id = $1",
        )
        .bind(app.to_string())
        .bind(update.maintenance.map(i64::from))
        .bind(update.build_stack.as_ref().map(ToString::to_string))
        .bind(repo_size)
        .bind(write.now.as_micros());
        write.run(statement).await?;
        let updated = app_row(&mut write, app).await?;
        let details = json!({ "maintenance": update.maintenance,
            "build_stack": update.build_stack, "repo_size": update.repo_size });
        write.commit(happening("app.update", app, details)).await?;
        Ok(updated)
    }

    /// Removes an app and every row of it. Its events stay, the last of them as its tombstone.
    pub async fn delete_app(&self, change: &Change, app: AppId) -> Result<App> {
        let mut write = self.write_app(change, app).await?;
        let deleted = app_row(&mut write, app).await?;
        write
            .run(query("DELETE FROM apps WHERE id = $1").bind(app.to_string()))
            .await?;
        let details = json!({ "name": deleted.name, "owner": deleted.owner,
            "stack": deleted.stack, "created_at": deleted.created_at });
        write.commit(happening("app.destroy", app, details)).await?;
        Ok(deleted)
    }

    /// What opens the app's sealed values, outside a transaction.
    pub(crate) async fn data_key(&self, app: AppId) -> Result<DataKey> {
        let statement = query("SELECT data_key FROM apps WHERE id = $1").bind(app.to_string());
        let SealedDataKey(sealed) = required(self.backend.reader(), statement, app).await?;
        self.root_key.data_key(app, &sealed)
    }

    /// What opens the app's sealed values, within a transaction.
    pub(crate) async fn data_key_in(&self, write: &mut Write<'_>, app: AppId) -> Result<DataKey> {
        let statement = query("SELECT data_key FROM apps WHERE id = $1").bind(app.to_string());
        let SealedDataKey(sealed) = required(write.connection(), statement, app).await?;
        self.root_key.data_key(app, &sealed)
    }
}

/// A collaborator who may do everything.
fn first(account: AccountId, role: CollaboratorRole) -> NewCollaborator {
    NewCollaborator {
        account,
        role,
        permissions: Permission::ALL.into(),
    }
}

pub(crate) async fn app_row(write: &mut Write<'_>, app: AppId) -> Result<App> {
    let statement = query("SELECT * FROM apps WHERE id = $1").bind(app.to_string());
    required(write.connection(), statement, app).await
}

fn happening(kind: &'static str, app: AppId, details: serde_json::Value) -> Happening {
    Happening {
        kind,
        app: Some(app),
        subject: app.to_string(),
        details,
    }
}
