//! git's smart HTTP protocol: who may speak it about which app, and the three requests it knows.

use std::sync::Arc;

use api::client::Client;
use axum::{
    Router,
    body::Body,
    extract::{Path, Query, Request, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;

use crate::{
    fetch,
    front::Front,
    receive,
    refusal::Refusal,
    target::{self, Service, Target},
};

/// The routes of `https://HOST/APP.git`.
pub(crate) fn routes(front: Arc<Front>) -> Router {
    Router::new()
        .route("/{repository}/info/refs", get(advertise))
        .route("/{repository}/git-receive-pack", post(receive_pack))
        .route("/{repository}/git-upload-pack", post(upload_pack))
        .with_state(front)
}

#[derive(Deserialize)]
struct AdvertiseQuery {
    #[serde(default)]
    service: String,
}

async fn advertise(
    State(front): State<Arc<Front>>,
    Path(repository): Path<String>,
    Query(query): Query<AdvertiseQuery>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let service = match query.service.as_str() {
        "git-receive-pack" => Service::ReceivePack,
        "git-upload-pack" => Service::UploadPack,
        _ => {
            return Err(Refusal::plain(
                StatusCode::FORBIDDEN,
                "This server needs git 1.6.6 or newer.",
            ));
        }
    };
    let target = identify(&front, &repository, &headers).await?;
    fetch::advertise(&front, &target, service, protocol(&headers)).await
}

async fn receive_pack(
    State(front): State<Arc<Front>>,
    Path(repository): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let target = identify(&front, &repository, request.headers()).await?;
    receive::receive_pack(front, target, request).await
}

async fn upload_pack(
    State(front): State<Arc<Front>>,
    Path(repository): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let target = identify(&front, &repository, request.headers()).await?;
    fetch::upload_pack(&front, &target, request).await
}

/// The app that a request is about, for whoever shows the token.
async fn identify(front: &Front, repository: &str, headers: &HeaderMap) -> Result<Target, Refusal> {
    let token = token(headers).ok_or_else(|| Refusal::unauthorized("Log in first."))?;
    let name = repository
        .strip_suffix(".git")
        .ok_or_else(Refusal::no_such_app)?;
    Target::find(
        front,
        Client::new(Arc::clone(&front.transport), token),
        name,
    )
    .await
}

/// The token: the password of Basic authentication, whatever the user name, or a Bearer's.
fn token(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, credentials) = value.split_once(' ')?;
    let token = if scheme.eq_ignore_ascii_case("bearer") {
        credentials.trim().to_owned()
    } else if scheme.eq_ignore_ascii_case("basic") {
        let decoded = String::from_utf8(BASE64_STANDARD.decode(credentials.trim()).ok()?).ok()?;
        decoded.split_once(':')?.1.to_owned()
    } else {
        return None;
    };
    let is_valid = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    is_valid.then_some(token)
}

/// The protocol version that the client offers, if it looks like one.
pub(crate) fn protocol(headers: &HeaderMap) -> Option<String> {
    target::protocol(headers.get("git-protocol")?.to_str().ok()?)
}

/// An answer in git's protocol.
pub(crate) fn answer(service: Service, what: &str, body: Body) -> Response {
    let content_type = format!("application/x-git-{}-{what}", service.command());
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (
            header::CACHE_CONTROL,
            "no-cache, max-age=0, must-revalidate".to_owned(),
        ),
    ];
    (headers, body).into_response()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn check(authorization: &str, expected: Option<&str>) {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::AUTHORIZATION,
            HeaderValue::from_str(authorization).unwrap(),
        );
        assert_eq!(token(&headers).as_deref(), expected, "{authorization}");
    }

    #[test]
    fn the_token_is_the_password_whoever_the_user() {
        check(
            &format!("Basic {}", BASE64_STANDARD.encode("heroku:abc")),
            Some("abc"),
        );
        check(
            &format!("basic {}", BASE64_STANDARD.encode(":a:b")),
            Some("a:b"),
        );
        check("Bearer abc", Some("abc"));
        check(
            &format!("Basic {}", BASE64_STANDARD.encode("heroku:")),
            None,
        );
        check(
            &format!("Basic {}", BASE64_STANDARD.encode("heroku:a\nb")),
            None,
        );
        check("Basic !", None);
        check("Digest x", None);
    }

    #[test]
    fn only_a_protocol_version_is_handed_to_git() {
        let mut headers = HeaderMap::new();
        headers.insert("git-protocol", HeaderValue::from_static("version=2"));
        assert_eq!(protocol(&headers).as_deref(), Some("version=2"));
        headers.insert("git-protocol", HeaderValue::from_static("version=2;rm -rf"));
        assert_eq!(protocol(&headers), None);
    }
}
