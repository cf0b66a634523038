//! The first step of reading a message: bytes to lines and fields, by RFC 9112 to the letter.
//!
//! On top of `httparse`, which is lax about line ends. What the fields mean is said in
//! [`super::request`] and [`super::response`]. Nothing here does I/O.

use std::mem::MaybeUninit;

use httparse::{Error, Header, Status};

use super::malformed::Malformed;
use crate::config::{MAX_FIELDS, MAX_HEAD_BYTES, MAX_TARGET_BYTES};

/// A first line that is longer never ends well.
pub(crate) const MAX_LINE_BYTES: usize = MAX_TARGET_BYTES + 1024;

/// A status line that is longer says nothing anybody needs.
const MAX_STATUS_LINE_BYTES: usize = 8 * 1024;

/// Room for the fields of one head.
pub(crate) type Slots<'b> = [MaybeUninit<Header<'b>>; MAX_FIELDS];

/// The two versions there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Http10,
    Http11,
}

/// The first line of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestLine<'b> {
    pub(crate) method: &'b str,
    pub(crate) target: &'b str,
    pub(crate) version: Version,
}

/// The first line of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StatusLine<'b> {
    pub(crate) version: Version,
    pub(crate) status: u16,
    pub(crate) reason: &'b str,
}

/// A head: its first line, its fields, and of how many bytes it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head<'h, 'b, L> {
    pub(crate) line: L,
    pub(crate) fields: &'h [Header<'b>],
    pub(crate) bytes: usize,
}

/// Empty slots.
pub(crate) const fn slots<'b>() -> Slots<'b> {
    [const { MaybeUninit::uninit() }; MAX_FIELDS]
}

/// A request's head at the start of `bytes`; `None` if it has not all come yet.
pub(crate) fn request<'h, 'b>(
    bytes: &'b [u8],
    slots: &'h mut Slots<'b>,
) -> Result<Option<Head<'h, 'b, RequestLine<'b>>>, Malformed> {
    let mut request = httparse::Request::new(&mut []);
    let length = match request.parse_with_uninit_headers(bytes, slots) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return too_long(bytes).map_or(Ok(None), Err),
        Err(error) => return Err(malformed(error)),
    };
    if length > MAX_HEAD_BYTES
        && let Some(malformed) = too_long(bytes)
    {
        return Err(malformed);
    }
    check_extent(bytes, length)?;
    let (Some(method), Some(target)) = (request.method, request.path) else {
        return Err(Malformed::Line);
    };
    if target.len() > MAX_TARGET_BYTES {
        return Err(Malformed::TargetTooLong);
    }
    Ok(Some(Head {
        line: RequestLine {
            method,
            target,
            version: version(request.version)?,
        },
        fields: request.headers,
        bytes: length,
    }))
}

/// A response's head at the start of `bytes`; `None` if it has not all come yet.
pub(crate) fn response<'h, 'b>(
    bytes: &'b [u8],
    slots: &'h mut Slots<'b>,
) -> Result<Option<Head<'h, 'b, StatusLine<'b>>>, Malformed> {
    // httparse would skip empty lines.
    if matches!(bytes.first(), Some(b'\r' | b'\n')) {
        return Err(Malformed::Line);
    }
    let mut response = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut response,
        bytes,
        slots,
    );
    let length = match parsed {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return unfinished_response(bytes).map_or(Ok(None), Err),
        Err(error) => return Err(malformed(error)),
    };
    check_extent(bytes, length)?;
    let reason = response.reason.unwrap_or_default();
    if reason.len() > MAX_STATUS_LINE_BYTES {
        return Err(Malformed::StatusTooLong);
    }
    Ok(Some(Head {
        line: StatusLine {
            version: version(response.version)?,
            status: response.code.ok_or(Malformed::Line)?,
            reason,
        },
        fields: response.headers,
        bytes: length,
    }))
}

/// Fields behind the last chunk, the empty line included.
pub(crate) fn trailers<'h, 'b>(
    bytes: &'b [u8],
    slots: &'h mut [Header<'b>; MAX_FIELDS],
) -> Result<&'h [Header<'b>], Malformed> {
    match httparse::parse_headers(bytes, slots) {
        Ok(Status::Complete((length, fields))) => {
            check_extent(bytes, length)?;
            Ok(fields)
        }
        Ok(Status::Partial) => Err(Malformed::Field),
        Err(error) => Err(malformed(error)),
    }
}

