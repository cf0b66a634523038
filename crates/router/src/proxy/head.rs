//! A request's head, checked once when it comes in: which host, whose id, from where.
//!
//! It must not know routes or dynos. What is ambiguous is refused here, so that router and dyno
//! can never read one request in two ways. Read [`Head`].

use std::{
    net::{IpAddr, SocketAddr},
    rc::Rc,
};

use api::ids::AppId;
use http::{
    HeaderMap, HeaderValue, Method, Uri, Version,
    header::{EXPECT, HOST, HeaderName},
    request::Parts,
};
use uuid::Uuid;

use crate::subject::{Described, Subject};

pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(crate) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The other end of a client's connection, in the form headers need it.
#[derive(Debug)]
pub(crate) struct Peer {
    /// The client's address.
    pub(crate) ip: HeaderValue,
    /// The port it connected to.
    pub(crate) port: HeaderValue,
    pub(crate) address: IpAddr,
    pub(crate) is_secure: bool,
    /// Who it is, at a host that demands to know.
    pub(crate) identity: Option<ClientIdentity>,
}

/// A client whose certificate an app's authority vouches for.
#[derive(Clone, Debug)]
pub(crate) struct ClientIdentity {
    /// Whose authority it was: another app must not trust it.
    pub(crate) app: AppId,
    /// The certificate's subject; none when the app lets clients in without a certificate.
    pub(crate) subject: Option<HeaderValue>,
}

/// What is known of a request before anything is done with it.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) method: Method,
    /// Path and query, or `*`.
    pub(crate) target: Uri,
    pub(crate) version: Version,
    /// As the client sent them.
    pub(crate) headers: HeaderMap,
    /// Lower case, without port: the key of the route.
    pub(crate) host: String,
    /// The host as the client sent it, with its port.
    pub(crate) authority: HeaderValue,
    pub(crate) request_id: HeaderValue,
    /// The addresses it came through, the last one our client's.
    pub(crate) forwarded_for: HeaderValue,
    pub(crate) peer: Rc<Peer>,
}

impl Subject for Rc<Head> {
    fn described(&self) -> Described<'_> {
        Described {
            method: self.method.as_str(),
            path: self
                .target
                .path_and_query()
                .map_or("/", |target| target.as_str()),
            host: &self.host,
            request_id: self.request_id.to_str().unwrap_or_default(),
            forwarded_for: self.forwarded_for.to_str().unwrap_or_default(),
            is_secure: self.peer.is_secure,
        }
    }

    fn host(&self) -> &str {
        &self.host
    }
}

/// A request that is not worth routing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No host, several, a malformed one, or one that contradicts the request line.
    Host,
    /// Bytes that two readers could read in two ways.
    Malformed,
    /// Its target is too long.
    TargetTooLong,
    /// Its head is too long, or has too many headers.
    HeadTooLong,
    /// `CONNECT` is for forward proxies.
    Method,
}

impl Peer {
    pub(crate) fn new(client: SocketAddr, port: u16, is_secure: bool) -> Self {
        let address = client.ip().to_canonical();
        Self {
            address,
            ip: HeaderValue::try_from(address.to_string()).expect("an address is plain ASCII"),
            port: HeaderValue::from(port),
            is_secure,
            identity: None,
        }
    }

    pub(crate) fn protocol(&self) -> &'static str {
        if self.is_secure { "https" } else { "http" }
    }
}

impl Head {
    pub(crate) fn check(parts: Parts, peer: Rc<Peer>) -> Result<Self, Refusal> {
        let Parts {
            method,
            uri,
            version,
            headers,
            ..
        } = parts;
        if method == Method::CONNECT {
            return Err(Refusal::Method);
        }
        let authority = authority(&uri, &headers)?;
        let host = host_of(&authority).ok_or(Refusal::Host)?;
        let target = uri
            .into_parts()
            .path_and_query
            .map_or_else(Uri::default, Uri::from);
        Ok(Self {
            request_id: request_id(&headers),
            forwarded_for: forwarded_for(&headers, &peer.ip),
            method,
            target,
            version,
            headers,
            host,
            authority,
            peer,
        })
    }

    /// Whether it expects anything but `100-continue`, which hyper answers.
    pub(crate) fn has_unknown_expectation(&self) -> bool {
        self.headers
            .get(EXPECT)
            .is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
    }
}

/// The one host the request names. RFC 9112 §3.2: none or several are refused, and so is one that
/// the request line contradicts.
fn authority(uri: &Uri, headers: &HeaderMap) -> Result<HeaderValue, Refusal> {
    let mut hosts = headers.get_all(HOST).iter();
    match (uri.authority(), hosts.next(), hosts.next()) {
        (None, Some(host), None) => Ok(host.clone()),
        (Some(authority), host, None) => {
            let agrees = |host: &HeaderValue| {
                host.as_bytes()
                    .eq_ignore_ascii_case(authority.as_str().as_bytes())
            };
            if !host.is_none_or(agrees) {
                return Err(Refusal::Host);
            }
            HeaderValue::from_str(authority.as_str()).map_err(|_| Refusal::Host)
        }
        _ => Err(Refusal::Host),
    }
}

