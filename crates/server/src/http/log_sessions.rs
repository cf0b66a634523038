//! `/apps/{app}/log-sessions`, and the log itself at the session's secret URL.
//!
//! As `text/event-stream`, an event's id is the moment of its last line, so that a client that
//! comes back with `Last-Event-ID` misses nothing and sees little twice.

use api::{
    clock::Time,
    log_sessions::{LogSession, NewLogSession},
};
use axum::{Json, extract::State, response::Response};
use futures_util::StreamExt;
use http::{HeaderMap, StatusCode};
use platform::{Platform, authorize::Action};

use super::{
    error::Refusal,
    extract::{Body, Of, Path},
    route::Route,
    streams,
};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post("/apps/{app}/log-sessions", Action::ReadLog, create),
        Route::get("/logs/{session}/{secret}", Action::UseSecretUrl, read),
    ]
}

async fn create(
    State(platform): State<Platform>,
    Of(app): Of,
    Body(new): Body<NewLogSession>,
) -> Result<(StatusCode, Json<LogSession>), Refusal> {
    Ok((
        StatusCode::CREATED,
        Json(platform.create_log_session(&app, new)?),
    ))
}

async fn read(
    State(platform): State<Platform>,
    Path((session, secret)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let after = streams::last_event(&headers)
        .and_then(|id| i64::try_from(id).ok())
        .map(Time::from_micros);
    let lines = platform.read_log_session(&session, &secret, after).await?;
    let lines = lines.filter(move |line| {
        let is_new = after.is_none_or(|after| line.at > after);
        std::future::ready(is_new)
    });
    if streams::wants_events(&headers) {
        Ok(streams::events(lines.map(|line| {
            let id = u64::try_from(line.at.as_micros()).unwrap_or_default();
            streams::event(id, &line.format())
        })))
    } else {
        Ok(streams::text(lines.map(|line| Ok(line.format() + "\n"))))
    }
}