/// Why a request head of so many bytes, or an unfinished one, will never do.
fn too_long(bytes: &[u8]) -> Option<Malformed> {
    let line_bytes = memchr::memchr(b'\n', bytes).unwrap_or(bytes.len());
    if line_bytes >= MAX_LINE_BYTES {
        return Some(Malformed::TargetTooLong);
    }
    (bytes.len() >= MAX_HEAD_BYTES).then_some(Malformed::HeadTooLong)
}

/// Why an unfinished response head will never do.
fn unfinished_response(bytes: &[u8]) -> Option<Malformed> {
    let is_long = |most| bytes.len() >= most;
    if is_long(MAX_STATUS_LINE_BYTES) && memchr::memchr(b'\n', bytes).is_none() {
        return Some(Malformed::StatusTooLong);
    }
    is_long(MAX_HEAD_BYTES).then_some(Malformed::HeadTooLong)
}

/// httparse takes a bare LF for the end of a line.
fn check_extent(bytes: &[u8], length: usize) -> Result<(), Malformed> {
    if length > MAX_HEAD_BYTES {
        return Err(Malformed::HeadTooLong);
    }
    let head = bytes.get(..length).unwrap_or_default();
    for end in memchr::memchr_iter(b'\n', head) {
        if end == 0 || head.get(end - 1) != Some(&b'\r') {
            return Err(Malformed::LineEnd);
        }
    }
    Ok(())
}

fn version(minor: Option<u8>) -> Result<Version, Malformed> {
    match minor {
        Some(0) => Ok(Version::Http10),
        Some(1) => Ok(Version::Http11),
        _ => Err(Malformed::Version),
    }
}

