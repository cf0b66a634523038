//! `/oauth/tokens`: what a client gets for a code. It shows its own secret, not somebody's token.

use api::{
    authorizations::AccessToken,
    clock::Time,
    oauth_tokens::{Named, NewOauthToken, OauthToken, TokenGrant},
};
use axum::{
    Json,
    extract::{Request, State},
};
use http::{HeaderValue, StatusCode};
use platform::{Platform, authorize::Action};

use super::{
    HttpState, authenticate,
    error::Refusal,
    extract::{Body, By, Path},
    route::Route,
};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post("/oauth/tokens", Action::UseSecretUrl, create),
        Route::delete(
            "/oauth/tokens/{token}",
            Action::UpdateAuthorizations,
            delete,
        ),
    ]
}

async fn create(
    State(state): State<HttpState>,
    request: Request,
) -> Result<
    (
        StatusCode,
        [(&'static str, HeaderValue); 1],
        Json<OauthToken>,
    ),
    Refusal,
> {
    let origin = authenticate::origin(&request);
    let now = state.platform.now();
    let left = state.sign_in_origins.take(&origin, now, true)?;
    let Body(asked) = body_of(request, &state).await?;
    let made = state.platform.exchange_tokens(&asked).await?;
    let shown = body(
        &made.authorization,
        (made.access_token, made.refresh_token),
        now,
    );
    let shown = OauthToken {
        grant: TokenGrant {
            code: Some(String::new()),
            kind: Some(made.kind.to_owned()),
        },
        ..shown
    };
    let left = [("ratelimit-remaining", HeaderValue::from(left))];
    Ok((StatusCode::CREATED, left, Json(shown)))
}

async fn body_of(request: Request, state: &HttpState) -> Result<Body<NewOauthToken>, Refusal> {
    use axum::extract::FromRequest;
    Body::from_request(request, state).await
}

/// Revokes the caller's tokens of this id, which is that of their authorization; says their ends.
async fn delete(
    State(platform): State<Platform>,
    By(caller): By,
    Path(id): Path<String>,
) -> Result<Json<OauthToken>, Refusal> {
    let row = platform.delete_authorization(&caller, &id).await?;
    let hints = (
        row.token_hint.clone(),
        row.refresh_token_hint.clone().unwrap_or_default(),
    );
    Ok(Json(body(&row, hints, platform.now())))
}

fn body(
    row: &store::Authorization,
    (access_token, refresh_token): (String, String),
    now: Time,
) -> OauthToken {
    let lifetime = row.expires_at.map(|at| at.since(now).as_secs());
    let token = |token, expires_in| AccessToken {
        expires_in,
        id: row.id.as_uuid(),
        token,
    };
    OauthToken {
        access_token: token(
            access_token,
            lifetime.and_then(|seconds| i64::try_from(seconds).ok()),
        ),
        authorization: Named { id: row.id },
        client: None,
        created_at: row.updated_at,
        grant: TokenGrant {
            code: Some(String::new()),
            kind: Some(String::new()),
        },
        id: row.id.as_uuid(),
        refresh_token: token(refresh_token, None),
        session: Named { id: row.id },
        updated_at: row.updated_at,
        user: Named { id: row.account },
    }
}
