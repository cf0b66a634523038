//! `/apps/{app}/build-settings`: what of an app's source is built, when, and with which config vars.

use api::build_settings::BuildSettings;
use axum::{Json, extract::State};
use platform::{Platform, authorize::Action};
use serde_json::{Map, Value};

use super::{
    error::Refusal,
    extract::{Body, By, Of},
    route::Route,
};

const PATH: &str = "/apps/{app}/build-settings";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(PATH, Action::ReadApp, show),
        Route::patch(PATH, Action::UpdateApp, update),
    ]
}

async fn show(
    State(platform): State<Platform>,
    Of(app): Of,
) -> Result<Json<BuildSettings>, Refusal> {
    Ok(Json(platform.build_settings(&app).await?))
}

async fn update(
    State(platform): State<Platform>,
    By(caller): By,
    Of(app): Of,
    Body(update): Body<Map<String, Value>>,
) -> Result<Json<BuildSettings>, Refusal> {
    let settings = platform
        .update_build_settings(&caller, &app, update)
        .await?;
    Ok(Json(settings))
}
