//! `/generations`: the one way that apps are run here, under the name that clients know.

use api::{clock::Time, generations::Generation, references::lasting_id};
use axum::{Json, response::Response};
use platform::authorize::Action;

use super::{
    error::Refusal,
    extract::{Path, Wanted},
    range,
    route::Route,
};

/// The generation of every app, pipeline and build.
pub(super) const NAME: &str = "cedar";
/// 2026-01-01: the API wants to know since when there is one.
const INTRODUCED: Time = Time::from_micros(1_767_225_600_000_000);

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/generations", Action::ReadCatalogue, list),
        Route::get("/generations/{generation}", Action::ReadCatalogue, show),
    ]
}

async fn list(Wanted(range): Wanted) -> Response {
    range::list(&[only()], &range, &["id", "name"])
}

async fn show(Path(identity): Path<String>) -> Result<Json<Generation>, Refusal> {
    let only = only();
    if identity == only.name || identity == only.id.to_string() {
        Ok(Json(only))
    } else {
        Err(Refusal::Unknown("generation"))
    }
}

fn only() -> Generation {
    Generation {
        created_at: INTRODUCED,
        id: lasting_id("generation", NAME),
        name: NAME.to_owned(),
        updated_at: INTRODUCED,
    }
}
