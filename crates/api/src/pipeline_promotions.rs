//! Pipeline promotion: a slug released on further apps of a pipeline. `/pipeline-promotions`.

use serde::{Deserialize, Serialize};

use crate::{
    builds::BuildApp,
    clock::Time,
    ids::{PipelinePromotionId, PromotionTargetId, ReleaseId},
    pipelines::PipelineReference,
    references::ReleaseReference,
    rfc3339,
};

/// A promotion as the API shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelinePromotion {
    /// When it was asked for.
    #[serde(with = "rfc3339")]
    pub created_at: Time,
    /// The promotion's id.
    pub id: PipelinePromotionId,
    /// In which pipeline.
    pub pipeline: PipelineReference,
    /// What was promoted.
    pub source: PromotionSource,
    /// Whether something is still under way.
    pub status: PromotionStatus,
    /// When it last changed.
    #[serde(with = "rfc3339::option")]
    pub updated_at: Option<Time>,
}

/// What is promoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromotionSource {
    /// From which app.
    pub app: BuildApp,
    /// Which release of it.
    pub release: ReleaseReference,
}

/// How a promotion stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PromotionStatus {
    /// A target is.
    Pending,
    /// Every target has succeeded or failed.
    Completed,
}

/// `GET /pipeline-promotions/{promotion}/promotion-targets`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromotionTarget {
    /// The app that the slug goes to.
    pub app: BuildApp,
    /// Why it failed.
    pub error_message: Option<String>,
    /// The target's id.
    pub id: PromotionTargetId,
    /// Of which promotion.
    pub pipeline_promotion: PromotionReference,
    /// The release that was made.
    pub release: Option<ReleaseReference>,
    /// How it stands.
    pub status: TargetStatus,
}

/// A promotion, by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromotionReference {
    /// The promotion's id.
    pub id: PipelinePromotionId,
}

/// How a target stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetStatus {
    /// Its release is.
    Pending,
    /// Its release is live.
    Succeeded,
    /// No release could be made, or it failed.
    Failed,
}

/// `POST /pipeline-promotions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewPipelinePromotion {
    /// In which pipeline.
    pub pipeline: PipelineReference,
    /// What is promoted.
    pub source: NewPromotionSource,
    /// Where to.
    pub targets: Vec<NewPromotionTarget>,
}

/// What is to be promoted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewPromotionSource {
    /// From which app.
    pub app: BuildApp,
    /// Which release of it; the current one if left out.
    #[serde(default)]
    pub release: Option<NewPromotionRelease>,
}

/// Which release is to be promoted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewPromotionRelease {
    /// Its id.
    #[serde(default)]
    pub id: Option<ReleaseId>,
}

/// Where a slug is to be promoted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewPromotionTarget {
    /// The app.
    pub app: BuildApp,
}
