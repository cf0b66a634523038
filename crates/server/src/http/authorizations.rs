//! `/oauth/authorizations` and `/oauth/sessions`.
//!
//! There is no default authorization (`~`) and there are no browser sessions: both are answered
//! with the 404 that tells `heroku logout` to go on.

use api::{
    authorizations::{
        AccessToken, Authorization, AuthorizationUpdate, AuthorizationUser, NewAuthorization,
    },
    clock::Time,
};
use axum::{Json, extract::State, response::Response};
use http::StatusCode;
use platform::{Caller, Platform, authorize::Action};

use super::{
    error::Refusal,
    extract::{Body, By, Path, Wanted},
    range,
    route::Route,
};

const PATH: &str = "/oauth/authorizations";
const ONE: &str = "/oauth/authorizations/{authorization}";
const REGENERATE: &str = "/oauth/authorizations/{authorization}/actions/regenerate-tokens";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post(PATH, Action::CreateAuthorization, create),
        Route::get(PATH, Action::ReadAuthorizations, list),
        Route::get(ONE, Action::ReadAuthorizations, show),
        Route::patch(ONE, Action::UpdateAuthorizations, update),
        Route::delete(ONE, Action::UpdateAuthorizations, delete),
        Route::post(REGENERATE, Action::UpdateAuthorizations, regenerate),
        Route::get("/oauth/sessions", Action::ReadAuthorizations, sessions),
        Route::delete(
            "/oauth/sessions/{session}",
            Action::UpdateAuthorizations,
            no_session,
        ),
    ]
}

async fn create(
    State(platform): State<Platform>,
    By(caller): By,
    Body(new): Body<NewAuthorization>,
) -> Result<(StatusCode, Json<Authorization>), Refusal> {
    let (row, token) = platform.create_authorization(&caller, new).await?;
    Ok((
        StatusCode::CREATED,
        Json(body(&caller, row, Some(token), platform.now())),
    ))
}

async fn list(
    State(platform): State<Platform>,
    By(caller): By,
    Wanted(range): Wanted,
) -> Result<Response, Refusal> {
    let now = platform.now();
    let rows = platform.authorizations(&caller).await?;
    let bodies: Vec<_> = rows
        .into_iter()
        .map(|row| body(&caller, row, None, now))
        .collect();
    Ok(range::list(
        &bodies,
        &range,
        &["id", "created_at", "updated_at"],
    ))
}

async fn show(
    State(platform): State<Platform>,
    By(caller): By,
    Path(id): Path<String>,
) -> Result<Json<Authorization>, Refusal> {
    let row = platform.authorization(&caller, &id).await?;
    Ok(Json(body(&caller, row, None, platform.now())))
}

async fn update(
    State(platform): State<Platform>,
    By(caller): By,
    Path(id): Path<String>,
    Body(update): Body<AuthorizationUpdate>,
) -> Result<Json<Authorization>, Refusal> {
    let row = platform.update_authorization(&caller, &id, update).await?;
    Ok(Json(body(&caller, row, None, platform.now())))
}

async fn regenerate(
    State(platform): State<Platform>,
    By(caller): By,
    Path(id): Path<String>,
) -> Result<Json<Authorization>, Refusal> {
    let (row, token) = platform.regenerate_token(&caller, &id).await?;
    Ok(Json(body(&caller, row, Some(token), platform.now())))
}

async fn delete(
    State(platform): State<Platform>,
    By(caller): By,
    Path(id): Path<String>,
) -> Result<Json<Authorization>, Refusal> {
    let row = platform.delete_authorization(&caller, &id).await?;
    Ok(Json(body(&caller, row, None, platform.now())))
}

async fn sessions(Wanted(range): Wanted) -> Response {
    range::list::<()>(&[], &range, &["id"])
}

async fn no_session() -> Refusal {
    Refusal::Unknown("session")
}

/// `token` is the whole token where it was just made.
fn body(
    caller: &Caller,
    row: store::Authorization,
    token: Option<String>,
    now: Time,
) -> Authorization {
    let expires_in = row
        .expires_at
        .map(|at| i64::try_from(at.since(now).as_secs()).unwrap_or(0));
    Authorization {
        access_token: Some(AccessToken {
            expires_in,
            id: row.id.as_uuid(),
            token: token.unwrap_or(row.token_hint),
        }),
        client: None,
        created_at: row.created_at,
        description: row.description,
        grant: None,
        id: row.id,
        refresh_token: None,
        scope: platform::authorizations::scopes(&row.scope),
        session: None,
        updated_at: row.updated_at,
        user: AuthorizationUser {
            id: caller.account,
            email: caller.email.clone(),
            full_name: None,
        },
    }
}
