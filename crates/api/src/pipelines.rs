//! Pipeline: apps in stages, from review to production. `/pipelines`.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{clock::Time, ids::PipelineId, names::AppName, references::NameReference, rfc3339};

/// A pipeline as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pipeline {
    /// When it was made.
    #[serde(with = "rfc3339")]
    pub created_at: Time,
    /// Which runtime its apps are for: always `cedar`.
    pub generation: NameReference,
    /// The pipeline's id.
    pub id: PipelineId,
    /// Its name: in form like an app's, and unique.
    pub name: AppName,
    /// Who owns it.
    pub owner: Option<PipelineOwner>,
    /// When it last changed.
    #[serde(with = "rfc3339")]
    pub updated_at: Time,
}

/// Who owns a pipeline: a person or a team.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineOwner {
    /// The account's or the team's id.
    pub id: Uuid,
    /// Which of the two.
    #[serde(rename = "type")]
    pub kind: OwnerKind,
}

/// A kind of owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OwnerKind {
    /// A team.
    Team,
    /// A person.
    User,
}

/// `POST /pipelines`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewPipeline {
    /// Its name.
    pub name: String,
    /// Who will own it; the caller if left out.
    #[serde(default)]
    pub owner: Option<PipelineOwner>,
}

/// `PATCH /pipelines/{pipeline}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineUpdate {
    /// A new name.
    #[serde(default)]
    pub name: Option<String>,
}

/// A pipeline, by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineReference {
    /// The pipeline's id.
    pub id: PipelineId,
}

/// `POST /pipeline-transfers`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewPipelineTransfer {
    /// Which pipeline.
    pub pipeline: PipelineReference,
    /// Who owns it from now on.
    pub new_owner: PipelineOwner,
}

/// A pipeline that was given away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineTransfer {
    /// Which pipeline.
    pub pipeline: PipelineReference,
    /// Who owned it.
    pub previous_owner: Option<PipelineOwner>,
    /// Who owns it now.
    pub new_owner: Option<PipelineOwner>,
}

/// `GET /pipelines/{pipeline}/pipeline-stack`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineStack {
    /// The stack of what is in production, or in the stage nearest to it.
    pub stack: Option<NameReference>,
}
