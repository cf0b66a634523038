//! What a request is for: its target's forms and its host. Pure.

use super::malformed::Malformed;

/// A request's target, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target<'b> {
    /// Only in the absolute form.
    pub(crate) authority: Option<&'b str>,
    /// Path and query, or `*`; begins with `/` unless it is empty, `*` or a bare query.
    pub(crate) path: &'b str,
}

/// The four forms of RFC 9112 §3.2, of which `CONNECT`'s is not for us.
pub(crate) fn target<'b>(method: &str, text: &'b str) -> Result<Target<'b>, Malformed> {
    if method == "CONNECT" {
        return Err(Malformed::Connect);
    }
    // Not in any URL; the other ASCII characters that should not be are sent by real clients.
    let is_bad = |byte: u8| byte <= b' ' || byte == 0x7f || byte == b'#';
    if text.bytes().any(is_bad) {
        return Err(Malformed::Target);
    }
    if text.starts_with('/') || (text == "*" && method == "OPTIONS") {
        return Ok(Target {
            authority: None,
            path: text,
        });
    }
    let rest = ["http://", "https://"]
        .iter()
        .find_map(|scheme| {
            let (start, rest) = text.split_at_checked(scheme.len())?;
            start.eq_ignore_ascii_case(scheme).then_some(rest)
        })
        .ok_or(Malformed::Target)?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end).ok_or(Malformed::Target)?;
    if authority.contains('@') {
        return Err(Malformed::Host);
    }
    Ok(Target {
        authority: Some(authority),
        path,
    })
}

/// The host that an authority names, without port and final dot, as it is spelled there; `None` if
/// it is not a host name or an address.
pub(crate) fn host(authority: &str) -> Option<&str> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let _: std::net::Ipv6Addr = address.parse().ok()?;
        let port = port.strip_prefix(':').or(port.is_empty().then_some(""));
        (address, port)
    } else {
        let (host, port) = authority.split_once(':').unwrap_or((authority, ""));
        let is_plain =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if host.is_empty() || !host.bytes().all(is_plain) {
            return None;
        }
        (host, Some(port))
    };
    let is_valid = port?.bytes().all(|byte| byte.is_ascii_digit());
    is_valid.then(|| host.strip_suffix('.').unwrap_or(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        let path = |path| {
            Ok(Target {
                authority: None,
                path,
            })
        };
        let url = |authority, path| {
            Ok(Target {
                authority: Some(authority),
                path,
            })
        };
        for (method, text, expected) in [
            ("GET", "/", path("/")),
            ("GET", "/a?b=c", path("/a?b=c")),
            ("GET", "//a.localhost/x", path("//a.localhost/x")),
            ("GET", "/\u{e9}", path("/\u{e9}")),
            ("OPTIONS", "*", path("*")),
            ("GET", "*", Err(Malformed::Target)),
            ("GET", "http://a.localhost/x?y", url("a.localhost", "/x?y")),
            ("GET", "HTTP://a.localhost", url("a.localhost", "")),
            ("GET", "https://a.localhost?y", url("a.localhost", "?y")),
            ("GET", "http:///x", url("", "/x")),
            ("GET", "http://u@a.localhost/", Err(Malformed::Host)),
            ("GET", "ftp://a.localhost/", Err(Malformed::Target)),
            ("GET", "a.localhost:80", Err(Malformed::Target)),
            ("GET", "x", Err(Malformed::Target)),
            ("GET", "/#x", Err(Malformed::Target)),
            ("GET", "/\u{7f}", Err(Malformed::Target)),
            ("CONNECT", "a.localhost:80", Err(Malformed::Connect)),
        ] {
            assert_eq!(target(method, text), expected, "{method} {text}");
        }
    }

    #[test]
    fn hosts() {
        for (authority, expected) in [
            ("example.localhost", Some("example.localhost")),
            ("Example.LOCALHOST:8080", Some("Example.LOCALHOST")),
            ("example.localhost.", Some("example.localhost")),
            ("example.localhost:", Some("example.localhost")),
            ("[::1]:8080", Some("::1")),
            ("[::1]", Some("::1")),
            ("", None),
            (":80", None),
            ("a:80:80", None),
            ("a:x", None),
            ("a b", None),
            ("a,b", None),
            ("a/b", None),
            ("a@b", None),
            ("\u{e9}", None),
            ("[::1", None),
            ("[::1]x", None),
            ("[x]", None),
        ] {
            assert_eq!(host(authority), expected, "{authority}");
        }
    }
}
