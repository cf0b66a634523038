//! `/apps/{app}/source-hooks`, and `/hooks/{name}/{hook}`, which code hosts call.

use api::source_hooks::{Heard, NewSourceHook, SourceHook};
use axum::{
    Json,
    body::to_bytes,
    extract::{Request, State},
    response::Response,
};
use http::StatusCode;
use platform::{Platform, authorize::Action, source_hooks::Delivery};
use serde::Deserialize;
use store::App;

use super::{
    HttpState, authenticate,
    error::Refusal,
    extract::{Body, By, Of, Path, Wanted},
    range,
    route::{self, Route},
};

const PATH: &str = "/apps/{app}/source-hooks";
const ONE: &str = "/apps/{app}/source-hooks/{hook}";
const CALLED: &str = "/hooks/{name}/{hook}";
/// Longest body: pushes of many commits come to some hundred kilobytes.
const BODY_LIMIT_BYTES: usize = 5 * 1024 * 1024;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post(PATH, Action::UpdateApp, create),
        Route::get(PATH, Action::ReadApp, list),
        Route::delete(ONE, Action::UpdateApp, delete),
        Route::post(CALLED, Action::UseSecretUrl, hear),
    ]
}

#[derive(Deserialize)]
struct HookPath {
    hook: String,
}

async fn create(
    State(platform): State<Platform>,
    By(caller): By,
    Of(app): Of,
    Body(new): Body<NewSourceHook>,
) -> Result<(StatusCode, Json<SourceHook>), Refusal> {
    let (hook, secret) = platform
        .create_source_hook(&caller, &app, new.sender)
        .await?;
    let shown = SourceHook {
        secret: Some(secret),
        ..body(&platform, &app, &hook)
    };
    Ok((StatusCode::CREATED, Json(shown)))
}

async fn list(
    State(platform): State<Platform>,
    Of(app): Of,
    Wanted(range): Wanted,
) -> Result<Response, Refusal> {
    let hooks = platform.source_hooks(&app).await?;
    let bodies: Vec<SourceHook> = hooks
        .iter()
        .map(|hook| body(&platform, &app, hook))
        .collect();
    Ok(range::list(&bodies, &range, &["id", "created_at"]))
}

async fn delete(
    State(platform): State<Platform>,
    By(caller): By,
    Of(app): Of,
    Path(path): Path<HookPath>,
) -> Result<Json<SourceHook>, Refusal> {
    let hook = platform
        .delete_source_hook(&caller, &app, &path.hook)
        .await?;
    Ok(Json(body(&platform, &app, &hook)))
}

/// Anybody may call; only who knows the secret is heard. Both are held to a number of calls: those
/// of one address before anything is read, those of a hook once they are proved to be its own, so
/// that strangers cannot use them up.
async fn hear(
    State(state): State<HttpState>,
    Path((name, hook)): Path<(String, String)>,
    request: Request,
) -> Result<(StatusCode, Json<Heard>), Refusal> {
    let now = state.platform.now();
    let origin = authenticate::origin(&request);
    state.hook_origins.take(&origin, now, true)?;
    let request_id = route::request_id(&request);
    let (parts, content) = request.into_parts();
    let content = to_bytes(content, BODY_LIMIT_BYTES).await;
    let delivery = Delivery {
        headers: parts.headers,
        body: content.map_err(|_| Refusal::BodyTooLong)?.to_vec(),
    };
    let signed = state.platform.signed_source_hook((&name, &hook), &delivery);
    let (app, hook) = signed.await?;
    state.hooks.take(&hook.id.to_string(), now, true)?;
    let heard = state
        .platform
        .hear((&app, &hook), &delivery, request_id)
        .await?;
    let status = match heard.build {
        Some(_) => StatusCode::ACCEPTED,
        None => StatusCode::OK,
    };
    Ok((status, Json(heard)))
}

fn body(platform: &Platform, app: &App, hook: &store::SourceHook) -> SourceHook {
    SourceHook {
        created_at: hook.created_at,
        id: hook.id,
        secret: None,
        sender: hook.sender,
        url: format!(
            "{}/hooks/{}/{}",
            platform.settings().api_url,
            app.name,
            hook.id
        ),
    }
}
