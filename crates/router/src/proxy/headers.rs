//! Headers on their way through: framing is rebuilt, never copied; hop-by-hop headers stay on
//! their hop; Heroku's forwarding headers are set. Pure functions.

use api::clock::Time;
use http::{
    HeaderMap, HeaderValue, Method, Request, Uri, Version,
    header::{
        CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, TE, TRANSFER_ENCODING, UPGRADE, VIA,
    },
    response::Parts,
    uri::{Authority, Scheme},
};
use hyper::body::Body;

use crate::{admission::Extras, traces::Begun};

use super::head::{Head, X_FORWARDED_FOR, X_REQUEST_ID};

/// Where in a trace the request is (W3C Trace Context).
pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
/// Who the client is, by its certificate, if the app asked for one.
const X_CLIENT_CERTIFICATE_SUBJECT: HeaderName =
    HeaderName::from_static("x-client-certificate-subject");
const X_REQUEST_START: HeaderName = HeaderName::from_static("x-request-start");

/// Headers that say something about one connection only (RFC 9110 §7.6.1), and those that hyper
/// writes anew.
const HOP_BY_HOP: [HeaderName; 6] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Headers that only the router may set for a dyno.
const OURS: [HeaderName; 7] = [
    HOST,
    X_REQUEST_ID,
    X_FORWARDED_FOR,
    X_FORWARDED_PROTO,
    X_FORWARDED_PORT,
    X_REQUEST_START,
    X_CLIENT_CERTIFICATE_SUBJECT,
];

/// The request for the dyno.
pub(crate) fn to_dyno<B>(head: &Head, body: B, now: Time) -> Request<B> {
    let mut headers = HeaderMap::with_capacity(head.headers.len() + 8);
    headers.insert(HOST, head.authority.clone());
    let named = named_by_connection(&head.headers);
    for (name, value) in &head.headers {
        let stays = HOP_BY_HOP.contains(name)
            || *name == CONTENT_LENGTH
            || *name == EXPECT
            || named.contains(name)
            || is_ours(name);
        if !stays {
            headers.append(name.clone(), value.clone());
        }
    }
    headers.insert(X_REQUEST_ID, head.request_id.clone());
    headers.insert(X_FORWARDED_FOR, head.forwarded_for.clone());
    headers.insert(
        X_FORWARDED_PROTO,
        HeaderValue::from_static(head.peer.protocol()),
    );
    headers.insert(X_FORWARDED_PORT, head.peer.port.clone());
    headers.insert(X_REQUEST_START, HeaderValue::from(now.as_micros() / 1000));
    let identity = head.peer.identity.as_ref();
    if let Some(subject) = identity.and_then(|identity| identity.subject.as_ref()) {
        headers.insert(X_CLIENT_CERTIFICATE_SUBJECT, subject.clone());
    }
    headers.append(VIA, via(head.version));
    let mut request = Request::new(body);
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = head.target.clone();
    *request.headers_mut() = headers;
    request
}

