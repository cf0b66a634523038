//! `/apps/{app}/features`.

use api::{
    app_features::{AppFeature, AppFeatureUpdate},
    clock::Time,
    references::lasting_id,
};
use axum::{Json, extract::State, response::Response};
use platform::{Platform, app_features::FeatureState, authorize::Action};
use serde::Deserialize;
use store::App;

use super::{
    error::Refusal,
    extract::{Body, By, Of, Path, Wanted},
    range,
    route::Route,
};

const PATH: &str = "/apps/{app}/features";
const ONE: &str = "/apps/{app}/features/{feature}";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(PATH, Action::ReadApp, list),
        Route::get(ONE, Action::ReadApp, show),
        Route::patch(ONE, Action::UpdateApp, update),
    ]
}

#[derive(Deserialize)]
struct FeaturePath {
    feature: String,
}

async fn list(
    State(platform): State<Platform>,
    Of(app): Of,
    Wanted(range): Wanted,
) -> Result<Response, Refusal> {
    let states = platform.app_features(&app).await?;
    let bodies: Vec<AppFeature> = states.iter().map(|state| body(&app, state)).collect();
    Ok(range::list(&bodies, &range, &["id", "name"]))
}

async fn show(
    State(platform): State<Platform>,
    Of(app): Of,
    Path(path): Path<FeaturePath>,
) -> Result<Json<AppFeature>, Refusal> {
    Ok(Json(body(
        &app,
        &platform.app_feature(&app, &path.feature).await?,
    )))
}

async fn update(
    State(platform): State<Platform>,
    By(caller): By,
    Of(app): Of,
    Path(path): Path<FeaturePath>,
    Body(update): Body<AppFeatureUpdate>,
) -> Result<Json<AppFeature>, Refusal> {
    let state = platform
        .update_app_feature(&caller, &app, &path.feature, update.enabled)
        .await?;
    Ok(Json(body(&app, &state)))
}

fn body(app: &App, state: &FeatureState) -> AppFeature {
    let feature = state.feature;
    let switched_at: Time = state.updated_at.unwrap_or(app.created_at);
    AppFeature {
        created_at: app.created_at,
        description: feature.description.to_owned(),
        doc_url: format!("https://devcenter.heroku.com/articles/{}", feature.name),
        enabled: state.is_enabled,
        id: lasting_id("app-feature", &format!("{}/{}", app.id, feature.name)),
        name: feature.name.to_owned(),
        state: "general".to_owned(),
        updated_at: switched_at,
        display_name: feature.display_name.to_owned(),
        feedback_email: String::new(),
    }
}
