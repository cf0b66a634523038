//! `/apps/{app}/config-vars` and `/apps/{app}/releases/{release}/config-vars`.

use std::collections::BTreeMap;

use api::config_vars::ConfigVars;
use axum::{Json, extract::State};
use platform::{Platform, authorize::Action};
use serde::Deserialize;
use serde_json::Value;

use super::{
    error::Refusal,
    extract::{Body, By, Of, Path},
    route::Route,
};

const PATH: &str = "/apps/{app}/config-vars";
const OF_RELEASE: &str = "/apps/{app}/releases/{release}/config-vars";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(PATH, Action::ReadConfigVars, show),
        Route::patch(PATH, Action::UpdateConfigVars, update),
        Route::get(OF_RELEASE, Action::ReadConfigVars, show_of_release),
    ]
}

#[derive(Deserialize)]
struct ReleasePath {
    release: String,
}

async fn show(
    State(platform): State<Platform>,
    By(caller): By,
    Of(app): Of,
) -> Result<Json<ConfigVars>, Refusal> {
    Ok(Json(platform.config_vars(&caller, &app).await?))
}

async fn update(
    State(platform): State<Platform>,
    By(caller): By,
    Of(app): Of,
    Body(updates): Body<BTreeMap<String, Value>>,
) -> Result<Json<ConfigVars>, Refusal> {
    Ok(Json(
        platform.update_config_vars(&caller, &app, updates).await?,
    ))
}

async fn show_of_release(
    State(platform): State<Platform>,
    By(caller): By,
    Of(app): Of,
    Path(path): Path<ReleasePath>,
) -> Result<Json<ConfigVars>, Refusal> {
    Ok(Json(
        platform
            .release_config_vars(&caller, &app, &path.release)
            .await?,
    ))
}
