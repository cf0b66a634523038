//! `/apps/{app}/sleep`: when an app sleeps, whether it does; put to sleep, wake.

use std::time::Duration;

use api::sleep::{Sleep, SleepState, SleepUpdate};
use axum::{Json, extract::State};
use http::HeaderValue;
use platform::{Platform, authorize::Action};
use store::App;

use super::{
    apps,
    error::Refusal,
    extract::{Body, By, Of},
    route::Route,
};

const PATH: &str = "/apps/{app}/sleep";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(PATH, Action::ReadApp, show),
        Route::patch(PATH, Action::Operate, update),
        Route::post(
            "/apps/{app}/sleep/actions/now",
            Action::Operate,
            put_to_sleep,
        ),
        Route::post("/apps/{app}/sleep/actions/wake", Action::Operate, wake),
    ]
}

async fn show(State(platform): State<Platform>, Of(app): Of) -> Result<Json<Sleep>, Refusal> {
    Ok(Json(body(&app, platform.sleep(&app).await?)))
}

async fn update(
    State(platform): State<Platform>,
    By(caller): By,
    Of(app): Of,
    Body(update): Body<SleepUpdate>,
) -> Result<Json<Sleep>, Refusal> {
    let sleep = platform.update_sleep(&caller, &app, update).await?;
    Ok(Json(body(&app, sleep)))
}

async fn put_to_sleep(
    State(platform): State<Platform>,
    By(caller): By,
    Of(app): Of,
) -> Result<Json<Sleep>, Refusal> {
    let sleep = platform.put_to_sleep(&caller, &app).await?;
    Ok(Json(body(&app, sleep)))
}

async fn wake(
    State(platform): State<Platform>,
    By(caller): By,
    Of(app): Of,
) -> Result<Json<Sleep>, Refusal> {
    Ok(Json(body(&app, platform.wake(&caller, &app).await?)))
}

/// What the official CLI prints of an app's sleep beside its dynos: it shows this header's text as
/// a warning. Nothing about an app that does not sleep.
pub(super) async fn warning(
    platform: &Platform,
    app: &App,
) -> Result<Option<HeaderValue>, Refusal> {
    let sleep = platform.sleep(app).await?;
    let row = &sleep.row;
    let text = match (row.state, row.woken_at, &row.wake_cause) {
        (store::SleepState::Frozen | store::SleepState::Stopped, ..) => format!(
            "{} sleeps since {} ({}). Its next request wakes it.",
            app.name, row.since, row.cause
        ),
        (_, Some(at), Some(cause)) if sleep.idle.is_some() => {
            format!("{} is awake since {at} ({cause}).", app.name)
        }
        _ => return Ok(None),
    };
    // A path may hold what a header must not.
    Ok(HeaderValue::from_str(&text).ok())
}

fn body(app: &App, sleep: platform::sleep::Sleep) -> Sleep {
    let row = sleep.row;
    let seconds = |time: Option<Duration>| time.map(|time| time.as_secs());
    Sleep {
        app: apps::reference(app),
        idle_seconds: row.idle_seconds,
        stop_after_seconds: row.stop_after_seconds,
        effective_idle_seconds: seconds(sleep.idle),
        effective_stop_after_seconds: seconds(sleep.stop_after),
        state: match row.state {
            store::SleepState::Awake => SleepState::Awake,
            store::SleepState::Resting => SleepState::Resting,
            store::SleepState::Frozen => SleepState::Frozen,
            store::SleepState::Stopped => SleepState::Stopped,
        },
        since: row.since,
        cause: row.cause,
        woken_at: row.woken_at,
        wake_cause: row.wake_cause,
    }
}
