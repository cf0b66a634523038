//! Pipelines and the apps in them: who sees them, names, owners, stages.

use std::collections::BTreeSet;

use api::{
    ids::{AccountId, PipelineCouplingId, PipelineId},
    names::AppName,
    pipeline_couplings::{NewPipelineCoupling, Stage},
    pipelines::{NewPipeline, OwnerKind, PipelineOwner},
};
use store::{App, Permission, Pipeline, PipelineCoupling, team_account};

use crate::{
    Platform,
    authorize::{Action, Bearer, Subject, Target, permissions_of},
    caller::Caller,
    error::{Error, Result},
};

impl Platform {
    /// A pipeline by name or id, whoever asks.
    pub(crate) async fn find_pipeline(&self, identity: &str) -> Result<Pipeline> {
        if let Ok(id) = identity.parse::<PipelineId>() {
            return Ok(self.store.pipeline(id).await?);
        }
        let name: AppName = identity
            .parse()
            .map_err(|_| unknown("pipeline", identity))?;
        Ok(self.store.pipeline_by_name(&name).await?)
    }

    /// The pipeline that a body names, if the bearer may do this to it.
    pub(crate) async fn admitted_pipeline(
        &self,
        bearer: &Bearer,
        action: Action,
        id: PipelineId,
    ) -> Result<Pipeline> {
        match self.admit(bearer, action, &id.to_string()).await? {
            Subject::Pipeline(pipeline) => Ok(pipeline),
            Subject::App(_) | Subject::Team(_) => Err(unknown("pipeline", &id.to_string())),
        }
    }

    /// What an account may do to a pipeline: its owner everything, a team's members what they may
    /// to the team's apps, and who may see one of its apps may see it.
    pub(crate) async fn permissions_on_pipeline(
        &self,
        account: AccountId,
        pipeline: &Pipeline,
    ) -> Result<BTreeSet<Permission>> {
        if pipeline.owner == account {
            return Ok(Permission::ALL.into());
        }
        let team = pipeline.owner.as_uuid().into();
        let mut permissions = BTreeSet::new();
        if let Some(member) = self.store.team_member(team, account).await? {
            permissions.extend(permissions_of(member.role));
        }
        if permissions.is_empty() {
            let known = self.store.pipelines_of(account).await?;
            if known.iter().any(|known| known.id == pipeline.id) {
                permissions.insert(Permission::View);
            }
        }
        Ok(permissions)
    }

