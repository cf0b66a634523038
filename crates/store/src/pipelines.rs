//! Pipelines, and the apps in them.

use api::{
    clock::Time,
    ids::{AccountId, AppId, PipelineCouplingId, PipelineId},
    names::AppName,
    pipeline_couplings::Stage,
};
use serde_json::{Value, json};
use sqlx::query;

use crate::{
    Change, Result, Store, StoreError,
    columns::{Columns, Record, list, required},
    write::{Happening, Write},
};

/// Apps in stages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pipeline {
    /// Its id.
    pub id: PipelineId,
    /// Unique; may change.
    pub name: AppName,
    /// A person's account, or a team's.
    pub owner: AccountId,
    /// When it was made.
    pub created_at: Time,
    /// When it last changed.
    pub updated_at: Time,
}

/// An app in a stage of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipelineCoupling {
    /// Its id.
    pub id: PipelineCouplingId,
    /// The pipeline.
    pub pipeline: PipelineId,
    /// The app.
    pub app: AppId,
    /// Where in the pipeline.
    pub stage: Stage,
    /// When the app came in.
    pub created_at: Time,
    /// When it last changed.
    pub updated_at: Time,
}

impl Record for Pipeline {
    const RESOURCE: &'static str = "pipeline";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        Ok(Self {
            id: columns.parsed("id")?,
            name: columns.parsed("name")?,
            owner: columns.parsed("owner_id")?,
            created_at: columns.time("created_at")?,
            updated_at: columns.time("updated_at")?,
        })
    }
}

impl Record for PipelineCoupling {
    const RESOURCE: &'static str = "pipeline coupling";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        Ok(Self {
            id: columns.parsed("id")?,
            pipeline: columns.parsed("pipeline_id")?,
            app: columns.parsed("app_id")?,
            stage: columns.parsed("stage")?,
            created_at: columns.time("created_at")?,
            updated_at: columns.time("updated_at")?,
        })
    }
}

impl Store {
    /// Makes a pipeline; a name that is taken is a conflict.
    pub async fn create_pipeline(
        &self,
        change: &Change,
        owner: AccountId,
        name: &AppName,
    ) -> Result<Pipeline> {
        let mut write = self.write(change).await?;
        let id = PipelineId::new();
        let statement = query(
            "INSERT INTO pipelines (id, name, owner_id, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $4)",
        )
        .bind(id.to_string())
        .bind(name.to_string())
        .bind(owner.to_string())
        .bind(write.now.as_micros());
        let inserted = write.run(statement).await;
        inserted.map_err(|error| error.or_conflict(Pipeline::RESOURCE, name))?;
        let pipeline = pipeline_row(&mut write, id).await?;
        let details = json!({ "name": name, "owner": owner });
        write
            .commit(happening("pipeline.create", id, details))
            .await?;
        Ok(pipeline)
    }

    /// All pipelines, oldest first.
    pub async fn pipelines(&self) -> Result<Vec<Pipeline>> {
        let statement = query("SELECT * FROM pipelines ORDER BY created_at, id");
        list(self.backend.reader(), statement).await
    }

    /// The pipelines that an account owns, or in which there is an app that it owns or works on,
    /// or which a team owns that it is in; oldest first.
    pub async fn pipelines_of(&self, account: AccountId) -> Result<Vec<Pipeline>> {
        let statement = query(
            "SELECT * FROM pipelines WHERE owner_id = $1
                OR owner_id IN (SELECT team_id FROM team_members WHERE account_id = $1)
                OR id IN (
                    SELECT pipeline_id FROM pipeline_couplings
                    WHERE app_id IN (SELECT id FROM apps WHERE owner_id = $1)
                       OR app_id IN (SELECT app_id FROM collaborators WHERE account_id = $1))
             ORDER BY created_at, id",
        )
        .bind(account.to_string());
        list(self.backend.reader(), statement).await
    }

    /// The pipeline with this id.
    pub async fn pipeline(&self, id: PipelineId) -> Result<Pipeline> {
        let statement = query("SELECT * FROM pipelines WHERE id = $1").bind(id.to_string());
        required(self.backend.reader(), statement, id).await
    }

    /// The pipeline with this name.
    pub async fn pipeline_by_name(&self, name: &AppName) -> Result<Pipeline> {
        let statement = query("SELECT * FROM pipelines WHERE name = $1").bind(name.to_string());
        required(self.backend.reader(), statement, name).await
    }

    /// Renames a pipeline; a name that is taken is a conflict.
    pub async fn rename_pipeline(
        &self,
        change: &Change,
        id: PipelineId,
        name: &AppName,
    ) -> Result<Pipeline> {
        let mut write = self.write(change).await?;
        let statement = query("UPDATE pipelines SET name = $2, updated_at = $3 WHERE id = $1")
            .bind(id.to_string())
            .bind(name.to_string())
            .bind(write.now.as_micros());
        let updated = write.run(statement).await;
        updated.map_err(|error| error.or_conflict(Pipeline::RESOURCE, name))?;
        let pipeline = pipeline_row(&mut write, id).await?;
        let details = json!({ "name": name });
        write
            .commit(happening("pipeline.update", id, details))
            .await?;
        Ok(pipeline)
    }

    /// Gives a pipeline to another account, or to a team's.
    pub async fn transfer_pipeline(
        &self,
        change: &Change,
        id: PipelineId,
        owner: AccountId,
    ) -> Result<Pipeline> {
        let mut write = self.write(change).await?;
        let statement = query("UPDATE pipelines SET owner_id = $2, updated_at = $3 WHERE id = $1")
            .bind(id.to_string())
            .bind(owner.to_string())
            .bind(write.now.as_micros());
        write.run(statement).await?;
        let pipeline = pipeline_row(&mut write, id).await?;
        let details = json!({ "owner": owner });
        write
            .commit(happening("pipeline.transfer", id, details))
            .await?;
        Ok(pipeline)
    }

