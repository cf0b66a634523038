//! `/apps/{app}/builds/{build}/record`, how a build went, and `…/rebuild`, the same source again.
//! `build` is a number or an id.

use api::{build_records::BuildRecord, builds::Build};
use axum::{Json, extract::State};
use http::StatusCode;
use platform::{Platform, authorize::Action};

use super::{
    builds::{self, BuildPath},
    error::Refusal,
    extract::{By, Of, Path},
    route::Route,
};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/apps/{app}/builds/{build}/record", Action::ReadApp, show),
        Route::post(
            "/apps/{app}/builds/{build}/rebuild",
            Action::Deploy,
            rebuild,
        ),
    ]
}

async fn show(
    State(platform): State<Platform>,
    Of(app): Of,
    Path(path): Path<BuildPath>,
) -> Result<Json<BuildRecord>, Refusal> {
    Ok(Json(platform.build_record(app.id, &path.build).await?))
}

async fn rebuild(
    State(platform): State<Platform>,
    By(caller): By,
    Of(app): Of,
    Path(path): Path<BuildPath>,
) -> Result<(StatusCode, Json<Build>), Refusal> {
    let build = platform.rebuild(&caller, app.id, &path.build).await?;
    let body = builds::body(&platform, build, caller.email);
    Ok((StatusCode::CREATED, Json(body)))
}
