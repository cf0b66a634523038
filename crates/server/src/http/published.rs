//! `/schema`: the published hyper-schema, for clients that make themselves from it.

use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use platform::authorize::Action;

use super::route::Route;

pub(super) fn routes() -> Vec<Route> {
    vec![Route::get("/schema", Action::ReadPublic, show)]
}

async fn show() -> Response {
    let kind = [(CONTENT_TYPE, "application/schema+json")];
    (kind, api::published::HYPER_SCHEMA).into_response()
}
