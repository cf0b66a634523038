//! Heads on their way through: written anew into one buffer. Framing is rebuilt, never copied;
//! hop-by-hop headers stay on their hop; Heroku's forwarding headers are set. Pure.

use httparse::Header;

use super::{
    fields::Kind,
    framing::{BodyLength, is_claimed},
    head::Version,
    request::Request,
    response::Response,
};
use crate::{edge::HeaderChanges, number::write_number};

const HSTS: &str = "strict-transport-security";

/// Where something is in a buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    start: usize,
    end: usize,
}

/// What the router adds to a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ours<'a> {
    /// The client's address.
    pub(crate) client: &'a [u8],
    /// The port it connected to.
    pub(crate) port: &'a [u8],
    /// Who the client is, by its certificate, if the app asked for one.
    pub(crate) identity: Option<&'a [u8]>,
    /// `http` or `https`
    pub(crate) protocol: &'static str,
    /// For requests without a decent id of their own.
    pub(crate) request_id: &'a str,
    /// Milliseconds of the Unix epoch.
    pub(crate) start_ms: i64,
}

/// Where the written head has what is told of the request later.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spans {
    pub(crate) method: Span,
    pub(crate) path: Span,
    /// Without port, in the client's spelling.
    pub(crate) host: Span,
    pub(crate) request_id: Span,
    pub(crate) forwarded_for: Span,
}

/// How a response is told to a client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms<'a> {
    pub(crate) version: Version,
    pub(crate) body: BodyLength,
    /// Whether the client's connection goes on.
    pub(crate) keeps: bool,
    pub(crate) takes_trailers: bool,
    /// For responses without one.
    pub(crate) date: &'a [u8],
    /// `Strict-Transport-Security`, likewise.
    pub(crate) hsts: Option<&'a [u8]>,
    /// What the app has changed.
    pub(crate) changes: Option<&'a HeaderChanges>,
    /// One more `Set-Cookie`.
    pub(crate) cookie: Option<&'a str>,
}

impl Span {
    pub(crate) fn of(self, bytes: &[u8]) -> &str {
        bytes
            .get(self.start..self.end)
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .unwrap_or_default()
    }

    /// Appends and tells where.
    fn write(text: &[u8], out: &mut Vec<u8>) -> Self {
        let start = out.len();
        out.extend_from_slice(text);
        Self {
            start,
            end: out.len(),
        }
    }
}

