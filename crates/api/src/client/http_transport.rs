//! Requests over a network: one plain HTTP/1.1 connection for each.
//!
//! It must not know what is asked; read [`HttpTransport::send`].

use async_trait::async_trait;
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{Body, BodyError, ClientError, Transport};

/// Speaks plain HTTP with the server at one base URL.
#[derive(Clone, Debug)]
pub struct HttpTransport {
    authority: http::uri::Authority,
    /// What the server is called, if that is not where it is.
    name: Option<String>,
}

impl HttpTransport {
    /// For the server at `base_url`, `http://HOST:PORT`; a path in it is ignored.
    ///
    /// # Errors
    /// `InvalidUrl` for anything but an `http` URL.
    pub fn new(base_url: &str) -> Result<Self, ClientError> {
        let invalid = || ClientError::InvalidUrl {
            url: base_url.to_owned(),
        };
        let url: Uri = base_url.parse().map_err(|_| invalid())?;
        if url.scheme_str() != Some("http") {
            return Err(invalid());
        }
        Ok(Self {
            authority: url.authority().cloned().ok_or_else(invalid)?,
            name: None,
        })
    }

    /// Calls the server by another name than where it is.
    #[must_use]
    pub fn called(self, name: &str) -> Self {
        Self {
            name: Some(name.to_owned()),
            ..self
        }
    }

    fn unreachable(&self, step: &'static str, source: impl Into<BodyError>) -> ClientError {
        ClientError::Unreachable {
            step,
            server: self.authority.to_string(),
            source: source.into(),
        }
    }
}

#[async_trait]
impl Transport for HttpTransport {
    async fn send(&self, mut request: Request<Body>) -> Result<Response<Body>, ClientError> {
        let host = self
            .authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']');
        let port = self.authority.port_u16().unwrap_or(80);
        let socket = TcpStream::connect((host, port))
            .await
            .map_err(|error| self.unreachable("connect to", error))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket))
            .await
            .map_err(|error| self.unreachable("connect to", error))?;
        // Ends with the answer's body, or when both halves are dropped.
        drop(tokio::spawn(connection));
        let name = self.name.as_deref().unwrap_or(self.authority.as_str());
        let name = HeaderValue::from_str(name)
            .map_err(|error| self.unreachable("send a request to", error))?;
        request.headers_mut().insert(header::HOST, name);
        let answer = sender
            .send_request(request)
            .await
            .map_err(|error| self.unreachable("send a request to", error))?;
        Ok(answer.map(|body| body.map_err(BodyError::from).boxed_unsync()))
    }
}
