//! Requests of the server's own front doors, straight into its routes.
//!
//! They pass the same guard and get the same answers as those from outside.

use api::client::{Body, ClientError, Transport};
use async_trait::async_trait;
use http::{Request, Response};
use http_body_util::BodyExt;
use tower::ServiceExt;

use crate::http::{InProcess, ShownKey};

/// Calls a router without a network.
#[derive(Clone, Debug)]
pub(crate) struct InProcessTransport {
    router: axum::Router,
    front_door: InProcess,
    key: Option<ShownKey>,
}

impl InProcessTransport {
    /// For one front door, named for the record: `git`.
    pub(crate) fn new(router: axum::Router, front_door: &'static str) -> Self {
        Self {
            router,
            front_door: InProcess(front_door),
            key: None,
        }
    }

    /// The same for who has proved to hold the SSH key with this `SHA256:…` fingerprint.
    pub(crate) fn with_key(&self, sha256: &str) -> Self {
        Self {
            key: Some(ShownKey(sha256.to_owned())),
            ..self.clone()
        }
    }
}

#[async_trait]
impl Transport for InProcessTransport {
    async fn send(&self, request: Request<Body>) -> Result<Response<Body>, ClientError> {
        let mut request = request.map(axum::body::Body::new);
        request.extensions_mut().insert(self.front_door);
        if let Some(key) = &self.key {
            request.extensions_mut().insert(key.clone());
        }
        let answer = self.router.clone().oneshot(request).await;
        let answer = answer.unwrap_or_else(|never| match never {});
        Ok(answer.map(|body| body.map_err(Into::into).boxed_unsync()))
    }
}
