//! git's smart HTTP protocol: who may speak it about which app, and the three requests it knows.

use std::{path::PathBuf, sync::Arc};

use api::{
    client::{Client, ClientError, Transport},
    ids::{AccountId, AppId},
    names::AppName,
};
use axum::{
    Router,
    body::Body,
    extract::{Path, Query, Request, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;

use crate::{config::SourceConfig, error::SourceError, fetch, front::Front, receive, repository};

/// The routes of `https://HOST/APP.git`, to be merged into the server's own.
///
/// Opens the git front door: sweeps what interrupted pushes left and listens on the hook's socket.
/// Must be called within a Tokio runtime, once per git directory.
///
/// # Errors
/// `Disk`.
pub fn routes(config: SourceConfig, transport: Arc<dyn Transport>) -> Result<Router, SourceError> {
    let front = Front::open(config, transport)?;
    Ok(Router::new()
        .route("/{repository}/info/refs", get(advertise))
        .route("/{repository}/git-receive-pack", post(receive_pack))
        .route("/{repository}/git-upload-pack", post(upload_pack))
        .with_state(front))
}

/// The app that a request is about, and the API as whoever asks.
pub(crate) struct Target {
    pub(crate) app: AppId,
    pub(crate) owner: AccountId,
    pub(crate) name: AppName,
    pub(crate) client: Client,
    pub(crate) repository: PathBuf,
}

/// The two services of git's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    ReceivePack,
    UploadPack,
}

impl Service {
    /// As git names its command.
    pub(crate) fn command(self) -> &'static str {
        match self {
            Self::ReceivePack => "receive-pack",
            Self::UploadPack => "upload-pack",
        }
    }
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

/// Asks the API whether the token may see the app. What more a push needs, the API says when the
/// push asks for a build.
async fn identify(front: &Front, repository: &str, headers: &HeaderMap) -> Result<Target, Refusal> {
    let token = token(headers).ok_or_else(|| Refusal::unauthorized("Log in first."))?;
    let name = repository
        .strip_suffix(".git")
        .and_then(|name| name.parse::<AppName>().ok());
    let name = name.ok_or_else(Refusal::no_such_app)?;
    let client = Client::new(Arc::clone(&front.transport), token);
    let app = client.app(name.as_str()).await?;
    let repository = repository::ensure(&front.git, &front.config.git_dir, app.id).await?;
    Ok(Target {
        app: app.id,
        owner: app.owner.id,
        name: app.name,
        client,
        repository,
    })
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
    let value = headers.get("git-protocol")?.to_str().ok()?;
    let is_valid = value.len() <= 64
        && value
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"=:.-,".contains(&byte));
    is_valid.then(|| value.to_owned())
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

/// An answer that git shows to the person, line by line behind `remote:`.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    text: String,
}

impl Refusal {
    pub(crate) fn plain(status: StatusCode, text: impl Into<String>) -> Self {
        Self {
            status,
            text: text.into(),
        }
    }

    fn unauthorized(reason: &str) -> Self {
        let text =
            format!("{reason}\nhint: run `heroku login`; git asks for the token as the password");
        Self::plain(StatusCode::UNAUTHORIZED, text)
    }

    fn no_such_app() -> Self {
        Self::plain(StatusCode::NOT_FOUND, "Couldn't find that app.")
    }

    pub(crate) fn busy() -> Self {
        let text = "Too many others are being served right now.\nhint: try again in a minute";
        Self::plain(StatusCode::SERVICE_UNAVAILABLE, text)
    }
}

impl From<ClientError> for Refusal {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Refused {
                status: StatusCode::UNAUTHORIZED,
                body,
            } => Self::unauthorized(&body.message),
            ClientError::Refused { status, body } => Self::plain(status, body.message),
            error => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the platform does not answer git"
                );
                Self::plain(StatusCode::BAD_GATEWAY, "The platform does not answer.")
            }
        }
    }
}

impl From<SourceError> for Refusal {
    fn from(error: SourceError) -> Self {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "git cannot be served"
        );
        Self::plain(
            StatusCode::INTERNAL_SERVER_ERROR,
            "The server cannot serve git right now.",
        )
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.text + "\n").into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        if self.status == StatusCode::UNAUTHORIZED {
            let realm = HeaderValue::from_static("Basic realm=\"Landfall\"");
            headers.insert(header::WWW_AUTHENTICATE, realm);
        }
        response
    }
}

#[cfg(test)]
mod tests {
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
