//! `/account/delinquency`: nobody is billed, so nobody is ever behind.

use api::delinquency::Delinquency;
use axum::Json;
use platform::authorize::Action;

use super::route::Route;

pub(super) fn routes() -> Vec<Route> {
    vec![Route::get(
        "/account/delinquency",
        Action::ReadAccount,
        show,
    )]
}

async fn show() -> Json<Delinquency> {
    Json(Delinquency::default())
}
