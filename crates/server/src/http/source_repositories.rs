//! `/apps/{app}/source-repository`.

use api::source_repositories::{NewSourceRepository, SourceRepository};
use axum::{Json, extract::State};
use platform::{Platform, authorize::Action};

use super::{
    error::Refusal,
    extract::{Body, By, Of},
    route::Route,
};

const PATH: &str = "/apps/{app}/source-repository";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(PATH, Action::ReadApp, show),
        Route::put(PATH, Action::UpdateApp, set),
        Route::delete(PATH, Action::UpdateApp, delete),
    ]
}

async fn show(
    State(platform): State<Platform>,
    Of(app): Of,
) -> Result<Json<SourceRepository>, Refusal> {
    Ok(Json(body(platform.source_repository(&app).await?)))
}

async fn set(
    State(platform): State<Platform>,
    By(caller): By,
    Of(app): Of,
    Body(new): Body<NewSourceRepository>,
) -> Result<Json<SourceRepository>, Refusal> {
    let set = platform.set_source_repository(&caller, &app, new).await?;
    Ok(Json(body(set)))
}

async fn delete(
    State(platform): State<Platform>,
    By(caller): By,
    Of(app): Of,
) -> Result<Json<SourceRepository>, Refusal> {
    let gone = platform.delete_source_repository(&caller, &app).await?;
    Ok(Json(body(gone)))
}

fn body(repository: store::SourceRepository) -> SourceRepository {
    SourceRepository {
        branch: repository.branch,
        created_at: repository.created_at,
        deploy_key: repository.deploy_public_key,
        updated_at: repository.updated_at,
        url: repository.url,
    }
}
