//! Headers that an app has set or taken away.

use api::edge::HeaderRule;
use http::{HeaderMap, HeaderName, HeaderValue};

/// Headers whose meaning is the router's own: framing, and where a request comes from.
const NOT_TO_BE_CHANGED: [&str; 13] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-request-id",
];

/// What becomes of the headers of one direction.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeaderChanges(Vec<HeaderChange>);

/// What becomes of one header.
#[derive(Clone, Debug)]
struct HeaderChange {
    name: HeaderName,
    /// Its value from now on; `None` takes it away.
    value: Option<HeaderValue>,
}

impl HeaderChanges {
    /// Without the rules that make no sense; the platform refuses those when they are set.
    pub(super) fn new(rules: &[HeaderRule]) -> Self {
        let change = |rule: &HeaderRule| {
            let name = changeable(&rule.name)?;
            let value = match &rule.value {
                Some(value) => Some(HeaderValue::try_from(value).ok()?),
                None => None,
            };
            Some(HeaderChange { name, value })
        };
        Self(rules.iter().filter_map(change).collect())
    }

    /// Makes the changes.
    pub(crate) fn apply(&self, headers: &mut HeaderMap) {
        for HeaderChange { name, value } in &self.0 {
            match value {
                Some(value) => drop(headers.insert(name.clone(), value.clone())),
                None => drop(headers.remove(name)),
            }
        }
    }

    /// Whether nothing changes.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a header of this name is set or taken away.
    pub(crate) fn names(&self, name: &str) -> bool {
        let is_it = |change: &HeaderChange| change.name.as_str().eq_ignore_ascii_case(name);
        self.0.iter().any(is_it)
    }

    /// Appends what is set, as lines; of several of one name, the last.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        for (place, HeaderChange { name, value }) in self.0.iter().enumerate() {
            let mut later = self.0.iter().skip(place + 1);
            let Some(value) = value.as_ref().filter(|_| !later.any(|at| at.name == name)) else {
                continue;
            };
            out.extend_from_slice(name.as_str().as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// Another head for a request's: `stripped` bytes of the path gone, headers changed. `head` is one
/// that the router wrote itself.
pub(crate) fn changed_head(head: &[u8], stripped: usize, changes: &HeaderChanges) -> Vec<u8> {
    let mut changed = Vec::with_capacity(head.len() + 128);
    let mut lines = head.split_inclusive(|byte| *byte == b'\n');
    let first = lines.next().unwrap_or_default();
    let path_start = first.iter().position(|byte| *byte == b' ').unwrap_or(0) + 1;
    changed.extend_from_slice(first.get(..path_start).unwrap_or_default());
    let path = first.get(path_start + stripped..).unwrap_or_default();
    if !path.starts_with(b"/") {
        changed.push(b'/');
    }
    changed.extend_from_slice(path);
    for line in lines {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        if line == b"\r\n" {
            changes.write(&mut changed);
        } else if std::str::from_utf8(name).is_ok_and(|name| changes.names(name)) {
            continue;
        }
        changed.extend_from_slice(line);
    }
    changed
}

/// The name, if it is one that an app may have changed.
pub(super) fn changeable(name: &str) -> Option<HeaderName> {
    let name = HeaderName::try_from(name).ok()?;
    (!NOT_TO_BE_CHANGED.contains(&name.as_str())).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_set_and_taken_away_but_not_the_routers_own() {
        let rule = |name: &str, value: Option<&str>| HeaderRule {
            name: name.to_owned(),
            value: value.map(str::to_owned),
        };
        let changes = HeaderChanges::new(&[
            rule("X-Frame-Options", Some("DENY")),
            rule("Server", None),
            rule("Content-Length", Some("5")),
            rule("a b", Some("x")),
            rule("X-Split", Some("a\r\nb: c")),
        ]);
        let mut headers = HeaderMap::new();
        headers.insert("server", HeaderValue::from_static("secret 1.0"));
        headers.insert("content-length", HeaderValue::from_static("7"));
        changes.apply(&mut headers);
        let left: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value))
            .collect();
        assert_eq!(left.len(), 2, "{left:?}");
        assert_eq!(headers["x-frame-options"], "DENY");
        assert_eq!(headers["content-length"], "7");
    }

    #[test]
    fn a_head_is_written_anew_where_it_changes() {
        let head = b"GET /api/x?y HTTP/1.1\r\nhost: a\r\nX-Old: 1\r\nCookie: c\r\n\r\n";
        let rule = |name: &str, value: Option<&str>| HeaderRule {
            name: name.to_owned(),
            value: value.map(str::to_owned),
        };
        let rules = [
            rule("x-new", Some("0")),
            rule("x-old", None),
            rule("x-new", Some("2")),
        ];
        let changes = HeaderChanges::new(&rules);
        let text = |head: &[u8], stripped| {
            String::from_utf8(changed_head(head, stripped, &changes)).unwrap()
        };
        assert_eq!(
            text(head, 4),
            "GET /x?y HTTP/1.1\r\nhost: a\r\nCookie: c\r\nx-new: 2\r\n\r\n"
        );
        for (path, expected) in [("/api", "/"), ("/api?y", "/?y"), ("/api/", "/")] {
            let head = format!("GET {path} HTTP/1.1\r\n\r\n");
            let expected = format!("GET {expected} HTTP/1.1\r\nx-new: 2\r\n\r\n");
            assert_eq!(text(head.as_bytes(), 4), expected);
        }
    }
}
