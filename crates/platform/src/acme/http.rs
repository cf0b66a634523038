//! HTTPS to a certificate authority, one connection a request: orders are rare, and the fewer
//! things are kept, the fewer go stale.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{
    HeaderValue, Request, Response, StatusCode, Uri,
    header::{HOST, RETRY_AFTER},
    uri::PathAndQuery,
};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use super::AcmeError;

/// For one request and its answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// No honest answer is longer.
const MOST_BODY_BYTES: usize = 1024 * 1024;

/// The time in seconds that the authority last asked to be left alone for.
pub(super) type RetryAfter = Arc<Mutex<Option<Duration>>>;

/// A client of one authority.
#[derive(Clone)]
pub(super) struct Client {
    tls: TlsConnector,
    retry_after: RetryAfter,
}

impl Client {
    /// Trusts `roots`, and the PEM certificates in `extra`.
    pub(super) fn new(
        roots: &RootCertStore,
        extra: Option<&str>,
    ) -> Result<(Self, RetryAfter), AcmeError> {
        let mut roots = roots.clone();
        for certificate in CertificateDer::pem_slice_iter(extra.unwrap_or_default().as_bytes()) {
            let certificate = certificate.map_err(|_| AcmeError::Root)?;
            roots.add(certificate).map_err(|_| AcmeError::Root)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|_| AcmeError::Root)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let retry_after = RetryAfter::default();
        let client = Self {
            tls: TlsConnector::from(Arc::new(config)),
            retry_after: Arc::clone(&retry_after),
        };
        Ok((client, retry_after))
    }

    async fn send(self, request: Request<BodyWrapper<Bytes>>) -> io::Result<Response<Full<Bytes>>> {
        let (mut parts, body) = request.into_parts();
        let authority = parts.uri.authority().cloned();
        let authority = authority.ok_or_else(|| invalid("the URL names no host"))?;
        if parts.uri.scheme_str() != Some("https") {
            return Err(invalid("the URL is not https"));
        }
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let stream =
            TcpStream::connect((host.as_str(), authority.port_u16().unwrap_or(443))).await?;
        let name = ServerName::try_from(host).map_err(io::Error::other)?;
        let stream = self.tls.connect(name, stream).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        let target = parts.uri.path_and_query().cloned();
        parts.uri = Uri::from(target.unwrap_or_else(|| PathAndQuery::from_static("/")));
        let host = HeaderValue::from_str(authority.as_str()).map_err(io::Error::other)?;
        parts.headers.insert(HOST, host);
        let exchange = async {
            let response = sender.send_request(Request::from_parts(parts, body)).await;
            let (parts, body) = response.map_err(io::Error::other)?.into_parts();
            let body = Limited::new(body, MOST_BODY_BYTES).collect().await;
            let body = body.map_err(io::Error::other)?.to_bytes();
            Ok(Response::from_parts(parts, Full::new(body)))
        };
        tokio::pin!(exchange);
        tokio::select! {
            answered = &mut exchange => answered,
            ended = connection => {
                ended.map_err(io::Error::other)?;
                exchange.await
            }
        }
    }

    fn note(&self, response: &Response<Full<Bytes>>) {
        let is_limit = matches!(
            response.status(),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        );
        let wait = response
            .headers()
            .get(RETRY_AFTER)
            .filter(|_| is_limit)
            .and_then(|value| wait(value.to_str().ok()?));
        *self
            .retry_after
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = wait;
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let client = self.clone();
        Box::pin(async move {
            let sent = timeout(REQUEST_TIMEOUT, client.clone().send(request)).await;
            let response = sent
                .map_err(io::Error::from)
                .flatten()
                .map_err(|error| Error::Other(Box::new(error)))?;
            client.note(&response);
            Ok(BytesResponse::from(response))
        })
    }
}

/// `Retry-After`: seconds, or a date (RFC 9110 §10.2.3).
fn wait(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    until.duration_since(now()).ok()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the authority's date is one of the real world"
)]
fn now() -> SystemTime {
    SystemTime::now()
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_to_wait() {
        for (text, expected) in [
            ("120", Some(Duration::from_mins(2))),
            (" 7 ", Some(Duration::from_secs(7))),
            ("Fri, 31 Dec 1999 23:59:59 GMT", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(wait(text), expected, "{text}");
        }
        assert!(wait("Tue, 31 Dec 2999 23:59:59 GMT").is_some());
    }
}
