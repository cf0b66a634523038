//! `/pipelines`, `/pipeline-transfers`, and what was last built, released and deployed in a pipeline.

use std::collections::HashMap;

use api::{
    builds::Build,
    pipelines::{
        NewPipeline, NewPipelineTransfer, Pipeline, PipelineReference, PipelineStack,
        PipelineTransfer, PipelineUpdate,
    },
    references::NameReference,
    releases::Release,
};
use axum::{
    Json,
    extract::{Query, State},
    response::Response,
};
use http::StatusCode;
use platform::{Platform, authorize::Action};

use super::{
    builds,
    error::Refusal,
    extract::{Body, By, OfPipeline, Wanted, With},
    generations, range, releases,
    route::Route,
};

const ONE: &str = "/pipelines/{pipeline}";

pub(super) fn routes() -> Vec<Route> {
    let read = Action::ReadPipeline;
    vec![
        Route::get("/pipelines", Action::ListPipelines, list),
        Route::post("/pipelines", Action::CreatePipeline, create),
        Route::get(ONE, read, show),
        Route::patch(ONE, Action::UpdatePipeline, update),
        Route::delete(ONE, Action::UpdatePipeline, delete),
        Route::post("/pipeline-transfers", Action::CreatePipeline, transfer),
        Route::get("/pipelines/{pipeline}/latest-builds", read, latest_builds),
        Route::get(
            "/pipelines/{pipeline}/latest-releases",
            read,
            latest_releases,
        ),
        Route::get(
            "/pipelines/{pipeline}/latest-deployments",
            read,
            latest_deployments,
        ),
        Route::get("/pipelines/{pipeline}/pipeline-stack", read, stack),
    ]
}

