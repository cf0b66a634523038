//! `/apps/{app}/log-drains`.

use api::log_drains::{LogDrain, NewLogDrain};
use axum::{Json, extract::State, response::Response};
use http::StatusCode;
use platform::{Platform, authorize::Action, log_drains::OpenDrain};
use serde::Deserialize;
use store::App;

use super::{
    apps,
    error::Refusal,
    extract::{Body, By, Of, Path, Wanted},
    range,
    route::Route,
};

const PATH: &str = "/apps/{app}/log-drains";
const ONE: &str = "/apps/{app}/log-drains/{drain}";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(PATH, Action::ReadLog, list),
        Route::post(PATH, Action::UpdateLogDrains, create),
        Route::get(ONE, Action::ReadLog, show),
        Route::delete(ONE, Action::UpdateLogDrains, delete),
    ]
}

#[derive(Deserialize)]
struct DrainPath {
    drain: String,
}

async fn list(
    State(platform): State<Platform>,
    Of(app): Of,
    Wanted(range): Wanted,
) -> Result<Response, Refusal> {
    let drains = platform.log_drains(&app).await?.into_iter();
    let bodies: Vec<LogDrain> = drains.map(|drain| body(&app, drain)).collect();
    Ok(range::list(&bodies, &range, &["id", "created_at"]))
}

async fn create(
    State(platform): State<Platform>,
    By(caller): By,
    Of(app): Of,
    Body(new): Body<NewLogDrain>,
) -> Result<(StatusCode, Json<LogDrain>), Refusal> {
    let drain = platform.create_log_drain(&caller, &app, &new.url).await?;
    Ok((StatusCode::CREATED, Json(body(&app, drain))))
}

async fn show(
    State(platform): State<Platform>,
    Of(app): Of,
    Path(path): Path<DrainPath>,
) -> Result<Json<LogDrain>, Refusal> {
    Ok(Json(body(
        &app,
        platform.log_drain(&app, &path.drain).await?,
    )))
}

async fn delete(
    State(platform): State<Platform>,
    By(caller): By,
    Of(app): Of,
    Path(path): Path<DrainPath>,
) -> Result<Json<LogDrain>, Refusal> {
    let drain = platform
        .delete_log_drain(&caller, &app, &path.drain)
        .await?;
    Ok(Json(body(&app, drain)))
}

fn body(app: &App, (drain, url): OpenDrain) -> LogDrain {
    LogDrain {
        addon: None,
        app: Some(apps::reference(app)),
        created_at: drain.created_at,
        id: drain.id,
        token: drain.token,
        updated_at: drain.updated_at,
        url,
    }
}