/// Host without port, lower case; `None` if it is not a host name or an address.
fn host_of(authority: &HeaderValue) -> Option<String> {
    let authority = authority.to_str().ok()?;
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            let _: std::net::Ipv6Addr = address.parse().ok()?;
            (
                address,
                port.strip_prefix(':').or(port.is_empty().then_some("")),
            )
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, Some("")),
        },
    };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let is_valid = !host.is_empty()
        && (authority.starts_with('[') || host.bytes().all(is_plain))
        && port?.bytes().all(|byte| byte.is_ascii_digit());
    is_valid.then(|| host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase())
}

/// The client's own id if it is a decent one (Dev Center, "HTTP Request IDs"), else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let is_decent = |value: &&HeaderValue| {
        (20..=200).contains(&value.len())
            && value.as_bytes().iter().all(|byte| {
                byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'/' | b'=')
            })
    };
    if let Some(given) = headers.get(X_REQUEST_ID).filter(is_decent) {
        return given.clone();
    }
    let mut text = Uuid::encode_buffer();
    let id = Uuid::new_v4().hyphenated().encode_lower(&mut text);
    HeaderValue::from_str(id).expect("a UUID is plain ASCII")
}

/// What the client says it forwards for, then the client itself.
fn forwarded_for(headers: &HeaderMap, ip: &HeaderValue) -> HeaderValue {
    let mut given = headers.get_all(X_FORWARDED_FOR).iter().peekable();
    if given.peek().is_none() {
        return ip.clone();
    }
    let mut chain = Vec::new();
    for value in given.chain([ip]) {
        if !chain.is_empty() {
            chain.extend_from_slice(b", ");
        }
        chain.extend_from_slice(value.as_bytes());
    }
    HeaderValue::from_bytes(&chain).unwrap_or_else(|_| ip.clone())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn check(uri: &str, headers: &[(&str, &str)]) -> Result<Head, Refusal> {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let peer = Peer::new(SocketAddr::from(([1, 2, 3, 4], 5)), 8080, false);
        Head::check(request.body(()).unwrap().into_parts().0, Rc::new(peer))
    }

    #[test]
    fn hosts() {
        for (uri, hosts, expected) in [
            ("/", &["example.localhost"][..], Some("example.localhost")),
            ("/", &["Example.LOCALHOST:8080"], Some("example.localhost")),
            ("/", &["example.localhost."], Some("example.localhost")),
            ("/", &["[::1]:8080"], Some("::1")),
            ("http://a.localhost/", &[], Some("a.localhost")),
            ("http://a.localhost/", &["A.localhost"], Some("a.localhost")),
            ("http://a.localhost/", &["b.localhost"], None),
            ("http://user@a.localhost/", &[], None),
            ("/", &[], None),
            ("/", &["a.localhost", "a.localhost"], None),
            ("/", &["a.localhost, b.localhost"], None),
            ("/", &["a b"], None),
            ("/", &[""], None),
            ("/", &[":80"], None),
            ("/", &["a:80:80"], None),
            ("/", &["a:x"], None),
            ("/", &["[::1"], None),
            ("/", &["[::1]x"], None),
            ("/", &["a/b"], None),
        ] {
            let headers: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
            let host = check(uri, &headers).ok().map(|head| head.host);
            assert_eq!(host.as_deref(), expected, "{uri} {hosts:?}");
        }
    }

    #[test]
    fn request_ids() {
        let decent = "0123456789abcdef-ABC+/=";
        let head = check("/", &[("host", "a"), ("x-request-id", decent)]).unwrap();
        assert_eq!(head.request_id, decent);
        for refused in [
            "short",
            &"a".repeat(201),
            "0123456789 0123456789",
            "0123456789\"0123456789",
        ] {
            let head = check("/", &[("host", "a"), ("x-request-id", refused)]).unwrap();
            assert_ne!(head.request_id, refused);
            assert_eq!(head.request_id.len(), 36);
        }
    }

    #[test]
    fn addresses_are_appended() {
        let forwarded = |headers: &[(&str, &str)]| {
            let mut all = vec![("host", "a")];
            all.extend_from_slice(headers);
            check("/", &all).unwrap().forwarded_for
        };
        assert_eq!(forwarded(&[]), "1.2.3.4");
        assert_eq!(
            forwarded(&[("x-forwarded-for", "9.9.9.9")]),
            "9.9.9.9, 1.2.3.4"
        );
        let two = [
            ("x-forwarded-for", "9.9.9.9"),
            ("x-forwarded-for", "8.8.8.8"),
        ];
        assert_eq!(forwarded(&two), "9.9.9.9, 8.8.8.8, 1.2.3.4");
    }
}