    /// Removes a pipeline; its apps stay.
    pub async fn delete_pipeline(&self, change: &Change, pipeline: &Pipeline) -> Result<()> {
        let mut write = self.write(change).await?;
        let id = pipeline.id;
        let statement = query("DELETE FROM pipelines WHERE id = $1").bind(id.to_string());
        if write.run(statement).await? == 0 {
            return Err(StoreError::not_found(Pipeline::RESOURCE, &id));
        }
        let details = json!({ "name": pipeline.name });
        write
            .commit(happening("pipeline.destroy", id, details))
            .await
    }

    /// Puts an app into a stage of a pipeline; an app that is in one already is a conflict.
    pub async fn create_pipeline_coupling(
        &self,
        change: &Change,
        (pipeline, app): (PipelineId, AppId),
        stage: Stage,
    ) -> Result<PipelineCoupling> {
        let mut write = self.write_app(change, app).await?;
        let id = PipelineCouplingId::new();
        let statement = query(
            "INSERT INTO pipeline_couplings (id, pipeline_id, app_id, stage, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $5)",
        )
        .bind(id.to_string())
        .bind(pipeline.to_string())
        .bind(app.to_string())
        .bind(stage.to_string())
        .bind(write.now.as_micros());
        let inserted = write.run(statement).await;
        inserted.map_err(|error| error.or_conflict(PipelineCoupling::RESOURCE, &app))?;
        let coupling = coupling_row(&mut write, id).await?;
        write
            .commit(coupled("pipeline-coupling.create", &coupling))
            .await?;
        Ok(coupling)
    }

    /// All couplings, oldest first.
    pub async fn pipeline_couplings(&self) -> Result<Vec<PipelineCoupling>> {
        let statement = query("SELECT * FROM pipeline_couplings ORDER BY created_at, id");
        list(self.backend.reader(), statement).await
    }

    /// The couplings of a pipeline, oldest first.
    pub async fn couplings_of_pipeline(
        &self,
        pipeline: PipelineId,
    ) -> Result<Vec<PipelineCoupling>> {
        let statement = query(
            "SELECT * FROM pipeline_couplings WHERE pipeline_id = $1 ORDER BY created_at, id",
        )
        .bind(pipeline.to_string());
        list(self.backend.reader(), statement).await
    }

    /// The coupling of an app.
    pub async fn coupling_of_app(&self, app: AppId) -> Result<PipelineCoupling> {
        let statement =
            query("SELECT * FROM pipeline_couplings WHERE app_id = $1").bind(app.to_string());
        required(self.backend.reader(), statement, app).await
    }

    /// The coupling with this id.
    pub async fn pipeline_coupling(&self, id: PipelineCouplingId) -> Result<PipelineCoupling> {
        let statement =
            query("SELECT * FROM pipeline_couplings WHERE id = $1").bind(id.to_string());
        required(self.backend.reader(), statement, id).await
    }

    /// Moves an app to another stage.
    pub async fn update_pipeline_coupling(
        &self,
        change: &Change,
        coupling: &PipelineCoupling,
        stage: Stage,
    ) -> Result<PipelineCoupling> {
        let mut write = self.write_app(change, coupling.app).await?;
        let statement =
            query("UPDATE pipeline_couplings SET stage = $2, updated_at = $3 WHERE id = $1")
                .bind(coupling.id.to_string())
                .bind(stage.to_string())
                .bind(write.now.as_micros());
        write.run(statement).await?;
        let coupling = coupling_row(&mut write, coupling.id).await?;
        write
            .commit(coupled("pipeline-coupling.update", &coupling))
            .await?;
        Ok(coupling)
    }

    /// Takes an app out of its pipeline.
    pub async fn delete_pipeline_coupling(
        &self,
        change: &Change,
        coupling: &PipelineCoupling,
    ) -> Result<()> {
        let mut write = self.write_app(change, coupling.app).await?;
        let id = coupling.id;
        let statement = query("DELETE FROM pipeline_couplings WHERE id = $1").bind(id.to_string());
        if write.run(statement).await? == 0 {
            return Err(StoreError::not_found(PipelineCoupling::RESOURCE, &id));
        }
        write
            .commit(coupled("pipeline-coupling.destroy", coupling))
            .await
    }
}

async fn pipeline_row(write: &mut Write<'_>, id: PipelineId) -> Result<Pipeline> {
    let statement = query("SELECT * FROM pipelines WHERE id = $1").bind(id.to_string());
    required(write.connection(), statement, id).await
}

async fn coupling_row(write: &mut Write<'_>, id: PipelineCouplingId) -> Result<PipelineCoupling> {
    let statement = query("SELECT * FROM pipeline_couplings WHERE id = $1").bind(id.to_string());
    required(write.connection(), statement, id).await
}

fn happening(kind: &'static str, id: PipelineId, details: Value) -> Happening {
    Happening {
        kind,
        app: None,
        subject: id.to_string(),
        details,
    }
}

fn coupled(kind: &'static str, coupling: &PipelineCoupling) -> Happening {
    Happening {
        kind,
        app: Some(coupling.app),
        subject: coupling.id.to_string(),
        details: json!({ "pipeline": coupling.pipeline, "stage": coupling.stage }),
    }
}