/// Writes the request for a dyno.
pub(crate) fn to_dyno(
    request: &Request<'_>,
    fields: &[Header<'_>],
    ours: &Ours<'_>,
    out: &mut Vec<u8>,
) -> Spans {
    let method = Span::write(request.method.as_bytes(), out);
    out.push(b' ');
    let path = write_path(request, out);
    out.extend_from_slice(b" HTTP/1.1\r\nhost: ");
    let authority = Span::write(request.authority.as_bytes(), out);
    out.extend_from_slice(b"\r\n");
    for (field, kind) in fields.iter().zip(&request.kinds) {
        let stays = match kind {
            Kind::Trailer => request.body == BodyLength::Chunked,
            kind => kind.reaches_dyno(),
        };
        if stays && !(request.options.names_others() && is_claimed(fields, field.name)) {
            write_field(field.name, field.value, out);
        }
    }
    out.extend_from_slice(b"x-request-id: ");
    let request_id = request.given_id.unwrap_or(ours.request_id);
    let request_id = Span::write(request_id.as_bytes(), out);
    out.extend_from_slice(b"\r\nx-forwarded-for: ");
    let forwarded_for = write_forwarded_for(request, fields, ours.client, out);
    out.extend_from_slice(b"\r\n");
    write_field("x-forwarded-proto", ours.protocol.as_bytes(), out);
    write_field("x-forwarded-port", ours.port, out);
    out.extend_from_slice(b"x-request-start: ");
    write_number(ours.start_ms.unsigned_abs(), out);
    out.extend_from_slice(b"\r\n");
    if let Some(subject) = ours.identity {
        write_field("x-client-certificate-subject", subject, out);
    }
    write_field("via", via(request.version), out);
    if let Some(protocol) = request.upgrade {
        write_field("connection", b"upgrade", out);
        write_field("upgrade", protocol, out);
    }
    write_framing(request.body, out);
    if request.body == BodyLength::None && !is_bodiless(request.method) {
        out.extend_from_slice(b"content-length: 0\r\n");
    }
    out.extend_from_slice(b"\r\n");
    // An address in brackets is behind the first of them.
    let bracket = usize::from(request.authority.starts_with('['));
    let host = Span {
        start: authority.start + bracket,
        end: authority.start + bracket + request.host.len(),
    };
    Spans {
        method,
        path,
        host,
        request_id,
        forwarded_for,
    }
}

/// A written head with another `traceparent`. What a client says of a trace's state is only kept
/// where the trace is the client's.
pub(crate) fn traced(head: &[u8], traceparent: &str, keeps_state: bool) -> Vec<u8> {
    let mut traced = Vec::with_capacity(head.len() + 2 * traceparent.len());
    for line in head.split_inclusive(|byte| *byte == b'\n') {
        if line == b"\r\n" {
            write_field("traceparent", traceparent.as_bytes(), &mut traced);
        }
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        let is_replaced = name.eq_ignore_ascii_case(b"traceparent")
            || (!keeps_state && name.eq_ignore_ascii_case(b"tracestate"));
        if !is_replaced {
            traced.extend_from_slice(line);
        }
    }
    traced
}

/// How a client is told where a response's body ends.
pub(crate) fn reply_length(response: &Response<'_>, client: Version) -> BodyLength {
    match (response.body, client) {
        (BodyLength::Chunked | BodyLength::UntilClose, Version::Http10) => BodyLength::UntilClose,
        (BodyLength::UntilClose, Version::Http11) => BodyLength::Chunked,
        (length, _) => length,
    }
}

/// Writes a dyno's response for a client.
pub(crate) fn to_client(
    response: &Response<'_>,
    fields: &[Header<'_>],
    terms: &Terms<'_>,
    out: &mut Vec<u8>,
) {
    write_status(response.status, response.reason, out);
    for (field, kind) in fields.iter().zip(&response.kinds) {
        let stays = match kind {
            Kind::Trailer => terms.takes_trailers && terms.body == BodyLength::Chunked,
            kind => !kind.is_framing(),
        };
        let is_changed = terms
            .changes
            .is_some_and(|changes| changes.names(field.name));
        let is_claimed = || response.options.names_others() && is_claimed(fields, field.name);
        if stays && !is_changed && !is_claimed() {
            write_field(field.name, field.value, out);
        }
    }
    if let Some(changes) = terms.changes {
        changes.write(out);
    }
    if let Some(cookie) = terms.cookie {
        write_field("set-cookie", cookie.as_bytes(), out);
    }
    if let Some(hsts) = terms.hsts
        && !terms.changes.is_some_and(|changes| changes.names(HSTS))
        && !fields
            .iter()
            .any(|field| field.name.eq_ignore_ascii_case(HSTS))
    {
        write_field(HSTS, hsts, out);
    }
    if response.status == 101 {
        write_field("via", via(response.version), out);
        write_field("connection", b"upgrade", out);
        if let Some(protocol) = response.upgrade {
            write_field("upgrade", protocol, out);
        }
    } else if response.is_interim() {
        write_field("via", via(response.version), out);
    } else {
        if !response.has_date {
            write_field("date", terms.date, out);
        }
        match response.told_length {
            Some(length) if terms.body == BodyLength::None => {
                write_framing(BodyLength::Bytes(length), out);
            }
            _ => write_framing(terms.body, out),
        }
        write_field("via", via(response.version), out);
        write_connection(terms.version, terms.keeps, out);
    }
    out.extend_from_slice(b"\r\n");
}

/// `HTTP/1.1 200 OK`
pub(crate) fn write_status(status: u16, reason: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    write_number(u64::from(status), out);
    out.push(b' ');
    out.extend_from_slice(reason.as_bytes());
    out.extend_from_slice(b"\r\n");
}

pub(crate) fn write_field(name: &str, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// What the client is told of its connection, where that is not what it takes for granted.
pub(crate) fn write_connection(version: Version, keeps: bool, out: &mut Vec<u8>) {
    match (version, keeps) {
        (_, false) => out.extend_from_slice(b"connection: close\r\n"),
        (Version::Http10, true) => out.extend_from_slice(b"connection: keep-alive\r\n"),
        (Version::Http11, true) => {}
    }
}

pub(crate) fn write_framing(length: BodyLength, out: &mut Vec<u8>) {
    match length {
        BodyLength::Bytes(bytes) => {
            out.extend_from_slice(b"content-length: ");
            write_number(bytes, out);
            out.extend_from_slice(b"\r\n");
        }
        BodyLength::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        BodyLength::None | BodyLength::UntilClose => {}
    }
}

/// Methods of which nobody expects a length (RFC 9110 §8.6).
fn is_bodiless(method: &str) -> bool {
    !matches!(method, "POST" | "PUT" | "PATCH")
}

/// The absolute form may lack a path.
fn write_path(request: &Request<'_>, out: &mut Vec<u8>) -> Span {
    let start = out.len();
    if request.path.is_empty() && request.method == "OPTIONS" {
        out.push(b'*');
    } else if request.path.is_empty() || request.path.starts_with('?') {
        out.push(b'/');
    }
    out.extend_from_slice(request.path.as_bytes());
    Span {
        start,
        end: out.len(),
    }
}

/// What the client says it forwards for, then the client itself.
fn write_forwarded_for(
    request: &Request<'_>,
    fields: &[Header<'_>],
    client: &[u8],
    out: &mut Vec<u8>,
) -> Span {
    let start = out.len();
    for (field, kind) in fields.iter().zip(&request.kinds) {
        if *kind == Kind::XForwardedFor && std::str::from_utf8(field.value).is_ok() {
            out.extend_from_slice(field.value);
            out.extend_from_slice(b", ");
        }
    }
    out.extend_from_slice(client);
    Span {
        start,
        end: out.len(),
    }
}

/// The form of `1.1 vegur`, under our own name.
fn via(received: Version) -> &'static [u8] {
    match received {
        Version::Http10 => b"1.0 landfall",
        Version::Http11 => b"1.1 landfall",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h1::{head, response::Asked};

    fn sent_to_dyno(head: &str) -> (String, [String; 5]) {
        let text = format!("{}\r\n\r\n", head.replace('\n', "\r\n"));
        let mut slots = head::slots();
        let head = head::request(text.as_bytes(), &mut slots).unwrap().unwrap();
        let request = Request::read(&head).unwrap();
        let ours = Ours {
            client: b"1.2.3.4",
            port: b"8443",
            identity: None,
            protocol: "https",
            request_id: "0192-made",
            start_ms: 1_771_488_000_006,
        };
        let mut out = Vec::new();
        let spans = to_dyno(&request, head.fields, &ours, &mut out);
        let told = [
            spans.method,
            spans.path,
            spans.host,
            spans.request_id,
            spans.forwarded_for,
        ];
        let told = told.map(|span| span.of(&out).to_owned());
        (String::from_utf8(out).unwrap().replace('\r', ""), told)
    }

    #[test]
    fn a_traced_head_has_one_traceparent() {
        let head =
            b"GET /traceparent:1 HTTP/1.1\r\nhost: a\r\nTraceparent: x\r\ntracestate: y\r\n\r\n";
        let written = |keeps_state| {
            let traced = traced(head, "00-new", keeps_state);
            String::from_utf8(traced).unwrap()
        };
        let line = "GET /traceparent:1 HTTP/1.1\r\nhost: a\r\n";
        assert_eq!(
            written(true),
            format!("{line}tracestate: y\r\ntraceparent: 00-new\r\n\r\n")
        );
        assert_eq!(written(false), format!("{line}traceparent: 00-new\r\n\r\n"));
    }

    #[test]
    fn a_request_for_a_dyno() {
        let (head, told) = sent_to_dyno(
            "PUT http://example.localhost:8443/x?y HTTP/1.1\nHost: Example.localhost:8443\n\
             X-Request-Id: 01234567890123456789\nConnection: keep-alive, X-Secret, host\n\
             Keep-Alive: timeout=5\nX-Secret: 1\nTE: trailers\nContent-Length: 5\n\
             X-Forwarded-Proto: http\nx_forwarded_proto: http\nX-Forwarded_For: 6.6.6.6\n\
             X-Forwarded-For: 9.9.9.9\nX-Forwarded-For: 8.8.8.8\nX-Request-Start: 1\n\
             Via: 1.0 fred\nExpect: 100-continue\nCookie: a=b\nx_custom: kept\nTrailer: x",
        );
        insta::assert_snapshot!(head, @r"
        PUT /x?y HTTP/1.1
        host: Example.localhost:8443
        Via: 1.0 fred
        Cookie: a=b
        x_custom: kept
        x-request-id: 01234567890123456789
        x-forwarded-for: 9.9.9.9, 8.8.8.8, 1.2.3.4
        x-forwarded-proto: https
        x-forwarded-port: 8443
        x-request-start: 1771488000006
        via: 1.1 landfall
        content-length: 5
        ");
        let expected = [
            "PUT",
            "/x?y",
            "Example.localhost",
            "01234567890123456789",
            "9.9.9.9, 8.8.8.8, 1.2.3.4",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn an_upgrade_for_a_dyno() {
        let (head, told) = sent_to_dyno(
            "GET / HTTP/1.1\nHost: [::1]:80\nConnection: Upgrade\nUpgrade: websocket\n\
             Sec-WebSocket-Key: x",
        );
        insta::assert_snapshot!(head, @r"
        GET / HTTP/1.1
        host: [::1]:80
        Sec-WebSocket-Key: x
        x-request-id: 0192-made
        x-forwarded-for: 1.2.3.4
        x-forwarded-proto: https
        x-forwarded-port: 8443
        x-request-start: 1771488000006
        via: 1.1 landfall
        connection: upgrade
        upgrade: websocket
        ");
        assert_eq!(told, ["GET", "/", "::1", "0192-made", "1.2.3.4"]);
    }

    #[test]
    fn first_lines_for_a_dyno() {
        for (line, expected) in [
            ("GET http://a HTTP/1.1", "GET / HTTP/1.1"),
            ("GET http://a?x HTTP/1.0", "GET /?x HTTP/1.1"),
            ("OPTIONS http://a HTTP/1.1", "OPTIONS * HTTP/1.1"),
            ("OPTIONS * HTTP/1.1", "OPTIONS * HTTP/1.1"),
            ("odd //x HTTP/1.1", "odd //x HTTP/1.1"),
        ] {
            let (head, _) = sent_to_dyno(&format!("{line}\nHost: a"));
            assert_eq!(head.lines().next(), Some(expected));
        }
        let (head, _) = sent_to_dyno("POST / HTTP/1.0\nHost: a");
        assert!(
            head.contains("via: 1.0 landfall\ncontent-length: 0\n"),
            "{head}"
        );
    }

    fn sent_to_client(head: &str, version: Version, keeps: bool) -> String {
        let text = format!("{}\r\n\r\n", head.replace('\n', "\r\n"));
        let mut slots = head::slots();
        let head = head::response(text.as_bytes(), &mut slots)
            .unwrap()
            .unwrap();
        let response = Response::read(&head, Asked::Other).unwrap();
        let terms = Terms {
            version,
            body: reply_length(&response, version),
            keeps,
            takes_trailers: false,
            date: b"Thu, 19 Feb 2026 08:00:00 GMT",
            hsts: None,
            changes: None,
            cookie: None,
        };
        let mut out = Vec::new();
        to_client(&response, head.fields, &terms, &mut out);
        String::from_utf8(out).unwrap().replace('\r', "")
    }

    #[test]
    fn a_response_for_a_client() {
        let head = "HTTP/1.1 200 Fine\nConnection: close, X-Internal\nKeep-Alive: timeout=5\n\
                    Transfer-Encoding: chunked\nX-Internal: 1\nX-Request-Id: app\nServer: app";
        insta::assert_snapshot!(sent_to_client(head, Version::Http11, true), @r"
        HTTP/1.1 200 Fine
        X-Request-Id: app
        Server: app
        date: Thu, 19 Feb 2026 08:00:00 GMT
        transfer-encoding: chunked
        via: 1.1 landfall
        ");
        insta::assert_snapshot!(sent_to_client(head, Version::Http10, false), @r"
        HTTP/1.1 200 Fine
        X-Request-Id: app
        Server: app
        date: Thu, 19 Feb 2026 08:00:00 GMT
        via: 1.1 landfall
        connection: close
        ");
    }

    #[test]
    fn other_responses_for_a_client() {
        let head = "HTTP/1.0 304 Not Modified\nDate: x\nContent-Length: 7";
        insta::assert_snapshot!(sent_to_client(head, Version::Http10, true), @r"
        HTTP/1.1 304 Not Modified
        Date: x
        content-length: 7
        via: 1.0 landfall
        connection: keep-alive
        ");
        let head = "HTTP/1.1 101 Switching\nConnection: Upgrade\nUpgrade: echo\nSec-Accept: x";
        insta::assert_snapshot!(sent_to_client(head, Version::Http11, true), @r"
        HTTP/1.1 101 Switching
        Sec-Accept: x
        via: 1.1 landfall
        connection: upgrade
        upgrade: echo
        ");
        let head = "HTTP/1.1 103 Early Hints\nLink: x";
        insta::assert_snapshot!(sent_to_client(head, Version::Http11, true), @r"
        HTTP/1.1 103 Early Hints
        Link: x
        via: 1.1 landfall
        ");
    }
}
