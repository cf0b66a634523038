//! `/apps/{app}/buildpack-installations`.

use api::buildpack_installations::{Buildpack, BuildpackInstallation, BuildpackUpdates};
use axum::{Json, extract::State, response::Response};
use platform::{Platform, authorize::Action};

use super::{
    error::Refusal,
    extract::{Body, By, Of, Wanted},
    range,
    route::Route,
};

const PATH: &str = "/apps/{app}/buildpack-installations";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(PATH, Action::ReadApp, list),
        Route::put(PATH, Action::UpdateApp, replace),
    ]
}

async fn list(
    State(platform): State<Platform>,
    Of(app): Of,
    Wanted(range): Wanted,
) -> Result<Response, Refusal> {
    let bodies = bodies(platform.buildpacks(&app).await?);
    Ok(range::list(&bodies, &range, &["ordinal"]))
}

async fn replace(
    State(platform): State<Platform>,
    By(caller): By,
    Of(app): Of,
    Body(updates): Body<BuildpackUpdates>,
) -> Result<Json<Vec<BuildpackInstallation>>, Refusal> {
    Ok(Json(bodies(
        platform.replace_buildpacks(&caller, &app, updates).await?,
    )))
}

fn bodies(rows: Vec<store::BuildpackInstallation>) -> Vec<BuildpackInstallation> {
    rows.into_iter()
        .map(|row| BuildpackInstallation {
            ordinal: row.ordinal,
            buildpack: Buildpack {
                name: row.url.clone(),
                url: row.url,
            },
        })
        .collect()
}
