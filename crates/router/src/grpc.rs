//! What the router says to gRPC clients in their own words: a status instead of a page.
//!
//! Source: gRPC's "HTTP2 Protocol" and "Statuscodes". Pure.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use hyper::Response;

use crate::{codes::Code, pages::Page, proxy::ReplyBody};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Statuses of gRPC that the router uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    PermissionDenied = 7,
    ResourceExhausted = 8,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    Unauthenticated = 16,
}

/// Whether a message speaks gRPC. Its form for browsers (`grpc-web`) has its status in the body and
/// understands that of HTTP.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    const TYPE: &str = "application/grpc";
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    kind.and_then(|kind| kind.strip_prefix(TYPE))
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';']))
}

/// A response that is over with its head.
pub(crate) fn respond(page: Page) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::Page(Full::new(Bytes::new())));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    let message = match page {
        Page::Failed(code) => message(code),
        _ => page
            .status()
            .canonical_reason()
            .unwrap_or_default()
            .to_owned(),
    };
    tell(headers, status(page.status()), &message);
    response
}

/// What ends a stream that the dyno did not end.
pub(crate) fn trailers(code: Code) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    tell(&mut trailers, Status::Unavailable, &message(code));
    trailers
}

/// `H12 Request timeout`
fn message(code: Code) -> String {
    format!("{} {}", code.as_str(), code.meaning().description)
}

/// The messages are ours: plain ASCII.
fn tell(headers: &mut HeaderMap, status: Status, message: &str) {
    headers.insert(GRPC_STATUS, HeaderValue::from(status as u16));
    if let Ok(message) = HeaderValue::from_str(message) {
        headers.insert(GRPC_MESSAGE, message);
    }
}

/// As gRPC's "HTTP to gRPC Status Code Mapping" has it, but for too many requests, which it has a
/// better word for.
fn status(status: StatusCode) -> Status {
    match status.as_u16() {
        401 => Status::Unauthenticated,
        403 => Status::PermissionDenied,
        404 => Status::Unimplemented,
        413 | 429 => Status::ResourceExhausted,
        400..=499 => Status::Internal,
        _ => Status::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::Denied;

    #[test]
    fn who_speaks_it() {
        for (kind, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc; charset=x", true),
            ("application/grpc-web", false),
            ("application/grpc-web+proto", false),
            ("application/json", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            assert_eq!(is_grpc(&headers), expected, "{kind}");
        }
    }

    #[test]
    fn pages_as_statuses() {
        for (page, status, message) in [
            (Page::Failed(Code::H12), "14", "H12 Request timeout"),
            (Page::Failed(Code::H81), "14", "H81 Blank app"),
            (Page::NoSuchApp, "12", "Not Found"),
            (Page::Edge(Denied::Rate), "8", "Too Many Requests"),
            (Page::Edge(Denied::Address), "7", "Forbidden"),
            (Page::Edge(Denied::Password), "16", "Unauthorized"),
        ] {
            let response = respond(page);
            assert_eq!(response.status(), 200);
            assert_eq!(response.headers()["grpc-status"], status);
            assert_eq!(response.headers()["grpc-message"], message);
        }
    }
}
