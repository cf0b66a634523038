//! Source repositories: where an app's source is kept, if elsewhere, and the deploy key that opens
//! a private one. The private half of the key never leaves the platform but for the dyno that
//! fetches.

use builder::fetch::{
    Access, Origin,
    address::{Reference, RepositoryUrl},
};
use store::{App, Build, BuildCause, NewSourceRepository, SourceRepository};

use crate::{
    Platform,
    builds::Wish,
    caller::{Caller, system_change},
    error::{Error, Result},
    keys::DeployKey,
};

/// What is deployed where nobody says which branch.
const BRANCH: &str = "main";

impl Platform {
    /// An app's source repository.
    ///
    /// # Errors
    /// `NotFound` for an app whose source is only pushed here.
    pub async fn source_repository(&self, app: &App) -> Result<SourceRepository> {
        let found = self.store.source_repository(app.id).await?;
        found.ok_or_else(|| Error::NotFound {
            resource: "source_repository",
            name: app.name.to_string(),
        })
    }

    /// Gives an app a source repository, and a deploy key if it has none.
    ///
    /// # Errors
    /// `Invalid` for an address or branch that cannot be one.
    pub async fn set_source_repository(
        &self,
        caller: &Caller,
        app: &App,
        new: api::source_repositories::NewSourceRepository,
    ) -> Result<SourceRepository> {
        let url: RepositoryUrl = new.url.parse()?;
        let branch = new.branch.unwrap_or_else(|| BRANCH.to_owned());
        let branch: Reference = branch.parse()?;
        let key = DeployKey::new(&format!("landfall-{}", app.name))?;
        let new = NewSourceRepository {
            url: url.to_string(),
            branch: branch.as_str().to_owned(),
            deploy_private_key: key.private,
            deploy_public_key: key.public,
        };
        Ok(self
            .store
            .set_source_repository(&caller.change(), app.id, &new)
            .await?)
    }

    /// Forgets an app's source repository and its deploy key.
    pub async fn delete_source_repository(
        &self,
        caller: &Caller,
        app: &App,
    ) -> Result<SourceRepository> {
        let repository = self.source_repository(app).await?;
        self.store
            .delete_source_repository(&caller.change(), app.id)
            .await?;
        Ok(repository)
    }

    /// Builds what the branch of an app's source repository holds now.
    pub async fn deploy_repository(
        &self,
        caller: &Caller,
        app: &App,
        cause: BuildCause,
    ) -> Result<Build> {
        let repository = self.source_repository(app).await?;
        let wish = Wish {
            source_url: format!("git+{}#{}", repository.url, repository.branch),
            version: None,
            checksum: None,
            buildpacks: Vec::new(),
            cause,
            phases: Vec::new(),
        };
        self.create_build(caller, app.id, wish).await
    }

    /// How to fetch a repository for an app: with its deploy key, if it is the app's own.
    pub(crate) async fn repository_origin(
        &self,
        app: &App,
        url: RepositoryUrl,
        reference: Option<Reference>,
    ) -> Result<Origin> {
        let own = self.store.source_repository(app.id).await?;
        let access = match own.filter(|own| own.url == url.to_string()) {
            Some(own) => Some(Access {
                private_key: self.store.deploy_key(app.id).await?,
                known_hosts: own.known_hosts,
            }),
            None => None,
        };
        Ok(Origin::Repository {
            url,
            reference,
            access,
        })
    }

    /// Keeps what the server of an app's own repository has shown, for the next time.
    pub(crate) async fn keep_known_hosts(&self, app: &App, shown: &str) -> Result<()> {
        let own = self.store.source_repository(app.id).await?;
        if shown.is_empty() || own.is_none_or(|own| own.known_hosts == shown) {
            return Ok(());
        }
        let change = system_change("its server was seen for the first time");
        Ok(self.store.note_known_hosts(&change, app.id, shown).await?)
    }
}
