//! `/oauth/authorizations` and `/oauth/sessions`.
//!
//! A session is an authorization for which somebody signed in with their password. There is no default
//! authorization and no session called `~`: both are answered with the 404 that tells `heroku logout`
//! to go on.

use api::authorizations::{
    AccessToken, Authorization, AuthorizationUpdate, AuthorizationUser, Grant, NewAuthorization,
    OauthClient, SessionReference,
};
use axum::{Json, extract::State, response::Response};
use http::StatusCode;
use platform::{Caller, Platform, authorize::Action, oauth_tokens::CODE_LIFETIME};
use serde_json::{Value, json};

use super::{
    error::Refusal,
    extract::{Body, By, Path, Wanted, With},
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
            end_session,
        ),
    ]
}

async fn create(
    State(platform): State<Platform>,
    With(bearer): With,
    Body(new): Body<NewAuthorization>,
) -> Result<(StatusCode, Json<Authorization>), Refusal> {
    // Without a token the guard has seen the password.
    let is_session = bearer.authorization.is_none();
    let caller = &bearer.caller;
    let (row, token) = platform
        .create_authorization(caller, new, is_session)
        .await?;
    if row.client.is_none() {
        let shown = body(&platform, caller, row, Some(token)).await?;
        return Ok((StatusCode::CREATED, Json(shown)));
    }
    let (grant, code) = platform.new_code(caller, &row).await?;
    let mut shown = body(&platform, caller, row, None).await?;
    shown.grant = Some(Grant {
        code,
        expires_in: CODE_LIFETIME.as_secs(),
        id: grant.id.as_uuid(),
    });
    Ok((StatusCode::CREATED, Json(shown)))
}

async fn list(
    State(platform): State<Platform>,
    By(caller): By,
    Wanted(range): Wanted,
) -> Result<Response, Refusal> {
    let mut bodies = Vec::new();
    for row in platform.authorizations(&caller).await? {
        bodies.push(body(&platform, &caller, row, None).await?);
    }
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
    Ok(Json(body(&platform, &caller, row, None).await?))
}

async fn update(
    State(platform): State<Platform>,
    By(caller): By,
    Path(id): Path<String>,
    Body(update): Body<AuthorizationUpdate>,
) -> Result<Json<Authorization>, Refusal> {
    let row = platform.update_authorization(&caller, &id, update).await?;
    Ok(Json(body(&platform, &caller, row, None).await?))
}

async fn regenerate(
    State(platform): State<Platform>,
    By(caller): By,
    Path(id): Path<String>,
) -> Result<Json<Authorization>, Refusal> {
    let (row, token) = platform.regenerate_token(&caller, &id).await?;
    Ok(Json(body(&platform, &caller, row, Some(token)).await?))
}

async fn delete(
    State(platform): State<Platform>,
    By(caller): By,
    Path(id): Path<String>,
) -> Result<Json<Authorization>, Refusal> {
    let row = platform.delete_authorization(&caller, &id).await?;
    Ok(Json(body(&platform, &caller, row, None).await?))
}

async fn sessions(
    State(platform): State<Platform>,
    By(caller): By,
    Wanted(range): Wanted,
) -> Result<Response, Refusal> {
    let mut rows = platform.authorizations(&caller).await?;
    rows.retain(|row| row.is_session);
    let bodies: Vec<Value> = rows.iter().map(session).collect();
    Ok(range::list(&bodies, &range, &["id"]))
}

async fn end_session(
    State(platform): State<Platform>,
    By(caller): By,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let rows = platform.authorizations(&caller).await?.into_iter();
    let found = rows
        .into_iter()
        .find(|row| row.is_session && row.id.to_string() == id);
    let row = found.ok_or(Refusal::Unknown("session"))?;
    platform.delete_authorization(&caller, &id).await?;
    Ok(Json(session(&row)))
}

fn session(row: &store::Authorization) -> Value {
    json!({
        "created_at": row.created_at.to_rfc3339(),
        "description": row.description,
        "expires_in": null,
        "id": row.id,
        "updated_at": row.updated_at.to_rfc3339(),
    })
}

/// `token` is the whole token where it was just made.
async fn body(
    platform: &Platform,
    caller: &Caller,
    row: store::Authorization,
    token: Option<String>,
) -> Result<Authorization, Refusal> {
    let now = platform.now();
    let client = match row.client {
        None => None,
        Some(id) => Some(platform.oauth_client(&id.to_string()).await?),
    };
    // A client has no token before it exchanged its code.
    let has_token = row.client.is_none() || row.refresh_token_hint.is_some();
    let expires_in = row
        .expires_at
        .map(|at| i64::try_from(at.since(now).as_secs()).unwrap_or(0));
    Ok(Authorization {
        access_token: has_token.then(|| AccessToken {
            expires_in,
            id: row.id.as_uuid(),
            token: token.unwrap_or(row.token_hint),
        }),
        client: client.map(|client| OauthClient {
            id: client.id.as_uuid(),
            name: client.name,
            redirect_uri: client.redirect_uri,
        }),
        created_at: row.created_at,
        description: row.description,
        grant: None,
        id: row.id,
        refresh_token: row.refresh_token_hint.map(|hint| AccessToken {
            expires_in: None,
            id: row.id.as_uuid(),
            token: hint,
        }),
        scope: platform::authorizations::scopes(&row.scope),
        session: row.is_session.then_some(SessionReference { id: row.id }),
        updated_at: row.updated_at,
        user: AuthorizationUser {
            id: caller.account,
            email: caller.email.clone(),
            full_name: None,
        },
    })
}