    /// The apps of a pipeline that the bearer may see, and their stages.
    pub async fn apps_in(
        &self,
        bearer: &Bearer,
        pipeline: PipelineId,
    ) -> Result<Vec<(App, Stage)>> {
        let mut apps = Vec::new();
        for coupling in self.store.couplings_of_pipeline(pipeline).await? {
            let app = self.store.app(coupling.app).await?;
            let target = Target::App(&app);
            match self.authorize(Some(bearer), Action::ReadApp, target).await {
                Ok(()) => apps.push((app, coupling.stage)),
                Err(Error::NotFound { .. } | Error::Forbidden { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(apps)
    }

    /// The pipelines that an account may know of, oldest first.
    pub async fn pipelines(&self, account: AccountId) -> Result<Vec<Pipeline>> {
        Ok(self.store.pipelines_of(account).await?)
    }

    /// Who owns a pipeline: a person, or the team of the same id.
    pub async fn pipeline_owner(&self, owner: AccountId) -> Result<PipelineOwner> {
        let id = owner.as_uuid();
        let kind = match self.store.team(id.into()).await {
            Ok(_) => OwnerKind::Team,
            Err(store::StoreError::NotFound { .. }) => OwnerKind::User,
            Err(error) => return Err(error.into()),
        };
        Ok(PipelineOwner { id, kind })
    }

    /// Makes a pipeline that belongs to the caller, or to a team that they are an admin of.
    ///
    /// # Errors
    /// `Invalid` for a name that is not allowed, `Conflict` for one that is taken.
    pub async fn create_pipeline(&self, bearer: &Bearer, new: NewPipeline) -> Result<Pipeline> {
        let owner = match new.owner {
            None => bearer.caller.account,
            Some(owner) => self.new_owner(bearer, owner).await?,
        };
        let caller = &bearer.caller;
        if owner != caller.account && self.pipeline_owner(owner).await?.kind == OwnerKind::User {
            return Err(invalid(
                "A pipeline can be made for yourself or for a team.",
            ));
        }
        let name = checked(&new.name)?;
        Ok(self
            .store
            .create_pipeline(&caller.change(), owner, &name)
            .await?)
    }

    /// Renames a pipeline.
    pub async fn rename_pipeline(
        &self,
        caller: &Caller,
        pipeline: &Pipeline,
        name: &str,
    ) -> Result<Pipeline> {
        let name = checked(name)?;
        if name == pipeline.name {
            return Ok(pipeline.clone());
        }
        Ok(self
            .store
            .rename_pipeline(&caller.change(), pipeline.id, &name)
            .await?)
    }

    /// Removes a pipeline; its apps stay.
    pub async fn delete_pipeline(&self, caller: &Caller, pipeline: &Pipeline) -> Result<()> {
        Ok(self
            .store
            .delete_pipeline(&caller.change(), pipeline)
            .await?)
    }

    /// Gives a pipeline to another person or to a team that the bearer is an admin of.
    pub async fn transfer_pipeline(
        &self,
        bearer: &Bearer,
        id: PipelineId,
        new_owner: PipelineOwner,
    ) -> Result<(Pipeline, Pipeline)> {
        let before = self
            .admitted_pipeline(bearer, Action::UpdatePipeline, id)
            .await?;
        let owner = self.new_owner(bearer, new_owner).await?;
        let after = self
            .store
            .transfer_pipeline(&bearer.caller.change(), id, owner)
            .await?;
        Ok((before, after))
    }

    async fn new_owner(&self, bearer: &Bearer, owner: PipelineOwner) -> Result<AccountId> {
        let identity = owner.id.to_string();
        match owner.kind {
            OwnerKind::Team => {
                let admitted = self.admitted_team(bearer, Action::UpdateTeam, &identity);
                Ok(team_account(admitted.await?.id))
            }
            OwnerKind::User => Ok(self.store.account(owner.id.into()).await?.id),
        }
    }

    /// The couplings of all pipelines that an account may know of.
    pub async fn pipeline_couplings(&self, account: AccountId) -> Result<Vec<PipelineCoupling>> {
        let pipelines = self.pipelines(account).await?;
        let known: BTreeSet<PipelineId> = pipelines.iter().map(|pipeline| pipeline.id).collect();
        let mut couplings = self.store.pipeline_couplings().await?;
        couplings.retain(|coupling| known.contains(&coupling.pipeline));
        Ok(couplings)
    }

    /// The couplings of the pipelines of one owner.
    pub async fn couplings_owned_by(&self, owner: AccountId) -> Result<Vec<PipelineCoupling>> {
        let mut couplings = Vec::new();
        let pipelines = self.store.pipelines().await?;
        for pipeline in pipelines.iter().filter(|pipeline| pipeline.owner == owner) {
            couplings.extend(self.store.couplings_of_pipeline(pipeline.id).await?);
        }
        Ok(couplings)
    }

    /// The couplings of a pipeline, oldest first.
    pub async fn couplings_of(&self, pipeline: PipelineId) -> Result<Vec<PipelineCoupling>> {
        Ok(self.store.couplings_of_pipeline(pipeline).await?)
    }

    /// The coupling of an app.
    pub async fn coupling_of_app(&self, app: &App) -> Result<PipelineCoupling> {
        Ok(self.store.coupling_of_app(app.id).await?)
    }

    /// A coupling by id, of a pipeline that the bearer may know of.
    pub async fn coupling(&self, bearer: &Bearer, identity: &str) -> Result<PipelineCoupling> {
        let id: PipelineCouplingId = identity
            .parse()
            .map_err(|_| unknown("pipeline coupling", identity))?;
        let coupling = self.store.pipeline_coupling(id).await?;
        let pipeline = self.store.pipeline(coupling.pipeline).await?;
        let target = Target::Pipeline(&pipeline);
        let allowed = self.authorize(Some(bearer), Action::ReadPipeline, target);
        match allowed.await {
            Err(Error::NotFound { .. }) => Err(unknown("pipeline coupling", identity)),
            allowed => allowed.map(|()| coupling),
        }
    }

    /// Puts an app that the bearer may deploy into a pipeline that they may know of.
    ///
    /// # Errors
    /// `Invalid` for an app that is in a pipeline already.
    pub async fn couple(
        &self,
        bearer: &Bearer,
        new: NewPipelineCoupling,
    ) -> Result<PipelineCoupling> {
        let pipeline = self
            .admitted_pipeline(bearer, Action::ReadPipeline, new.pipeline)
            .await?;
        let app = self.admitted_app(bearer, Action::Deploy, &new.app).await?;
        let change = bearer.caller.change();
        let both = (pipeline.id, app.id);
        let coupled = self
            .store
            .create_pipeline_coupling(&change, both, new.stage);
        match coupled.await {
            Err(store::StoreError::Conflict { .. }) => {
                Err(invalid("App is already added to a pipeline"))
            }
            coupled => Ok(coupled?),
        }
    }

    /// Moves an app that the bearer may deploy to another stage.
    pub async fn move_coupling(
        &self,
        bearer: &Bearer,
        identity: &str,
        stage: Stage,
    ) -> Result<PipelineCoupling> {
        let coupling = self.coupling_to_change(bearer, identity).await?;
        let change = bearer.caller.change();
        let moved = self
            .store
            .update_pipeline_coupling(&change, &coupling, stage);
        Ok(moved.await?)
    }

    /// Takes an app that the bearer may deploy out of its pipeline.
    pub async fn uncouple(&self, bearer: &Bearer, identity: &str) -> Result<PipelineCoupling> {
        let coupling = self.coupling_to_change(bearer, identity).await?;
        let change = bearer.caller.change();
        self.store
            .delete_pipeline_coupling(&change, &coupling)
            .await?;
        Ok(coupling)
    }

    async fn coupling_to_change(
        &self,
        bearer: &Bearer,
        identity: &str,
    ) -> Result<PipelineCoupling> {
        let coupling = self.coupling(bearer, identity).await?;
        let app = coupling.app.to_string();
        self.admitted_app(bearer, Action::Deploy, &app).await?;
        Ok(coupling)
    }
}

fn checked(name: &str) -> Result<AppName> {
    name.parse()
        .map_err(|error: api::names::NameError| invalid(&error.to_string()))
}

pub(crate) fn unknown(resource: &'static str, name: &str) -> Error {
    Error::NotFound {
        resource,
        name: name.to_owned(),
    }
}

pub(crate) fn invalid(message: &str) -> Error {
    Error::Invalid {
        message: message.to_owned(),
    }
}
