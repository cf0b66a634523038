//! Connections to addresses that people name: where drains and webhooks lead.
//!
//! Such an address must not lead to what only this machine reaches: its own services, its
//! neighbours, a cloud's metadata. So the name is resolved here, what is not public is left out, and
//! the connection goes to the very address that was looked at. The operator may allow the others.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use builder::packs::location::is_public;
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Uri,
    header::{AUTHORIZATION, HOST, USER_AGENT},
};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::Platform;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Of an answer nothing but its status is wanted.
const MOST_ANSWER_BYTES: usize = 64 * 1024;
const AGENT: &str = "Landfall";

/// An address that somebody named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) scheme: String,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Path and query.
    target: String,
    /// `user:password`, as written.
    user_info: Option<String>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutboundError {
    #[error("the address leads to a network that only this machine reaches")]
    Private,
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    #[error("the exchange broke off")]
    Exchange(#[source] io::Error),
    #[error("no answer in time")]
    Timeout,
}

impl Address {
    /// Reads a URL of one of `schemes`, each with its port.
    pub(crate) fn parse(text: &str, schemes: &[(&str, u16)]) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        let scheme = uri.scheme_str()?;
        let (_, port) = schemes.iter().find(|(known, _)| *known == scheme)?;
        let authority = uri.authority()?;
        let host = authority.host().trim_matches(['[', ']']);
        let user_info = authority.as_str().rsplit_once('@');
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        (!host.is_empty()).then(|| Self {
            scheme: scheme.to_owned(),
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(*port),
            target: target.to_owned(),
            user_info: user_info.map(|(user_info, _)| user_info.to_owned()),
        })
    }
}

/// Either kind of stream.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for S {}

impl Platform {
    /// Whether an address may be kept: a name is looked at again each time it is used.
    pub(crate) fn may_lead_to(&self, address: &Address) -> bool {
        let numbered = address.host.parse::<IpAddr>();
        let is_local = address.host.eq_ignore_ascii_case("localhost");
        let is_local = is_local || address.host.to_ascii_lowercase().ends_with(".localhost");
        let loopback = IpAddr::from([127, 0, 0, 1]);
        match (numbered, is_local) {
            (Ok(address), _) => is_allowed(address, &self.settings.private_targets),
            (Err(_), true) => is_allowed(loopback, &self.settings.private_targets),
            (Err(_), false) => true,
        }
    }

    /// A connection to an address, encrypted if asked for.
    pub(crate) async fn reach(
        &self,
        address: &Address,
        is_encrypted: bool,
    ) -> Result<Box<dyn Stream>, OutboundError> {
        let found = lookup_host((address.host.as_str(), address.port));
        let found = timeout(CONNECT_TIMEOUT, found).await;
        let found = found.map_err(|_| OutboundError::Timeout)?;
        let all: Vec<SocketAddr> = found.map_err(OutboundError::Connect)?.collect();
        let allowed: Vec<SocketAddr> = all
            .into_iter()
            .filter(|found| is_allowed(found.ip(), &self.settings.private_targets))
            .collect();
        if allowed.is_empty() {
            return Err(OutboundError::Private);
        }
        let connecting = timeout(CONNECT_TIMEOUT, TcpStream::connect(allowed.as_slice()));
        let connected = connecting.await.map_err(|_| OutboundError::Timeout)?;
        let stream = connected.map_err(OutboundError::Connect)?;
        if !is_encrypted {
            return Ok(Box::new(stream));
        }
        let name = ServerName::try_from(address.host.clone());
        let name = name.map_err(|error| OutboundError::Connect(io::Error::other(error)))?;
        let handshake = self.outbound_tls()?.connect(name, stream);
        let encrypted = timeout(CONNECT_TIMEOUT, handshake).await;
        let encrypted = encrypted.map_err(|_| OutboundError::Timeout)?;
        Ok(Box::new(encrypted.map_err(OutboundError::Connect)?))
    }

