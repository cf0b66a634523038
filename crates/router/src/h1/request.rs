//! What a request's head means: host, framing, connection, expectations. Pure.

use super::{
    fields::{Kind, members},
    framing::{BodyLength, Framing, Options},
    head::{Head, RequestLine, Version},
    malformed::Malformed,
    target,
};
use crate::config::MAX_FIELDS;

/// What `Expect` asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Expectation {
    #[default]
    None,
    Continue,
    Unknown,
}

/// A request that is understood, and in one way only.
#[derive(Debug)]
pub(crate) struct Request<'b> {
    pub(crate) method: &'b str,
    /// Path and query, or `*`; see [`target::Target::path`].
    pub(crate) path: &'b str,
    pub(crate) version: Version,
    /// The host as the client sent it, with its port.
    pub(crate) authority: &'b str,
    /// The host within it: no port, no final dot, in the client's spelling.
    pub(crate) host: &'b str,
    pub(crate) body: BodyLength,
    pub(crate) options: Options,
    pub(crate) expects: Expectation,
    /// The protocol to change to, if it asks for a change that can be made.
    pub(crate) upgrade: Option<&'b [u8]>,
    /// Whether the client takes trailers.
    pub(crate) takes_trailers: bool,
    /// The client's own request id, if it is a decent one.
    pub(crate) given_id: Option<&'b str>,
    /// What each field of the head is.
    pub(crate) kinds: [Kind; MAX_FIELDS],
}

/// What is gathered field by field.
#[derive(Default)]
struct Seen<'b> {
    host: Option<&'b [u8]>,
    framing: Framing,
    options: Options,
    expects: Expectation,
    upgrade: Option<&'b [u8]>,
    has_many_upgrades: bool,
    takes_trailers: bool,
    given_id: Option<&'b str>,
}

impl<'b> Request<'b> {
    pub(crate) fn read(head: &Head<'_, 'b, RequestLine<'b>>) -> Result<Self, Malformed> {
        let RequestLine {
            method,
            target,
            version,
        } = head.line;
        let target = target::target(method, target)?;
        let mut seen = Seen::default();
        let mut kinds = [Kind::Plain; MAX_FIELDS];
        for (field, kind) in head.fields.iter().zip(&mut kinds) {
            *kind = Kind::of(field.name);
            seen.field(*kind, field.value, version)?;
        }
        // RFC 9112 §3.2: exactly one, also beside a URL that names it.
        let authority = seen.host.ok_or(Malformed::Host)?;
        let authority = std::str::from_utf8(authority).map_err(|_| Malformed::Host)?;
        let differs = |url: &str| !url.eq_ignore_ascii_case(authority);
        if target.authority.is_some_and(differs) {
            return Err(Malformed::Host);
        }
        let framing = seen.framing.check()?;
        let body = match framing.length {
            _ if framing.is_chunked => BodyLength::Chunked,
            None | Some(0) => BodyLength::None,
            Some(bytes) => BodyLength::Bytes(bytes),
        };
        Ok(Self {
            method,
            path: target.path,
            version,
            authority,
            host: target::host(authority).ok_or(Malformed::Host)?,
            body,
            options: seen.options,
            expects: seen.expects,
            upgrade: seen.upgrade(version, body)?,
            takes_trailers: seen.takes_trailers && version == Version::Http11,
            given_id: seen.given_id,
            kinds,
        })
    }
}

impl<'b> Seen<'b> {
    fn field(&mut self, kind: Kind, value: &'b [u8], version: Version) -> Result<(), Malformed> {
        match kind {
            Kind::Host if self.host.replace(value).is_some() => return Err(Malformed::Host),
            Kind::ContentLength => self.framing.see_length(value)?,
            Kind::TransferEncoding => self.framing.see_coding(value, version)?,
            Kind::Connection => self.options.see(value)?,
            Kind::Expect => {
                let is_known = value.eq_ignore_ascii_case(b"100-continue")
                    && self.expects == Expectation::None;
                self.expects = if is_known {
                    Expectation::Continue
                } else {
                    Expectation::Unknown
                };
            }
            Kind::Upgrade => self.has_many_upgrades |= self.upgrade.replace(value).is_some(),
            Kind::Te => {
                self.takes_trailers |=
                    members(value).any(|coding| coding.eq_ignore_ascii_case(b"trailers"));
            }
            Kind::XRequestId if self.given_id.is_none() => self.given_id = decent_id(value),
            _ => {}
        }
        Ok(())
    }

    /// The protocol asked for. Not h2c, which would carry requests past the router.
    fn upgrade(&self, version: Version, body: BodyLength) -> Result<Option<&'b [u8]>, Malformed> {
        let is_asked = self.options.upgrade && !self.has_many_upgrades;
        let Some(protocol) = self.upgrade.filter(|_| is_asked) else {
            return Ok(None);
        };
        let is_h2c = members(protocol).any(|name| name.eq_ignore_ascii_case(b"h2c"));
        if version == Version::Http10 || is_h2c {
            return Ok(None);
        }
        if body != BodyLength::None {
            return Err(Malformed::UpgradeWithBody);
        }
        Ok(Some(protocol))
    }
}

