//! Compressing responses on their way: whether, how, and what the head says of it.
//!
//! [`choose`] decides, and changes the head; it is pure. [`encoder`] compresses.

mod accepted;
mod encoder;

use http::{
    HeaderMap, HeaderName, HeaderValue, Version,
    header::{
        ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH,
        CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY,
    },
    response::Parts,
};

pub(crate) use self::{
    accepted::{Coding, ranked},
    encoder::{Encoder, Seats},
};

/// Shorter bodies fit into one packet as they are.
const MIN_BYTES: u64 = 1024;
/// Who says one of these speaks of the very bytes.
const DIGESTS: [&str; 4] = ["digest", "content-digest", "repr-digest", "content-md5"];

/// How the body of a response shall be compressed. The head is changed to say so, also the one that
/// answers `HEAD`; and to say that it depends on the request, where it could be otherwise.
pub(crate) fn choose(
    (version, request): (Version, &HeaderMap),
    response: &mut Parts,
    has_room: bool,
) -> Option<Coding> {
    if response.status == 304 {
        tell_unchanged(request, &mut response.headers);
        return None;
    }
    if !is_fit(response) {
        return None;
    }
    add_vary(&mut response.headers);
    if version == Version::HTTP_10 || !has_room || has_no_transform(request) {
        return None;
    }
    let accepted = request.get_all(ACCEPT_ENCODING).iter();
    let coding = *ranked(accepted.filter_map(|value| value.to_str().ok())).first()?;
    let headers = &mut response.headers;
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.as_str()));
    headers.remove(CONTENT_LENGTH);
    headers.remove(ACCEPT_RANGES);
    weaken(headers);
    Some(coding)
}

/// Whether it is worth it, and allowed.
fn is_fit(response: &Parts) -> bool {
    let headers = &response.headers;
    let status = response.status.as_u16();
    let has_whole_body = status >= 200 && !matches!(status, 204 | 205 | 206 | 226);
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let length = text(CONTENT_LENGTH).and_then(|length| length.parse().ok());
    has_whole_body
        && text(CONTENT_TYPE).is_some_and(is_text_like)
        && length.is_none_or(|bytes: u64| bytes >= MIN_BYTES)
        && !headers.contains_key(CONTENT_ENCODING)
        && !headers.contains_key(CONTENT_RANGE)
        && !has_no_transform(headers)
        && !DIGESTS.iter().any(|name| headers.contains_key(*name))
}

/// Types that shrink. Not event streams: each event would have to be compressed by itself, which
/// costs much and gains little.
pub(crate) fn is_text_like(content_type: &str) -> bool {
    const TEXTS: [&str; 14] = [
        "application/atom+xml",
        "application/graphql",
        "application/javascript",
        "application/json",
        "application/ld+json",
        "application/manifest+json",
        "application/rtf",
        "application/vnd.ms-fontobject",
        "application/wasm",
        "application/x-javascript",
        "application/x-ndjson",
        "application/xml",
        "font/otf",
        "font/ttf",
    ];
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    let kind = kind.to_ascii_lowercase();
    let is_suffixed = (kind.ends_with("+json") || kind.ends_with("+xml"))
        && !kind.starts_with("application/grpc");
    TEXTS.contains(&kind.as_str())
        || is_suffixed
        || (kind.starts_with("text/") && kind != "text/event-stream")
}

fn has_no_transform(headers: &HeaderMap) -> bool {
    let values = headers.get_all(CACHE_CONTROL).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|directive| directive.trim().eq_ignore_ascii_case("no-transform"))
}

/// Says that the response depends on what the client accepts.
pub(crate) fn add_vary(headers: &mut HeaderMap) {
    let names = |value: &HeaderValue| {
        let text = value.to_str().unwrap_or_default();
        text.split(',')
            .map(str::trim)
            .any(|name| name == "*" || name.eq_ignore_ascii_case(ACCEPT_ENCODING.as_str()))
    };
    if !headers.get_all(VARY).iter().any(names) {
        headers.append(VARY, HeaderValue::from_static("accept-encoding"));
    }
}

/// Compressed bytes are others than the app's, so its strong tag no longer holds (RFC 9110 §8.8.1).
fn weaken(headers: &mut HeaderMap) {
    if let Some(tag) = headers.get(ETAG)
        && let Some(weak) = weak(tag)
    {
        headers.insert(ETAG, weak);
    }
}

