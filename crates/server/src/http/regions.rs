//! `/regions`.

use api::regions::Region;
use axum::{Json, response::Response};
use platform::{authorize::Action, regions};

use super::{
    error::Refusal,
    extract::{Path, Wanted},
    range,
    route::Route,
};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/regions", Action::ReadCatalogue, list),
        Route::get("/regions/{region}", Action::ReadCatalogue, show),
    ]
}

async fn list(Wanted(range): Wanted) -> Response {
    range::list(
        &regions::all(),
        &range,
        &["id", "name", "created_at", "updated_at"],
    )
}

async fn show(Path(region): Path<String>) -> Result<Json<Region>, Refusal> {
    Ok(Json(regions::find(&region)?))
}
