//! Promotions: a slug of one app of a pipeline, released on others.

use api::{
    clock::Time,
    ids::{AppId, PipelineId, PipelinePromotionId, PromotionTargetId, ReleaseId},
};
use serde_json::json;
use sqlx::query;

use crate::{
    Change, Result, Store,
    columns::{Columns, Record, list, required},
    write::Happening,
};

/// A slug on its way to further apps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipelinePromotion {
    /// Its id.
    pub id: PipelinePromotionId,
    /// In which pipeline.
    pub pipeline: PipelineId,
    /// Whose slug it is.
    pub source_app: AppId,
    /// The release that ran it.
    pub source_release: ReleaseId,
    /// When it was asked for.
    pub created_at: Time,
    /// When a target last got its release, or failed.
    pub updated_at: Time,
}

/// An app that a promotion goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromotionTarget {
    /// Its id.
    pub id: PromotionTargetId,
    /// Of which promotion.
    pub promotion: PipelinePromotionId,
    /// The app.
    pub app: AppId,
    /// The release that was made there; how that stands is its own to say.
    pub release: Option<ReleaseId>,
    /// Why none could be made.
    pub error_message: Option<String>,
}

impl Record for PipelinePromotion {
    const RESOURCE: &'static str = "pipeline promotion";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        Ok(Self {
            id: columns.parsed("id")?,
            pipeline: columns.parsed("pipeline_id")?,
            source_app: columns.parsed("source_app_id")?,
            source_release: columns.parsed("source_release_id")?,
            created_at: columns.time("created_at")?,
            updated_at: columns.time("updated_at")?,
        })
    }
}

impl Record for PromotionTarget {
    const RESOURCE: &'static str = "promotion target";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        Ok(Self {
            id: columns.parsed("id")?,
            promotion: columns.parsed("promotion_id")?,
            app: columns.parsed("app_id")?,
            release: columns.optional_parsed("release_id")?,
            error_message: columns.optional_text("error_message")?,
        })
    }
}

impl Store {
    /// Makes a promotion, of which nothing has happened yet.
    pub async fn create_pipeline_promotion(
        &self,
        change: &Change,
        pipeline: PipelineId,
        (source_app, source_release): (AppId, ReleaseId),
        targets: &[AppId],
    ) -> Result<PipelinePromotion> {
        let mut write = self.write(change).await?;
        let promotion = PipelinePromotion {
            id: PipelinePromotionId::new(),
            pipeline,
            source_app,
            source_release,
            created_at: write.now,
            updated_at: write.now,
        };
        let statement = query(
            "INSERT INTO pipeline_promotions
                 (id, pipeline_id, source_app_id, source_release_id, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $5)",
        )
        .bind(promotion.id.to_string())
        .bind(pipeline.to_string())
        .bind(source_app.to_string())
        .bind(source_release.to_string())
        .bind(write.now.as_micros());
        write.run(statement).await?;
        for app in targets {
            let statement = query(
                "INSERT INTO pipeline_promotion_targets (id, promotion_id, app_id)
                 VALUES ($1, $2, $3)",
            )
            .bind(PromotionTargetId::new().to_string())
            .bind(promotion.id.to_string())
            .bind(app.to_string());
            write.run(statement).await?;
        }
        let happening = Happening {
            kind: "pipeline-promotion.create",
            app: Some(source_app),
            subject: promotion.id.to_string(),
            details: json!({ "pipeline": pipeline, "release": source_release, "targets": targets }),
        };
        write.commit(happening).await?;
        Ok(promotion)
    }

    /// The promotion with this id.
    pub async fn pipeline_promotion(&self, id: PipelinePromotionId) -> Result<PipelinePromotion> {
        let statement =
            query("SELECT * FROM pipeline_promotions WHERE id = $1").bind(id.to_string());
        required(self.backend.reader(), statement, id).await
    }

    /// Where a promotion goes to.
    pub async fn promotion_targets(
        &self,
        promotion: PipelinePromotionId,
    ) -> Result<Vec<PromotionTarget>> {
        let statement =
            query("SELECT * FROM pipeline_promotion_targets WHERE promotion_id = $1 ORDER BY id")
                .bind(promotion.to_string());
        list(self.backend.reader(), statement).await
    }

    /// Notes which release was made for a target, or why none was.
    pub async fn note_promotion_target(
        &self,
        change: &Change,
        target: &PromotionTarget,
        outcome: &Result<ReleaseId, String>,
    ) -> Result<()> {
        let mut write = self.write(change).await?;
        let (release, error_message) = match outcome {
            Ok(release) => (Some(release.to_string()), None),
            Err(message) => (None, Some(message.clone())),
        };
        let statement = query(
            "UPDATE pipeline_promotion_targets SET release_id = $2, error_message = $3
             WHERE id = $1",
        )
        .bind(target.id.to_string())
        .bind(release.clone())
        .bind(error_message.clone());
        write.run(statement).await?;
        let statement = query("UPDATE pipeline_promotions SET updated_at = $2 WHERE id = $1")
            .bind(target.promotion.to_string())
            .bind(write.now.as_micros());
        write.run(statement).await?;
        let happening = Happening {
            kind: "pipeline-promotion.update",
            app: Some(target.app),
            subject: target.promotion.to_string(),
            details: json!({ "release": release, "error": error_message }),
        };
        write.commit(happening).await
    }

    /// The targets that have neither a release nor an error: nobody works on them after a restart.
    pub async fn open_promotion_targets(&self) -> Result<Vec<PromotionTarget>> {
        let statement = query(
            "SELECT * FROM pipeline_promotion_targets
             WHERE release_id IS NULL AND error_message IS NULL ORDER BY id",
        );
        list(self.backend.reader(), statement).await
    }
}
