//! Where an app's source is kept, if elsewhere: repository, branch, and the key that opens it, sealed.

use api::{
    clock::Time,
    ids::{AppId, BuildId},
};
use serde_json::json;
use sqlx::query;

use crate::{
    Change, Result, Store, StoreError,
    columns::{Columns, Record, optional, required},
    seal::Purpose,
    write::Happening,
};

/// A repository that an app is deployed from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceRepository {
    /// Whose source it is.
    pub app: AppId,
    /// Its address; holds no secret.
    pub url: String,
    /// The branch that is deployed.
    pub branch: String,
    /// The public half of the app's deploy key, as OpenSSH writes it.
    pub deploy_public_key: String,
    /// What its server has shown, in OpenSSH's form.
    pub known_hosts: String,
    /// Since when the app has one.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
}

/// A repository to deploy from. The key is taken where the app has none yet.
#[derive(Clone)]
pub struct NewSourceRepository {
    /// Its address.
    pub url: String,
    /// The branch that is deployed.
    pub branch: String,
    /// An OpenSSH private key.
    pub deploy_private_key: String,
    /// Its public half.
    pub deploy_public_key: String,
}

impl std::fmt::Debug for NewSourceRepository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewSourceRepository")
            .field("url", &self.url)
            .field("branch", &self.branch)
            .finish_non_exhaustive()
    }
}

impl Record for SourceRepository {
    const RESOURCE: &'static str = "source repository";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        Ok(Self {
            app: columns.parsed("app_id")?,
            url: columns.text("url")?,
            branch: columns.text("branch")?,
            deploy_public_key: columns.text("deploy_public_key")?,
            known_hosts: columns.text("known_hosts")?,
            created_at: columns.time("created_at")?,
            updated_at: columns.time("updated_at")?,
        })
    }
}

struct SealedKey(String);

impl Record for SealedKey {
    const RESOURCE: &'static str = "source repository";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        columns.text("sealed_deploy_key").map(Self)
    }
}

const SELECT: &str = "SELECT * FROM source_repositories WHERE app_id = $1";

impl Store {
    /// Gives an app a repository, or another one; its deploy key stays, and what the former
    /// repository's server has shown is forgotten.
    pub async fn set_source_repository(
        &self,
        change: &Change,
        app: AppId,
        new: &NewSourceRepository,
    ) -> Result<SourceRepository> {
        let mut write = self.write_app(change, app).await?;
        let key = self.data_key_in(&mut write, app).await?;
        let sealed = key.seal(Purpose::DeployKey, &new.deploy_private_key);
        let statement = query(
            "INSERT INTO source_repositories (app_id, url, branch, sealed_deploy_key,
                 deploy_public_key, known_hosts, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, '', $6, $6)
             ON CONFLICT (app_id) DO UPDATE SET url = excluded.url, branch = excluded.branch,
                 known_hosts = '', updated_at = excluded.updated_at",
        )
        .bind(app.to_string())
        .bind(new.url.clone())
        .bind(new.branch.clone())
        .bind(sealed)
        .bind(new.deploy_public_key.clone())
        .bind(write.now.as_micros());
        write.run(statement).await?;
        let details = json!({ "url": new.url, "branch": new.branch });
        write
            .commit(happening("source-repository.update", app, details))
            .await?;
        let statement = query(SELECT).bind(app.to_string());
        required(self.backend.reader(), statement, app).await
    }

    /// An app's repository, if it has one.
    pub async fn source_repository(&self, app: AppId) -> Result<Option<SourceRepository>> {
        optional(self.backend.reader(), query(SELECT).bind(app.to_string())).await
    }

    /// The private half of an app's deploy key.
    pub async fn deploy_key(&self, app: AppId) -> Result<String> {
        let statement = query(SELECT).bind(app.to_string());
        let SealedKey(sealed) = required(self.backend.reader(), statement, app).await?;
        self.data_key(app).await?.open(Purpose::DeployKey, &sealed)
    }

    /// Notes what the repository's server has shown.
    pub async fn note_known_hosts(
        &self,
        change: &Change,
        app: AppId,
        known_hosts: &str,
    ) -> Result<()> {
        let mut write = self.write_app(change, app).await?;
        let statement = query("UPDATE source_repositories SET known_hosts = $2 WHERE app_id = $1")
            .bind(app.to_string())
            .bind(known_hosts.to_owned());
        write.run(statement).await?;
        write
            .commit(happening("source-repository.hosts", app, json!({})))
            .await
    }

    /// Notes which commit was fetched for a build.
    pub async fn note_build_commit(
        &self,
        change: &Change,
        build: BuildId,
        commit: &str,
    ) -> Result<()> {
        let mut write = self.write(change).await?;
        let statement = query("UPDATE builds SET commit_hash = $2 WHERE id = $1")
            .bind(build.to_string())
            .bind(commit.to_owned());
        if write.run(statement).await? == 0 {
            return Err(StoreError::not_found("build", &build));
        }
        write
            .commit(Happening {
                kind: "build.fetch",
                app: None,
                subject: build.to_string(),
                details: json!({ "commit": commit }),
            })
            .await
    }

    /// Forgets an app's repository and its deploy key, and its hooks.
    pub async fn delete_source_repository(&self, change: &Change, app: AppId) -> Result<()> {
        let mut write = self.write_app(change, app).await?;
        let statement =
            query("DELETE FROM source_repositories WHERE app_id = $1").bind(app.to_string());
        if write.run(statement).await? == 0 {
            return Err(StoreError::not_found("source repository", &app));
        }
        let statement = query("DELETE FROM source_hooks WHERE app_id = $1").bind(app.to_string());
        write.run(statement).await?;
        write
            .commit(happening("source-repository.destroy", app, json!({})))
            .await
    }
}

fn happening(kind: &'static str, app: AppId, details: serde_json::Value) -> Happening {
    Happening {
        kind,
        app: Some(app),
        subject: app.to_string(),
        details,
    }
}