/// Dev Center, "HTTP Request IDs": 20 to 200 characters, letters, digits and some marks.
fn decent_id(value: &[u8]) -> Option<&str> {
    let is_decent =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'/' | b'=');
    if (20..=200).contains(&value.len()) && value.iter().all(is_decent) {
        return std::str::from_utf8(value).ok();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h1::head;

    fn check<T>(head: &str, seen: impl Fn(Request<'_>) -> T) -> Result<T, Malformed> {
        let text = format!("{}\r\n\r\n", head.replace('\n', "\r\n"));
        let mut slots = head::slots();
        let head = head::request(text.as_bytes(), &mut slots)?.unwrap();
        Request::read(&head).map(seen)
    }

    #[test]
    fn hosts() {
        for (head, expected) in [
            ("GET / HTTP/1.1\nHost: A.localhost:80", Ok("A.localhost")),
            ("GET / HTTP/1.0\nHost: a", Ok("a")),
            ("GET http://a/ HTTP/1.1\nhost: A", Ok("A")),
            ("GET http://a:80/ HTTP/1.1\nhost: a", Err(Malformed::Host)),
            ("GET http://b/ HTTP/1.1\nhost: a", Err(Malformed::Host)),
            ("GET http:///x HTTP/1.1\nhost:", Err(Malformed::Host)),
            ("GET http://a/ HTTP/1.1", Err(Malformed::Host)),
            ("GET / HTTP/1.1", Err(Malformed::Host)),
            ("GET / HTTP/1.0", Err(Malformed::Host)),
            ("GET / HTTP/1.1\nHost: a\nHost: a", Err(Malformed::Host)),
            ("GET / HTTP/1.1\nHost:", Err(Malformed::Host)),
            ("GET / HTTP/1.1\nHost: a b", Err(Malformed::Host)),
            ("GET / HTTP/1.1\nHost: a, b", Err(Malformed::Host)),
            ("CONNECT a:1 HTTP/1.1\nHost: a:1", Err(Malformed::Connect)),
        ] {
            let host = check(head, |request| request.host.to_owned());
            assert_eq!(host.as_deref().map_err(|at| *at), expected, "{head}");
        }
    }

    #[test]
    fn bodies() {
        for (fields, expected) in [
            ("A: b", Ok(BodyLength::None)),
            ("Content-Length: 0", Ok(BodyLength::None)),
            ("Content-Length: 7", Ok(BodyLength::Bytes(7))),
            ("Transfer-Encoding: chunked", Ok(BodyLength::Chunked)),
            (
                "Content-Length: 7\nTransfer-Encoding: chunked",
                Err(Malformed::LengthAndCoding),
            ),
            (
                "Transfer-Encoding: chunked\nContent-Length: 0",
                Err(Malformed::LengthAndCoding),
            ),
            (
                "Content-Length: 7\ncontent-length: 7",
                Err(Malformed::LengthTwice),
            ),
            ("Transfer-Encoding: x", Err(Malformed::Coding)),
        ] {
            let head = format!("POST / HTTP/1.1\nHost: a\n{fields}");
            assert_eq!(check(&head, |request| request.body), expected, "{fields}");
        }
        let head = "POST / HTTP/1.0\nHost: a\nTransfer-Encoding: chunked";
        assert_eq!(check(head, |_| ()), Err(Malformed::Coding));
    }

    #[test]
    fn expectations() {
        for (fields, expected) in [
            ("A: b", Expectation::None),
            ("Expect: 100-Continue", Expectation::Continue),
            ("Expect: magic", Expectation::Unknown),
            ("Expect: 100-continue\nExpect: magic", Expectation::Unknown),
            (
                "Expect: 100-continue\nExpect: 100-continue",
                Expectation::Unknown,
            ),
        ] {
            let head = format!("POST / HTTP/1.1\nHost: a\n{fields}");
            assert_eq!(
                check(&head, |request| request.expects),
                Ok(expected),
                "{fields}"
            );
        }
    }

    #[test]
    fn upgrades() {
        for (fields, expected) in [
            ("Connection: Upgrade\nUpgrade: websocket", Ok(true)),
            (
                "Connection: keep-alive, upgrade\nUpgrade: x\nContent-Length: 0",
                Ok(true),
            ),
            ("Connection: keep-alive\nUpgrade: websocket", Ok(false)),
            (
                "Connection: upgrade, http2-settings\nUpgrade: h2c",
                Ok(false),
            ),
            ("Connection: upgrade\nUpgrade: websocket, H2C", Ok(false)),
            ("Connection: upgrade\nUpgrade: a\nUpgrade: b", Ok(false)),
            (
                "Connection: upgrade\nUpgrade: x\nContent-Length: 5",
                Err(Malformed::UpgradeWithBody),
            ),
            (
                "Connection: upgrade\nUpgrade: x\nTransfer-Encoding: chunked",
                Err(Malformed::UpgradeWithBody),
            ),
            (
                "Connection: upgrade\nUpgrade: h2c\nContent-Length: 5",
                Ok(false),
            ),
        ] {
            let head = format!("GET / HTTP/1.1\nHost: a\n{fields}");
            let upgrade = check(&head, |request| request.upgrade.is_some());
            assert_eq!(upgrade, expected, "{fields}");
        }
    }

    #[test]
    fn request_ids() {
        let long = "a".repeat(201);
        for (id, is_taken) in [
            ("0123456789abcdef-ABC+/=", true),
            ("short", false),
            (&long, false),
            ("0123456789 0123456789", false),
            ("0123456789\"0123456789", false),
        ] {
            let head = format!("GET / HTTP/1.1\nHost: a\nX-Request-Id: {id}");
            let taken = check(&head, |request| request.given_id == Some(id));
            assert_eq!(taken, Ok(is_taken), "{id}");
        }
    }
}
