//! `/apps/{app}/formation/{type}/health-checks`: how a process type's dynos are checked.

use api::health_checks::{FormationHealthChecks, HealthCheck, HealthChecks};
use axum::{Json, extract::State};
use platform::{Caller, Platform, authorize::Action};
use serde::{Deserialize, Deserializer};
use store::App;

use super::{
    error::Refusal,
    extract::{Body, By, Of, Path},
    route::Route,
};

const PATH: &str = "/apps/{app}/formation/{type}/health-checks";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(PATH, Action::ReadApp, show),
        Route::put(PATH, Action::Operate, replace),
        Route::patch(PATH, Action::Operate, update),
        Route::delete(PATH, Action::Operate, remove),
    ]
}

#[derive(Deserialize)]
struct TypePath {
    r#type: String,
}

/// What is left out stays, `null` takes a check away.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::option_option, reason = "left out and null differ")]
struct Update {
    #[serde(default, deserialize_with = "given")]
    startup: Option<Option<HealthCheck>>,
    #[serde(default, deserialize_with = "given")]
    readiness: Option<Option<HealthCheck>>,
    #[serde(default, deserialize_with = "given")]
    liveness: Option<Option<HealthCheck>>,
}

#[expect(clippy::option_option, reason = "left out and null differ")]
fn given<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<HealthCheck>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

async fn show(
    State(platform): State<Platform>,
    Of(app): Of,
    Path(path): Path<TypePath>,
) -> Result<Json<FormationHealthChecks>, Refusal> {
    Ok(Json(platform.health_checks(app.id, &path.r#type).await?))
}

async fn replace(
    State(platform): State<Platform>,
    By(caller): By,
    Of(app): Of,
    Path(path): Path<TypePath>,
    Body(checks): Body<HealthChecks>,
) -> Result<Json<FormationHealthChecks>, Refusal> {
    set(&platform, &caller, &app, &path, Some(checks)).await
}

async fn update(
    State(platform): State<Platform>,
    By(caller): By,
    Of(app): Of,
    Path(path): Path<TypePath>,
    Body(update): Body<Update>,
) -> Result<Json<FormationHealthChecks>, Refusal> {
    let present = platform.health_checks(app.id, &path.r#type).await?.checks;
    let checks = HealthChecks {
        startup: update.startup.unwrap_or(present.startup),
        readiness: update.readiness.unwrap_or(present.readiness),
        liveness: update.liveness.unwrap_or(present.liveness),
    };
    set(&platform, &caller, &app, &path, Some(checks)).await
}

/// Leaves it to the app's own file again.
async fn remove(
    State(platform): State<Platform>,
    By(caller): By,
    Of(app): Of,
    Path(path): Path<TypePath>,
) -> Result<Json<FormationHealthChecks>, Refusal> {
    set(&platform, &caller, &app, &path, None).await
}

async fn set(
    platform: &Platform,
    caller: &Caller,
    app: &App,
    path: &TypePath,
    checks: Option<HealthChecks>,
) -> Result<Json<FormationHealthChecks>, Refusal> {
    let set = platform.set_health_checks(caller, app.id, &path.r#type, checks);
    Ok(Json(set.await?))
}