fn weak(tag: &HeaderValue) -> Option<HeaderValue> {
    let is_strong = tag.as_bytes().starts_with(b"\"");
    let weak = [b"W/", tag.as_bytes()].concat();
    HeaderValue::from_bytes(&weak).ok().filter(|_| is_strong)
}

/// A client that asked by a tag that we had made weak learns that this one still holds.
pub(crate) fn tell_unchanged(request: &HeaderMap, headers: &mut HeaderMap) {
    let Some(weak) = headers.get(ETAG).and_then(weak) else {
        return;
    };
    let asked = request.get_all(IF_NONE_MATCH).iter();
    let mut asked = asked.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    if asked.any(|tag| tag.trim_ascii() == weak.as_bytes()) {
        headers.insert(ETAG, weak);
        add_vary(headers);
    }
}

#[cfg(test)]
mod tests {
    use http::Response;

    use super::*;

    fn check(
        request: &[(&'static str, &'static str)],
        response: &[(&'static str, &'static str)],
    ) -> (Option<Coding>, Vec<String>) {
        let map = |fields: &[(&'static str, &'static str)]| {
            let fields = fields.iter().map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            });
            fields.collect::<HeaderMap>()
        };
        let mut parts = Response::new(()).into_parts().0;
        parts.headers = map(response);
        if parts.headers.contains_key("status") {
            parts.status = parts.headers["status"].to_str().unwrap().parse().unwrap();
            parts.headers.remove("status");
        }
        let coding = choose((Version::HTTP_11, &map(request)), &mut parts, true);
        let told = parts.headers.iter();
        let told = told.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
        let mut told: Vec<_> = told.collect();
        told.sort();
        (coding, told)
    }

    const GZIP: [(&str, &str); 1] = [("accept-encoding", "gzip")];
    const HTML: (&str, &str) = ("content-type", "text/html; charset=utf-8");

    #[test]
    fn what_is_compressed() {
        for (response, expected) in [
            (&[HTML][..], true),
            (&[("content-type", "application/problem+json")], true),
            (&[("content-type", "image/svg+xml")], true),
            (&[HTML, ("content-length", "1024")], true),
            (&[HTML, ("content-length", "1023")], false),
            (&[("content-type", "image/png")], false),
            (&[("content-type", "text/event-stream")], false),
            (&[("content-type", "application/grpc+json")], false),
            (&[("x", "no type")], false),
            (&[HTML, ("content-encoding", "gzip")], false),
            (&[HTML, ("cache-control", "public, No-Transform")], false),
            (&[HTML, ("content-digest", "x")], false),
            (
                &[HTML, ("status", "206"), ("content-range", "bytes 0-1/2")],
                false,
            ),
            (&[HTML, ("status", "404")], true),
        ] {
            let (coding, told) = check(&GZIP, response);
            assert_eq!(coding.is_some(), expected, "{response:?}");
            let varies = told.contains(&"vary: accept-encoding".to_owned());
            assert_eq!(varies, expected, "{told:?}");
        }
    }

    #[test]
    fn what_the_head_says() {
        let app = [
            HTML,
            ("content-length", "5000"),
            ("etag", "\"a\""),
            ("accept-ranges", "bytes"),
            ("vary", "cookie"),
        ];
        let (coding, told) = check(&GZIP, &app);
        assert_eq!(coding, Some(Coding::Gzip));
        insta::assert_snapshot!(told.join("\n"), @r#"
        content-encoding: gzip
        content-type: text/html; charset=utf-8
        etag: W/"a"
        vary: accept-encoding
        vary: cookie
        "#);
        let (coding, told) = check(&[], &app);
        assert_eq!(coding, None);
        assert!(
            told.contains(&"content-length: 5000".to_owned()),
            "{told:?}"
        );
        assert!(
            told.contains(&"vary: accept-encoding".to_owned()),
            "{told:?}"
        );
        let transformed = [GZIP[0], ("cache-control", "no-transform")];
        assert_eq!(check(&transformed, &app).0, None);
    }

    #[test]
    fn a_tag_that_was_made_weak_stays_so() {
        let unchanged = [("status", "304"), ("etag", "\"a\"")];
        let asked = |tags| check(&[("if-none-match", tags)], &unchanged).1;
        assert_eq!(
            asked("\"x\", W/\"a\""),
            ["etag: W/\"a\"", "vary: accept-encoding"]
        );
        assert_eq!(asked("\"a\""), ["etag: \"a\""]);
    }
}
