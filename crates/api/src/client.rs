//! A typed client of the Platform API, over HTTP or straight into a server in the same process.
//!
//! Front doors (git, dashboard, command) know the platform only through this. Read [`Client`]
//! first; a [`Transport`] is how its requests travel. It must not know how a server works.

mod calls;
mod follow;
mod http_transport;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::{Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

pub use self::{calls::OutputStream, http_transport::HttpTransport};
use crate::error::ErrorBody;

/// Largest answer that is read as a whole: the longest page of a list with room to spare.
const ANSWER_LIMIT_BYTES: usize = 16 * 1024 * 1024;

/// An error of whatever carries a body.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A request's or answer's body: whole, streamed or empty.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// A body without content.
pub fn empty_body() -> Body {
    full_body(Bytes::new())
}

/// A body that is here already.
pub fn full_body(content: impl Into<Bytes>) -> Body {
    Full::new(content.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// Why a call failed.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The server answered, and refused.
    #[error("{}", body.message)]
    Refused {
        /// The answer's status.
        status: StatusCode,
        /// What the server said.
        body: ErrorBody,
    },
    /// The server could not be reached or the connection broke.
    #[error("could not {step} {server}")]
    Unreachable {
        /// "connect to", "send a request to", "read an answer from".
        step: &'static str,
        /// Which server.
        server: String,
        /// The cause.
        #[source]
        source: BodyError,
    },
    /// The answer was not what was asked for.
    #[error("{method} {path} was answered with something else than expected")]
    UnexpectedAnswer {
        /// The request's method.
        method: Method,
        /// The request's path.
        path: String,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// A URL or name that cannot be part of a request.
    #[error("`{url}` is not a URL that can be called")]
    InvalidUrl {
        /// The URL.
        url: String,
    },
}

impl ClientError {
    /// Whether the server says that there is no such thing.
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(StatusCode::NOT_FOUND)
    }

    /// The status of a refusal.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// How requests travel. Implemented by [`HttpTransport`] and by the server for its own front doors.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// Sends a request whose URI is a path and query, and returns once the answer has begun.
    /// Safe to drop; whether the request was acted on is then unknown.
    ///
    /// # Errors
    /// `Unreachable`. An answer that refuses is an answer.
    async fn send(&self, request: Request<Body>) -> Result<Response<Body>, ClientError>;
}

/// Calls the Platform API as one account. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    transport: Arc<dyn Transport>,
    token: Option<Arc<str>>,
}

impl Client {
    /// A client that shows `token` with every call.
    pub fn new(transport: Arc<dyn Transport>, token: impl Into<String>) -> Self {
        Self {
            transport,
            token: Some(Arc::from(token.into())),
        }
    }

    /// A client without a token: for what needs none.
    pub fn anonymous(transport: Arc<dyn Transport>) -> Self {
        Self {
            transport,
            token: None,
        }
    }

    /// Any call whose answer is JSON: for what has no method of its own.
    ///
    /// # Errors
    /// Every [`ClientError`].
    pub async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, ClientError> {
        let request = self.request(&method, path)?;
        let request = match body {
            None => request.body(empty_body()),
            Some(body) => {
                let json =
                    serde_json::to_vec(body).map_err(|source| ClientError::UnexpectedAnswer {
                        method: method.clone(),
                        path: path.to_owned(),
                        source,
                    })?;
                request
                    .header(header::CONTENT_TYPE, "application/json")
                    .body(full_body(json))
            }
        };
        let request = request.map_err(|_| ClientError::InvalidUrl {
            url: path.to_owned(),
        })?;
        self.answer(method, path, request).await
    }

    async fn answer<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        request: Request<Body>,
    ) -> Result<T, ClientError> {
        let content = read_whole(self.send(request).await?).await?;
        let content: &[u8] = if content.is_empty() {
            b"null"
        } else {
            &content
        };
        serde_json::from_slice(content).map_err(|source| ClientError::UnexpectedAnswer {
            method,
            path: path.to_owned(),
            source,
        })
    }

    /// Sends a request and turns a refusal into an error; the body is still to be read.
    ///
    /// # Errors
    /// `Unreachable`, `Refused`.
    pub async fn send(&self, request: Request<Body>) -> Result<Response<Body>, ClientError> {
        let answer = self.transport.send(request).await?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let content = read_whole(answer).await.unwrap_or_default();
        let body = serde_json::from_slice(&content).unwrap_or_else(|_| ErrorBody {
            message: format!("The server answered {status}."),
            ..ErrorBody::default()
        });
        Err(ClientError::Refused { status, body })
    }

    fn request(&self, method: &Method, path: &str) -> Result<http::request::Builder, ClientError> {
        let uri: Uri = path.parse().map_err(|_| ClientError::InvalidUrl {
            url: path.to_owned(),
        })?;
        let request = Request::builder()
            .method(method.clone())
            .uri(uri)
            .header(header::ACCEPT, "application/vnd.heroku+json; version=3")
            .header(
                header::USER_AGENT,
                concat!("landfall/", env!("CARGO_PKG_VERSION")),
            );
        Ok(match &self.token {
            Some(token) => request.header(header::AUTHORIZATION, format!("Bearer {token}")),
            None => request,
        })
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

/// Not through [`http_body_util::Limited`]: its error type keeps the futures of all calls from being
/// `Send` for every lifetime.
async fn read_whole(answer: Response<Body>) -> Result<Bytes, ClientError> {
    let broken = |source: BodyError| ClientError::Unreachable {
        step: "read an answer from",
        server: "the server".to_owned(),
        source,
    };
    let mut body = answer.into_body();
    let mut content = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame.map_err(broken)?.into_data() else {
            continue;
        };
        if content.len() + piece.len() > ANSWER_LIMIT_BYTES {
            return Err(broken("the answer is too large".into()));
        }
        content.extend_from_slice(&piece);
    }
    Ok(content.freeze())
}
