//! `/api/v4/current-status`: what `heroku status` asks where nobody told it of the router's status
//! page. The server answers only for itself and for whether it hears a router.

use axum::{Json, extract::State};
use platform::{Platform, authorize::Action};
use serde_json::{Value, json};

use super::route::Route;

pub(super) fn routes() -> Vec<Route> {
    vec![Route::get(
        "/api/v4/current-status",
        Action::ReadPublic,
        show,
    )]
}

async fn show(State(platform): State<Platform>) -> Json<Value> {
    let apps = if platform.has_router() {
        "green"
    } else {
        "red"
    };
    let system = |name: &str, status: &str| json!({ "system": name, "status": status });
    Json(json!({
        "status": [system("Apps", apps), system("Tools", "green")],
        "incidents": [],
        "scheduled": [],
    }))
}
