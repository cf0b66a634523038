//! `/apps/{app}/dynos`: list, run, restart, stop.

use std::{collections::BTreeMap, time::Duration};

use api::dynos::{Dyno, DynoEvent, DynoRelease, DynoState, DynoUsage, NewDyno};
use axum::{Json, extract::State, response::Response};
use http::StatusCode;
use platform::{Platform, authorize::Action, dynos::Which, runs::Run};
use serde::Deserialize;
use serde_json::{Value, json};
use store::App;

use super::{
    apps,
    error::Refusal,
    extract::{Body, By, Of, Path, Wanted},
    formations, range,
    route::Route,
    sleep,
};

const PATH: &str = "/apps/{app}/dynos";
pub(super) const ONE: &str = "/apps/{app}/dynos/{dyno}";
const TYPE: &str = "/apps/{app}/formations/{type}";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(PATH, Action::ReadApp, list),
        Route::post(PATH, Action::RunDyno, run),
        Route::delete(PATH, Action::Operate, restart_all),
        Route::get(ONE, Action::ReadApp, show),
        Route::delete(ONE, Action::Operate, restart_one),
        Route::get("/apps/{app}/dynos/{dyno}/events", Action::ReadApp, events),
        Route::post(
            "/apps/{app}/dynos/{dyno}/actions/stop",
            Action::Operate,
            stop_one,
        ),
        Route::delete(TYPE, Action::Operate, restart_type),
        Route::post(
            "/apps/{app}/formations/{type}/actions/stop",
            Action::Operate,
            stop_type,
        ),
    ]
}

#[derive(Deserialize)]
pub(super) struct DynoPath {
    pub(super) dyno: String,
}

#[derive(Deserialize)]
struct TypePath {
    r#type: String,
}

async fn list(
    State(platform): State<Platform>,
    Of(app): Of,
    Wanted(range): Wanted,
) -> Result<Response, Refusal> {
    let rows = platform.dynos(app.id).await?.into_iter();
    let bodies: Vec<Dyno> = rows.map(|row| body(&platform, &app, row, None)).collect();
    let order = ["id", "name", "created_at", "updated_at"];
    let mut response = range::list(&bodies, &range, &order);
    if let Some(warning) = sleep::warning(&platform, &app).await? {
        response.headers_mut().insert("warning-message", warning);
    }
    Ok(response)
}

async fn show(
    State(platform): State<Platform>,
    Of(app): Of,
    Path(path): Path<DynoPath>,
) -> Result<Json<Dyno>, Refusal> {
    let row = platform.dyno(app.id, &path.dyno).await?;
    Ok(Json(body(&platform, &app, row, None)))
}

async fn events(
    State(platform): State<Platform>,
    Of(app): Of,
    Path(path): Path<DynoPath>,
) -> Result<Json<Vec<DynoEvent>>, Refusal> {
    let events = platform.dyno_events(app.id, &path.dyno).await?.into_iter();
    let bodies = events.map(|event| DynoEvent {
        id: event.id,
        created_at: event.at,
        kind: event.kind,
        cause: event.cause,
        details: event.details,
    });
    Ok(Json(bodies.collect()))
}

async fn run(
    State(platform): State<Platform>,
    By(caller): By,
    Of(app): Of,
    Body(new): Body<NewDyno>,
) -> Result<(StatusCode, Json<Dyno>), Refusal> {
    let run = Run {
        command: new.command,
        env: environment(new.env.unwrap_or_default()),
        size: new.size,
        is_attached: new.attach.unwrap_or(false),
        is_without_terminal: new.force_no_tty.unwrap_or(false),
        time_to_live: new.time_to_live.map(Duration::from_secs),
        process_type: new.process_type,
    };
    let (row, secret) = platform.run_dyno(&caller, app.id, run).await?;
    let rendezvous = &platform.settings().rendezvous;
    let attach_url = secret.map(|secret| format!("rendezvous://{rendezvous}/{secret}"));
    Ok((
        StatusCode::CREATED,
        Json(body(&platform, &app, row, attach_url)),
    ))
}

/// Values as text: clients send numbers for `COLUMNS` and `LINES`.
pub(super) fn environment(env: BTreeMap<String, Value>) -> BTreeMap<String, String> {
    env.into_iter()
        .filter_map(|(name, value)| match value {
            Value::String(text) => Some((name, text)),
            Value::Number(_) | Value::Bool(_) => Some((name, value.to_string())),
            _ => None,
        })
        .collect()
}

async fn restart_all(
    platform: State<Platform>,
    by: By,
    of: Of,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    restart(platform, by, of, Which::All).await
}

async fn restart_one(
    platform: State<Platform>,
    by: By,
    of: Of,
    Path(path): Path<DynoPath>,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    restart(platform, by, of, Which::Dyno(path.dyno)).await
}

async fn restart_type(
    platform: State<Platform>,
    by: By,
    of: Of,
    Path(path): Path<TypePath>,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    restart(platform, by, of, Which::Type(path.r#type)).await
}

async fn restart(
    State(platform): State<Platform>,
    By(caller): By,
    Of(app): Of,
    which: Which,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    platform.restart_dynos(&caller, app.id, &which).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({}))))
}

async fn stop_one(
    State(platform): State<Platform>,
    By(caller): By,
    Of(app): Of,
    Path(path): Path<DynoPath>,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    platform
        .stop_dynos(&caller, app.id, &Which::Dyno(path.dyno))
        .await?;
    Ok((StatusCode::ACCEPTED, Json(json!({}))))
}

async fn stop_type(
    State(platform): State<Platform>,
    By(caller): By,
    Of(app): Of,
    Path(path): Path<TypePath>,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    platform
        .stop_dynos(&caller, app.id, &Which::Type(path.r#type))
        .await?;
    Ok((StatusCode::ACCEPTED, Json(json!({}))))
}

/// A dyno as clients see it.
pub(super) fn body(
    platform: &Platform,
    app: &App,
    row: store::Dyno,
    attach_url: Option<String>,
) -> Dyno {
    let usage = platform.dyno_usage(row.id);
    let is_over_memory = usage.is_some_and(|usage| usage.is_over_memory);
    let is_running = matches!(
        row.state,
        store::DynoState::Starting | store::DynoState::Up | store::DynoState::Idle
    );
    Dyno {
        attach_url,
        command: row.command,
        created_at: row.created_at,
        id: row.id,
        name: row.name,
        release: DynoRelease {
            id: row.release,
            version: row.release_version,
        },
        app: apps::reference(app),
        size: formations::shown_size(&row.size),
        state: match row.state {
            store::DynoState::Starting => DynoState::Starting,
            store::DynoState::Up => DynoState::Up,
            store::DynoState::Idle => DynoState::Idle,
            store::DynoState::Crashed => DynoState::Crashed,
            store::DynoState::Down => DynoState::Down,
        },
        process_type: row.process_type,
        updated_at: row.state_changed_at,
        error: row
            .error
            .or_else(|| (is_running && is_over_memory).then(|| "R14".to_owned())),
        usage: usage.filter(|_| is_running).map(|usage| DynoUsage {
            at: usage.at,
            memory_bytes: usage.memory_bytes,
            memory_quota_bytes: usage.memory_quota_bytes,
            disk_bytes: usage.disk_bytes,
            disk_quota_bytes: usage.disk_quota_bytes,
        }),
    }
}