/// Makes it one for a dyno that speaks HTTP/2: the host becomes part of its address, and a client that
/// takes trailers says so, which gRPC asks for.
pub(crate) fn for_http2<B>(head: &Head, request: &mut Request<B>) {
    let mut address = Uri::default().into_parts();
    address.scheme = Some(Scheme::HTTP);
    address.authority = Authority::try_from(head.authority.as_bytes()).ok();
    address.path_and_query = request.uri().path_and_query().cloned();
    // What hyper cannot take for a host goes as a header, as the client sent it.
    if let Ok(address) = Uri::from_parts(address) {
        *request.uri_mut() = address;
        request.headers_mut().remove(HOST);
    }
    *request.version_mut() = Version::HTTP_2;
    let takes_trailers = head.headers.get_all(TE).iter().any(|value| {
        let mut codings = value.as_bytes().split(|byte| *byte == b',');
        codings.any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
    });
    if takes_trailers {
        let headers = request.headers_mut();
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

/// Says in HTTP/1.1 what hyper does not say by itself: that there is no body where one is expected
/// (RFC 9110 §8.6), and that there is one where none is, which it would not send else.
pub(crate) fn tell_body<B: Body>(request: &mut Request<B>, has_body: bool) {
    let is_expected = [Method::POST, Method::PUT, Method::PATCH].contains(request.method());
    let is_known = request.body().size_hint().exact().is_some();
    let headers = request.headers_mut();
    if !has_body && is_expected {
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    } else if has_body && !is_known {
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

/// Whether a dyno delimits its body in a way that two readers could read in two ways: hyper is
/// generous there.
pub(crate) fn has_odd_coding(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let is_chunked = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"chunked");
    match (codings.next(), codings.next()) {
        (None, _) => false,
        (Some(only), None) => !is_chunked(only),
        (Some(_), Some(_)) => true,
    }
}

/// What the app's edge settings change of the request.
pub(crate) fn extras_to_dyno<B>(extras: &Extras, request: &mut Request<B>) {
    if let Some(changes) = extras.request_headers() {
        changes.apply(request.headers_mut());
    }
    if extras.stripped > 0 {
        let whole = request.uri().path_and_query();
        let whole = whole.map_or("/", |target| target.as_str());
        let rest = whole.get(extras.stripped..).unwrap_or_default();
        let target = if rest.starts_with('/') {
            rest.to_owned()
        } else {
            format!("/{rest}")
        };
        // What was a path is one without its beginning.
        if let Ok(target) = target.parse() {
            *request.uri_mut() = target;
        }
    }
}

/// Has the dyno's spans be children of ours. What a client says of a trace's state is only kept
/// where the trace is the client's.
pub(crate) fn span_to_dyno(span: &Begun, headers: &mut HeaderMap) {
    if !span.has_parent() {
        headers.remove(TRACESTATE);
    }
    if let Ok(value) = HeaderValue::try_from(span.traceparent()) {
        headers.insert(TRACEPARENT, value);
    }
}

/// Makes a dyno's response head one for the client.
pub(crate) fn to_client(response: &mut Parts) {
    let headers = &mut response.headers;
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    for name in named_by_connection(headers) {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
    headers.append(VIA, via(response.version));
    response.version = Version::default();
}

/// The form of `1.1 vegur`, under our own name.
fn via(received: Version) -> HeaderValue {
    HeaderValue::from_static(match received {
        Version::HTTP_2 => "2.0 landfall",
        Version::HTTP_10 => "1.0 landfall",
        _ => "1.1 landfall",
    })
}

/// Whether an app would take the header for one of ours: CGI and WSGI cannot tell `_` from `-`.
fn is_ours(name: &HeaderName) -> bool {
    OURS.contains(name)
        || (name.as_str().contains('_')
            && OURS
                .iter()
                .any(|ours| ours.as_str() == name.as_str().replace('_', "-")))
}

/// The headers that `Connection` claims for this hop. The framing and the host are not for it to
/// claim, and are dealt with elsewhere.
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|option| HeaderName::from_bytes(option.trim_ascii()).ok())
        .filter(|name| *name != CONTENT_LENGTH && *name != HOST)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, rc::Rc};

    use http::Response;

    use super::*;
    use crate::proxy::head::Peer;

    fn sent_to_dyno(version: Version, headers: &[(&str, &str)]) -> String {
        let mut request = Request::builder().uri("/x?y").version(version);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let peer = Peer::new(SocketAddr::from(([1, 2, 3, 4], 5)), 8443, true);
        let parts = request.body(()).unwrap().into_parts().0;
        let head = Head::check(parts, Rc::new(peer)).unwrap();
        shown(to_dyno(&head, (), Time::from_micros(1_771_488_000_006_329)).headers())
    }

    fn shown(headers: &HeaderMap) -> String {
        let lines = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap()));
        lines.collect()
    }

    #[test]
    fn a_request_for_a_dyno() {
        let headers = sent_to_dyno(
            Version::HTTP_11,
            &[
                ("host", "Example.localhost:8443"),
                ("x-request-id", "01234567890123456789"),
                ("connection", "keep-alive, X-Secret, host"),
                ("keep-alive", "timeout=5"),
                ("x-secret", "1"),
                ("te", "trailers"),
                ("content-length", "5"),
                ("x-forwarded-proto", "http"),
                ("x_forwarded_proto", "http"),
                ("X-Forwarded_For", "6.6.6.6"),
                ("x-forwarded-for", "9.9.9.9"),
                ("x-request-start", "1"),
                ("via", "1.0 fred"),
                ("expect", "100-continue"),
                ("cookie", "a=b"),
                ("x_custom", "kept"),
            ],
        );
        insta::assert_snapshot!(headers, @r"
        host: Example.localhost:8443
        via: 1.0 fred
        via: 1.1 landfall
        cookie: a=b
        x_custom: kept
        x-request-id: 01234567890123456789
        x-forwarded-for: 9.9.9.9, 1.2.3.4
        x-forwarded-proto: https
        x-forwarded-port: 8443
        x-request-start: 1771488000006
        ");
    }

    #[test]
    fn a_response_for_a_client() {
        let response = Response::builder()
            .header("connection", "close, x-internal")
            .header("keep-alive", "timeout=5")
            .header("transfer-encoding", "chunked")
            .header("content-length", "5")
            .header("x-internal", "1")
            .header("server", "app")
            .body(())
            .unwrap();
        let mut parts = response.into_parts().0;
        to_client(&mut parts);
        insta::assert_snapshot!(shown(&parts.headers), @r"
        server: app
        via: 1.1 landfall
        ");
    }
}
