//! `/apps/{app}/edge`: what the router does for an app's requests beyond routing them. Guarded as
//! config vars are: values of headers may be secrets.

use api::edge::Edge;
use axum::{Json, extract::State};
use platform::{Platform, authorize::Action};
use serde_json::{Map, Value};

use super::{
    error::Refusal,
    extract::{Body, Of, With},
    route::Route,
};

const PATH: &str = "/apps/{app}/edge";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(PATH, Action::ReadConfigVars, show),
        Route::patch(PATH, Action::UpdateConfigVars, update),
    ]
}

async fn show(State(platform): State<Platform>, Of(app): Of) -> Result<Json<Edge>, Refusal> {
    Ok(Json(platform.edge(app.id).await?))
}

async fn update(
    State(platform): State<Platform>,
    With(bearer): With,
    Of(app): Of,
    Body(update): Body<Map<String, Value>>,
) -> Result<Json<Edge>, Refusal> {
    Ok(Json(platform.update_edge(&bearer, &app, update).await?))
}