    fn outbound_tls(&self) -> Result<TlsConnector, OutboundError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| OutboundError::Connect(io::Error::other(error)))?
            .with_root_certificates(self.trust.roots())
            .with_no_client_auth();
        Ok(TlsConnector::from(Arc::new(config)))
    }

    /// Sends a body and gives back the status of the answer. No redirection is followed.
    pub(crate) async fn post_out(
        &self,
        address: &Address,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<u16, OutboundError> {
        let broke = |error: hyper::Error| OutboundError::Exchange(io::Error::other(error));
        let invalid = |error: http::Error| OutboundError::Exchange(io::Error::other(error));
        let stream = self.reach(address, address.scheme == "https").await?;
        let host = format!("{}:{}", address.host, address.port);
        headers.insert(
            HOST,
            HeaderValue::from_str(&host).map_err(|error| invalid(error.into()))?,
        );
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        if let Some(user_info) = &address.user_info {
            let basic = format!("Basic {}", STANDARD.encode(user_info));
            let basic = HeaderValue::from_str(&basic).map_err(|error| invalid(error.into()))?;
            headers.insert(AUTHORIZATION, basic);
        }
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = address
            .target
            .parse()
            .map_err(|error: http::uri::InvalidUri| invalid(error.into()))?;
        *request.headers_mut() = headers;
        let exchange = async {
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
                .await
                .map_err(broke)?;
            let driver = tokio::spawn(connection);
            let response = sender.send_request(request).await.map_err(broke)?;
            let status = response.status().as_u16();
            // What is longer is none of our business; the connection ends here anyway.
            drop(
                Limited::new(response.into_body(), MOST_ANSWER_BYTES)
                    .collect()
                    .await,
            );
            driver.abort();
            Ok(status)
        };
        let answered = timeout(REQUEST_TIMEOUT, exchange).await;
        answered.map_err(|_| OutboundError::Timeout)?
    }
}

/// Whether an address is public, or in one of the operator's networks.
fn is_allowed(address: IpAddr, private: &[(Ipv4Addr, u8)]) -> bool {
    let in_network = |address: Ipv4Addr, (first, prefix): &(Ipv4Addr, u8)| {
        let host_bits = u32::MAX.checked_shr(u32::from(*prefix)).unwrap_or(0);
        (u32::from(address) | host_bits) == (u32::from(*first) | host_bits)
    };
    let v4 = match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(address) => address.to_ipv4_mapped(),
    };
    is_public(address) || v4.is_some_and(|v4| private.iter().any(|network| in_network(v4, network)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMES: &[(&str, u16)] = &[("https", 443), ("syslog+tls", 6514)];

    #[test]
    fn addresses() {
        let parsed = Address::parse("https://me:p%40ss@logs.example.com/in?a=b", SCHEMES).unwrap();
        assert_eq!(
            (parsed.host.as_str(), parsed.port),
            ("logs.example.com", 443)
        );
        assert_eq!(parsed.target, "/in?a=b");
        assert_eq!(parsed.user_info.as_deref(), Some("me:p%40ss"));
        let parsed = Address::parse("syslog+tls://[2001:db8::1]:99", SCHEMES).unwrap();
        assert_eq!((parsed.host.as_str(), parsed.port), ("2001:db8::1", 99));
        for wrong in [
            "",
            "logs.example.com",
            "file:///etc/passwd",
            "https://",
            "http://a/",
        ] {
            assert_eq!(Address::parse(wrong, SCHEMES), None, "{wrong}");
        }
    }

    #[test]
    fn only_the_internet_and_the_operators_networks_are_allowed() {
        let own = [([10, 0, 7, 0].into(), 24)];
        let check = |address: &str, expected: (bool, bool)| {
            let address = address.parse().unwrap();
            let found = (is_allowed(address, &[]), is_allowed(address, &own));
            assert_eq!(found, expected, "{address}");
        };
        for private in [
            "127.0.0.1",
            "10.0.8.1",
            "169.254.169.254",
            "::1",
            "::ffff:127.0.0.1",
            "fd00::1",
        ] {
            check(private, (false, false));
        }
        check("10.0.7.9", (false, true));
        check("::ffff:10.0.7.9", (false, true));
        check("198.51.100.1", (true, true));
    }
}
