//! `/stacks` and `/apps/{app}/available-stacks`.

use api::stacks::Stack;
use axum::{Json, extract::State, response::Response};
use platform::{Platform, authorize::Action};

use super::{
    error::Refusal,
    extract::{Path, Wanted},
    range,
    route::Route,
};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/stacks", Action::ReadCatalogue, list),
        Route::get("/stacks/{stack}", Action::ReadCatalogue, show),
        Route::get("/apps/{app}/available-stacks", Action::ReadApp, list),
    ]
}

async fn list(State(platform): State<Platform>, Wanted(range): Wanted) -> Response {
    range::list(
        &platform.stacks(),
        &range,
        &["id", "name", "created_at", "updated_at"],
    )
}

async fn show(
    State(platform): State<Platform>,
    Path(stack): Path<String>,
) -> Result<Json<Stack>, Refusal> {
    Ok(Json(platform.stack(&stack)?))
}
