//! `/pipeline-promotions`: a slug released on further apps of a pipeline.

use api::{
    builds::BuildApp,
    pipeline_promotions::{
        NewPipelinePromotion, PipelinePromotion, PromotionReference, PromotionSource,
        PromotionStatus, PromotionTarget, TargetStatus,
    },
    pipelines::PipelineReference,
    references::ReleaseReference,
};
use axum::{Json, extract::State, response::Response};
use http::StatusCode;
use platform::{Platform, authorize::Action};

use super::{
    error::Refusal,
    extract::{Body, Path, Wanted, With},
    range,
    route::Route,
};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post("/pipeline-promotions", Action::CreatePipeline, create),
        Route::get(
            "/pipeline-promotions/{promotion}",
            Action::ListPipelines,
            show,
        ),
        Route::get(
            "/pipeline-promotions/{promotion}/promotion-targets",
            Action::ListPipelines,
            targets,
        ),
    ]
}

async fn create(
    State(platform): State<Platform>,
    With(bearer): With,
    Body(new): Body<NewPipelinePromotion>,
) -> Result<(StatusCode, Json<PipelinePromotion>), Refusal> {
    let row = platform.promote(&bearer, &new).await?;
    Ok((StatusCode::CREATED, Json(body(&platform, row).await?)))
}

async fn show(
    State(platform): State<Platform>,
    With(bearer): With,
    Path(promotion): Path<String>,
) -> Result<Json<PipelinePromotion>, Refusal> {
    let row = platform.promotion(&bearer, &promotion).await?;
    Ok(Json(body(&platform, row).await?))
}

async fn targets(
    State(platform): State<Platform>,
    With(bearer): With,
    Path(promotion): Path<String>,
    Wanted(range): Wanted,
) -> Result<Response, Refusal> {
    let promotion = platform.promotion(&bearer, &promotion).await?;
    let rows = platform.promotion_targets(promotion.id).await?.into_iter();
    let bodies: Vec<PromotionTarget> = rows
        .map(|(row, status, error_message)| PromotionTarget {
            app: BuildApp { id: row.app },
            error_message,
            id: row.id,
            pipeline_promotion: PromotionReference { id: row.promotion },
            release: row.release.map(|id| ReleaseReference { id }),
            status,
        })
        .collect();
    Ok(range::list(&bodies, &range, &["id"]))
}

async fn body(
    platform: &Platform,
    row: store::PipelinePromotion,
) -> Result<PipelinePromotion, Refusal> {
    let targets = platform.promotion_targets(row.id).await?;
    let is_pending = targets
        .iter()
        .any(|(_, status, _)| *status == TargetStatus::Pending);
    Ok(PipelinePromotion {
        created_at: row.created_at,
        id: row.id,
        pipeline: PipelineReference { id: row.pipeline },
        source: PromotionSource {
            app: BuildApp { id: row.source_app },
            release: ReleaseReference {
                id: row.source_release,
            },
        },
        status: if is_pending {
            PromotionStatus::Pending
        } else {
            PromotionStatus::Completed
        },
        updated_at: Some(row.updated_at),
    })
}
