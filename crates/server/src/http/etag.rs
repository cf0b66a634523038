//! `ETag` on JSON answers to `GET`, and 304 for a client that has the same already.

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    middleware::Next,
    response::Response,
};
use http::{HeaderValue, Method, StatusCode, header};
use sha2::{Digest, Sha256};

/// Longer answers go without.
const LIMIT_BYTES: usize = 16 * 1024 * 1024;

/// Wraps every request; streams pass through untouched.
pub(super) async fn revalidate(request: Request, next: Next) -> Response {
    let is_read = request.method() == Method::GET;
    let known = request.headers().get(header::IF_NONE_MATCH).cloned();
    let response = next.run(request).await;
    let is_json = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if !is_read || !is_json || !response.status().is_success() {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(content) = to_bytes(body, LIMIT_BYTES).await else {
        return Response::from_parts(parts, Body::empty());
    };
    let tag = tag(&content);
    let is_known = known.as_ref().is_some_and(|known| matches(known, &tag));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        parts.headers.insert(header::ETAG, tag);
    }
    if !is_known {
        return Response::from_parts(parts, Body::from(content));
    }
    parts.status = StatusCode::NOT_MODIFIED;
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.remove(header::CONTENT_TYPE);
    Response::from_parts(parts, Body::empty())
}

fn tag(content: &[u8]) -> String {
    use std::fmt::Write as _;
    let hash = Sha256::digest(content);
    let mut tag = String::from("\"");
    for byte in hash.iter().take(16) {
        write!(tag, "{byte:02x}").expect("a String takes all text");
    }
    tag.push('"');
    tag
}

/// RFC 9110 §13.1.2: a list of tags or `*`, compared weakly.
fn matches(known: &HeaderValue, tag: &str) -> bool {
    known.to_str().is_ok_and(|known| {
        known
            .split(',')
            .map(str::trim)
            .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(known: &str, expected: bool) {
        assert_eq!(
            matches(&known.parse().unwrap(), "\"ab\""),
            expected,
            "{known}"
        );
    }

    #[test]
    fn tags_are_compared_weakly() {
        for same in ["\"ab\"", "W/\"ab\"", "\"x\", \"ab\"", "*"] {
            check(same, true);
        }
        for other in ["", "ab", "\"x\"", "W/\"x\""] {
            check(other, false);
        }
    }
}