/// Clients look a pipeline up by `?eq[name]=NAME`.
async fn list(
    State(platform): State<Platform>,
    By(caller): By,
    Wanted(range): Wanted,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, Refusal> {
    let mut bodies = Vec::new();
    for row in platform.pipelines(caller.account).await? {
        let is_wanted = query
            .get("eq[name]")
            .is_none_or(|name| row.name.as_str() == name);
        if is_wanted {
            bodies.push(body(&platform, row).await?);
        }
    }
    Ok(range::list(
        &bodies,
        &range,
        &["id", "name", "created_at", "updated_at"],
    ))
}

async fn create(
    State(platform): State<Platform>,
    With(bearer): With,
    Body(new): Body<NewPipeline>,
) -> Result<(StatusCode, Json<Pipeline>), Refusal> {
    let row = platform.create_pipeline(&bearer, new).await?;
    Ok((StatusCode::CREATED, Json(body(&platform, row).await?)))
}

async fn show(
    State(platform): State<Platform>,
    OfPipeline(row): OfPipeline,
) -> Result<Json<Pipeline>, Refusal> {
    Ok(Json(body(&platform, row).await?))
}

async fn update(
    State(platform): State<Platform>,
    By(caller): By,
    OfPipeline(row): OfPipeline,
    Body(update): Body<PipelineUpdate>,
) -> Result<Json<Pipeline>, Refusal> {
    let row = match update.name {
        Some(name) => platform.rename_pipeline(&caller, &row, &name).await?,
        None => row,
    };
    Ok(Json(body(&platform, row).await?))
}

async fn delete(
    State(platform): State<Platform>,
    By(caller): By,
    OfPipeline(row): OfPipeline,
) -> Result<Json<Pipeline>, Refusal> {
    let gone = body(&platform, row.clone()).await?;
    platform.delete_pipeline(&caller, &row).await?;
    Ok(Json(gone))
}

async fn transfer(
    State(platform): State<Platform>,
    With(bearer): With,
    Body(new): Body<NewPipelineTransfer>,
) -> Result<(StatusCode, Json<PipelineTransfer>), Refusal> {
    let (before, after) = platform
        .transfer_pipeline(&bearer, new.pipeline.id, new.new_owner)
        .await?;
    let transfer = PipelineTransfer {
        pipeline: PipelineReference { id: after.id },
        previous_owner: Some(platform.pipeline_owner(before.owner).await?),
        new_owner: Some(platform.pipeline_owner(after.owner).await?),
    };
    Ok((StatusCode::CREATED, Json(transfer)))
}

async fn latest_builds(
    State(platform): State<Platform>,
    With(bearer): With,
    OfPipeline(pipeline): OfPipeline,
    Wanted(range): Wanted,
) -> Result<Response, Refusal> {
    let emails = platform.emails().await?;
    let mut latest: Vec<Build> = Vec::new();
    for (app, _) in platform.apps_in(&bearer, pipeline.id).await? {
        if let Some(row) = platform.builds(app.id).await?.into_iter().next_back() {
            let email = emails.get(&row.account).cloned().unwrap_or_default();
            latest.push(builds::body(&platform, row, email));
        }
    }
    Ok(range::list(&latest, &range, &["id", "created_at"]))
}

async fn latest_releases(
    State(platform): State<Platform>,
    With(bearer): With,
    OfPipeline(pipeline): OfPipeline,
    Wanted(range): Wanted,
) -> Result<Response, Refusal> {
    let releases = releases_in(&platform, &bearer, pipeline.id).await?;
    let latest: Vec<&Release> = releases.iter().filter_map(|list| list.last()).collect();
    Ok(range::list(
        &latest,
        &range,
        &["id", "created_at", "version"],
    ))
}

async fn latest_deployments(
    State(platform): State<Platform>,
    With(bearer): With,
    OfPipeline(pipeline): OfPipeline,
    Wanted(range): Wanted,
) -> Result<Response, Refusal> {
    let releases = releases_in(&platform, &bearer, pipeline.id).await?;
    let latest: Vec<&Release> = releases
        .iter()
        .filter_map(|list| deployment(list))
        .collect();
    Ok(range::list(
        &latest,
        &range,
        &["id", "created_at", "version"],
    ))
}

/// The newest release that brought another slug than the one before it.
fn deployment(releases: &[Release]) -> Option<&Release> {
    let before = std::iter::once(None).chain(releases.iter().map(|release| release.slug));
    let pairs = releases.iter().zip(before);
    let deployments =
        pairs.filter(|(release, before)| release.slug.is_some() && release.slug != *before);
    deployments.map(|(release, _)| release).last()
}

/// The releases of each app of a pipeline that the caller may see, oldest first.
async fn releases_in(
    platform: &Platform,
    bearer: &platform::authorize::Bearer,
    pipeline: api::ids::PipelineId,
) -> Result<Vec<Vec<Release>>, Refusal> {
    let emails = platform.emails().await?;
    let mut found = Vec::new();
    for (app, _) in platform.apps_in(bearer, pipeline).await? {
        let removed = platform.removed_slugs(app.id).await?;
        let mut rows = platform.releases(app.id).await?;
        rows.sort_by_key(|row| row.version);
        let shown = rows.into_iter().map(|row| {
            let email = emails.get(&row.account).cloned().unwrap_or_default();
            releases::body(platform, (&app, &removed), row, email)
        });
        found.push(shown.collect());
    }
    Ok(found)
}

async fn stack(
    State(platform): State<Platform>,
    With(bearer): With,
    OfPipeline(pipeline): OfPipeline,
) -> Result<Json<PipelineStack>, Refusal> {
    let mut apps = platform.apps_in(&bearer, pipeline.id).await?;
    apps.sort_by_key(|(_, stage)| *stage);
    let last = apps.last();
    let stack = last.map(|(app, _)| NameReference::new("stack", app.stack.as_str()));
    Ok(Json(PipelineStack { stack }))
}

async fn body(platform: &Platform, row: store::Pipeline) -> Result<Pipeline, Refusal> {
    Ok(Pipeline {
        created_at: row.created_at,
        generation: NameReference::new("generation", generations::NAME),
        id: row.id,
        name: row.name,
        owner: Some(platform.pipeline_owner(row.owner).await?),
        updated_at: row.updated_at,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_deployment_brings_another_slug() {
        let release = |version: u64, slug: Option<u128>| -> Release {
            let slug = slug.map(|slug| json!({ "id": uuid::Uuid::from_u128(slug) }));
            let id = uuid::Uuid::from_u128(version.into());
            let time = "2026-02-19T08:00:00Z";
            serde_json::from_value(json!({
                "addon_plan_names": [], "artifacts": [], "app": { "id": id, "name": "example" },
                "created_at": time, "updated_at": time, "description": "", "id": id,
                "slug": slug, "status": "succeeded", "user": { "id": id, "email": "" },
                "version": version, "current": false, "output_stream_url": null,
                "eligible_for_rollback": false,
            }))
            .unwrap()
        };
        let check = |slugs: &[Option<u128>], expected: Option<u64>| {
            let releases: Vec<Release> = (1..)
                .zip(slugs)
                .map(|(version, slug)| release(version, *slug))
                .collect();
            let found = deployment(&releases).map(|release| release.version);
            assert_eq!(found, expected, "{slugs:?}");
        };
        check(&[], None);
        check(&[None, None], None);
        check(&[None, Some(1), Some(1)], Some(2));
        check(&[None, Some(1), Some(2), Some(2)], Some(3));
    }
}
