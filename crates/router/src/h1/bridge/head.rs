//! A request's head as [`crate::proxy`] knows it, made of the one that was written for a dyno: what
//! is in there is checked and clean. Pure.

use std::rc::Rc;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use httparse::{EMPTY_HEADER, Header};

use crate::{
    config::MAX_FIELDS,
    h1::{fields::Kind, head::Version, incoming::Incoming},
    proxy::{Head, Peer},
    subject::Subject as _,
};

/// What the router adds to a client's headers at most.
const OURS: usize = 16;

/// `None` if there is a byte that no address may have.
pub(super) fn of(incoming: &Incoming, peer: &Rc<Peer>) -> Option<Head> {
    let described = incoming.described();
    let mut slots = [EMPTY_HEADER; MAX_FIELDS + OURS];
    let mut written = httparse::Request::new(&mut slots);
    written.parse(incoming.plain_lead()).ok()?;
    let find = |name: &str| {
        let mut found = written.headers.iter().filter(|field| field.name == name);
        HeaderValue::from_bytes(found.next_back()?.value).ok()
    };
    let version = match incoming.version {
        Version::Http10 => http::Version::HTTP_10,
        Version::Http11 => http::Version::HTTP_11,
    };
    Some(Head {
        method: Method::from_bytes(described.method.as_bytes()).ok()?,
        target: target(described.path)?,
        version,
        host: described.host.to_owned(),
        authority: find("host")?,
        request_id: find("x-request-id")?,
        forwarded_for: find("x-forwarded-for")?,
        headers: headers(written.headers),
        peer: Rc::clone(peer),
    })
}

/// What the client sent, without what is written anew.
fn headers(fields: &[Header<'_>]) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(fields.len());
    // The last one is ours.
    let ours = fields.iter().rposition(|field| field.name == "via");
    for (place, field) in fields.iter().enumerate() {
        let is_theirs = Kind::of(field.name).reaches_dyno() && Some(place) != ours;
        let name = HeaderName::from_bytes(field.name.as_bytes());
        let value = HeaderValue::from_bytes(field.value);
        if let (true, Ok(name), Ok(value)) = (is_theirs, name, value) {
            headers.append(name, value);
        }
    }
    headers
}

/// The path and query; what hyper takes no part in is written in percent.
fn target(path: &str) -> Option<Uri> {
    path.parse().ok().or_else(|| {
        let mut plain = String::with_capacity(path.len() + 16);
        for byte in path.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte) {
                plain.push(char::from(byte));
            } else {
                let digits = [byte >> 4, byte & 15];
                let digits = digits
                    .into_iter()
                    .filter_map(|at| char::from_digit(at.into(), 16));
                plain.push('%');
                plain.extend(digits.map(|digit| digit.to_ascii_uppercase()));
            }
        }
        plain.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use http::uri::PathAndQuery;

    use super::*;

    #[test]
    fn targets() {
        for (path, expected) in [
            ("/a?b=c", "/a?b=c"),
            ("*", "*"),
            ("//evil.example/x", "//evil.example/x"),
            ("/%2e%2e/x", "/%2e%2e/x"),
        ] {
            let target = target(path).unwrap();
            let shown = target.path_and_query().map(PathAndQuery::as_str);
            assert_eq!(shown, Some(expected), "{path}");
        }
        for byte in '!'..='~' {
            assert!(target(&format!("/a{byte}b")).is_some(), "{byte}");
        }
    }
}