fn malformed(error: Error) -> Malformed {
    match error {
        Error::HeaderName | Error::HeaderValue => Malformed::Field,
        Error::NewLine => Malformed::LineEnd,
        Error::TooManyHeaders => Malformed::TooManyFields,
        Error::Version => Malformed::Version,
        Error::Status | Error::Token => Malformed::Line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_heads() {
        let long_target = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(MAX_TARGET_BYTES));
        let long_line = format!("GET /{}", "a".repeat(MAX_TARGET_BYTES + 1100));
        let longest_line = format!("{} / HTTP/1.1\r\n\r\n", "b".repeat(MAX_HEAD_BYTES));
        let long = format!(
            "GET / HTTP/1.1\r\na: {}\r\n\r\n",
            "b".repeat(MAX_HEAD_BYTES)
        );
        let unfinished = format!("GET / HTTP/1.1\r\na: {}", "b".repeat(MAX_HEAD_BYTES));
        let many = format!(
            "GET / HTTP/1.1\r\n{}\r\n",
            "a: b\r\n".repeat(MAX_FIELDS + 1)
        );
        let most = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(MAX_FIELDS));
        for (bytes, expected) in [
            ("GET / HTTP/1.1\r\n\r\n", Ok(true)),
            ("GET / HTTP/1.0\r\nA: b\r\n\r\n", Ok(true)),
            ("GET / HTTP/1.1\r\nA: b\r\n", Ok(false)),
            ("GE", Ok(false)),
            ("GET / HTTP/1.1\r\nA:\r\n\r\n", Ok(true)),
            ("GET / HTTP/1.1\r\nA:b\tc \r\n\r\n", Ok(true)),
            ("GET / HTTP/1.1\r\nA: \u{e9}\r\n\r\n", Ok(true)),
            ("GET  / HTTP/1.1\r\n\r\n", Err(Malformed::Line)),
            ("GET /  HTTP/1.1\r\n\r\n", Err(Malformed::Version)),
            ("GET / HTTP/1.1 \r\n\r\n", Err(Malformed::LineEnd)),
            ("GET\t/ HTTP/1.1\r\n\r\n", Err(Malformed::Line)),
            (" GET / HTTP/1.1\r\n\r\n", Err(Malformed::Line)),
            ("GET / HTTP/1.1\n\r\n", Err(Malformed::LineEnd)),
            ("GET / HTTP/1.1\r\nA: b\n\r\n", Err(Malformed::LineEnd)),
            ("GET / HTTP/1.1\r\nA: b\r\n\n", Err(Malformed::LineEnd)),
            ("\nGET / HTTP/1.1\r\n\r\n", Err(Malformed::LineEnd)),
            ("GET / HTTP/1.1\rA: b\r\n\r\n", Err(Malformed::LineEnd)),
            ("GET / HTTP/1.1\r\nA: b\rc\r\n\r\n", Err(Malformed::Field)),
            ("GET / HTTP/1.1\r\nA : b\r\n\r\n", Err(Malformed::Field)),
            ("GET / HTTP/1.1\r\nA\r\n\r\n", Err(Malformed::Field)),
            ("GET / HTTP/1.1\r\n: b\r\n\r\n", Err(Malformed::Field)),
            ("GET / HTTP/1.1\r\n A: b\r\n\r\n", Err(Malformed::Field)),
            (
                "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
                Err(Malformed::Field),
            ),
            ("GET / HTTP/1.1\r\nA\0: b\r\n\r\n", Err(Malformed::Field)),
            ("GET / HTTP/1.1\r\nA: \0\r\n\r\n", Err(Malformed::Field)),
            ("GET / HTTP/1.1\r\nA: \u{7f}\r\n\r\n", Err(Malformed::Field)),
            ("GET / HTTP/1.1\r\nA(: b\r\n\r\n", Err(Malformed::Field)),
            ("GET / HTTP/2.0\r\n\r\n", Err(Malformed::Version)),
            ("GET / HTTP/1.2\r\n\r\n", Err(Malformed::Version)),
            ("GET / http/1.1\r\n\r\n", Err(Malformed::Version)),
            ("GET /\r\n\r\n", Err(Malformed::Line)),
            ("GET(/ HTTP/1.1\r\n\r\n", Err(Malformed::Line)),
            (&long_target, Err(Malformed::TargetTooLong)),
            (&long_line, Err(Malformed::TargetTooLong)),
            (&long, Err(Malformed::HeadTooLong)),
            (&longest_line, Err(Malformed::TargetTooLong)),
            (&unfinished, Err(Malformed::HeadTooLong)),
            (&many, Err(Malformed::TooManyFields)),
            (&most, Ok(true)),
        ] {
            let parsed = request(bytes.as_bytes(), &mut slots()).map(|head| head.is_some());
            assert_eq!(parsed, expected, "{}", bytes.get(..80).unwrap_or(bytes));
        }
    }

    #[test]
    fn the_parts_of_a_request_head() {
        let bytes = b"PUT /x?y HTTP/1.0\r\nHost: a \r\nB:\tc\r\n\r\nbody";
        let mut slots = slots();
        let head = request(bytes, &mut slots).unwrap().unwrap();
        assert_eq!(
            head.line,
            RequestLine {
                method: "PUT",
                target: "/x?y",
                version: Version::Http10
            }
        );
        let fields: Vec<_> = head.fields.iter().map(|at| (at.name, at.value)).collect();
        assert_eq!(fields, [("Host", &b"a"[..]), ("B", b"c")]);
        assert_eq!(head.bytes, bytes.len() - 4);
    }

    #[test]
    fn response_heads() {
        for (bytes, expected) in [
            ("HTTP/1.1 200 OK\r\n\r\n", Ok(Some((200, "OK")))),
            ("HTTP/1.0 404 \r\n\r\n", Ok(Some((404, "")))),
            ("HTTP/1.1 204\r\n\r\n", Ok(Some((204, "")))),
            ("HTTP/1.1 200 OK\r\nA: b", Ok(None)),
            ("SSH-2.0-OpenSSH_9.2\r\n\r\n", Err(Malformed::Version)),
            ("HTTP/1.1 20 OK\r\n\r\n", Err(Malformed::Line)),
            ("HTTP/1.1 2000 OK\r\n\r\n", Err(Malformed::Line)),
            ("HTTP/1.1  200 OK\r\n\r\n", Err(Malformed::Line)),
            ("HTTP/1.1 200 OK\n\r\n", Err(Malformed::LineEnd)),
            ("HTTP/1.1 200 OK\r\nA: b\n\n", Err(Malformed::LineEnd)),
            ("HTTP/1.1 200 OK\r\nA : b\r\n\r\n", Err(Malformed::Field)),
            (
                "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
                Err(Malformed::Field),
            ),
            ("\r\nHTTP/1.1 200 OK\r\n\r\n", Err(Malformed::Line)),
        ] {
            let mut slots = slots();
            let parsed = response(bytes.as_bytes(), &mut slots)
                .map(|head| head.map(|head| (head.line.status, head.line.reason)));
            assert_eq!(parsed, expected, "{bytes}");
        }
    }
}
