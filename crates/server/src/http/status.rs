//! `/api/v4/current-status`: what `heroku status` asks. Answering it at all is the news.

use axum::Json;
use platform::authorize::Action;
use serde_json::{Value, json};

use super::route::Route;

pub(super) fn routes() -> Vec<Route> {
    vec![Route::get(
        "/api/v4/current-status",
        Action::ReadPublic,
        show,
    )]
}

async fn show() -> Json<Value> {
    let system = |name: &str| json!({ "system": name, "status": "green" });
    Json(json!({
        "status": [system("Apps"), system("Data"), system("Tools")],
        "incidents": [],
        "scheduled": [],
    }))
}
