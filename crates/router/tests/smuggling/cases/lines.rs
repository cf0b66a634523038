//! Request lines, versions, line ends, and what is no HTTP/1.1 at all.

use crate::case::{Case, HOST, asked, shown};

/// Request lines that are none.
const BROKEN: &[&[u8]] = &[
    b"GET  /case HTTP/1.1",
    b"GET /case  HTTP/1.1",
    b" GET /case HTTP/1.1",
    b"\tGET /case HTTP/1.1",
    b"GET\t/case\tHTTP/1.1",
    b"GET\x0b/case HTTP/1.1",
    b"GET /case HTTP/1.1 ",
    b"GET /case HTTP/1.1\t",
    b"GET /case HTTP/1.1 x",
    b"GET /case HTTP/1.1\x00",
    b"GET /a b HTTP/1.1",
    b"GET /case",
    b"GET /case ",
    b"GET",
    b"GET ",
    b"/case HTTP/1.1",
    b"GET HTTP/1.1",
    b"GET /case HTTP/2.0",
    b"GET /case HTTP/3.0",
    b"GET /case HTTP/0.9",
    b"GET /case HTTP/0.1",
    b"GET /case http/1.1",
    b"GET /case Http/1.1",
    b"GET /case HTTP/1.10",
    b"GET /case HTTP/01.1",
    b"GET /case HTTP/1.01",
    b"GET /case HTTP/11.1",
    b"GET /case HTTP/1,1",
    b"GET /case HTTP/1. 1",
    b"GET /case HTTP /1.1",
    b"GET /case HTTP/ 1.1",
    b"GET /case HTTP/+1.1",
    b"GET /case HTP/1.1",
    b"GET /case HTTP/",
    b"GET /case HTTP/1",
    b"GET /case HTTP/1.",
    b"GET /case HTTP1.1",
    b"GET /case HTTPS/1.1",
    b"GET /case ICY/1.1",
    b"GET /case HTTP/1.x",
    b"GET /case HTTP/\xef\xbc\x91.1",
    b"G\x00T /case HTTP/1.1",
    b"GE(T /case HTTP/1.1",
    b"GE,T /case HTTP/1.1",
    b"G\xc9T /case HTTP/1.1",
    b"\xef\xbb\xbfGET /case HTTP/1.1",
    b"GET /\x00 HTTP/1.1",
    b"GET /\x7f HTTP/1.1",
    b"GET /\x1f HTTP/1.1",
    b"GET /\x0b HTTP/1.1",
    b"GET /\r HTTP/1.1",
    b"GET /case HTTP/1.1\r",
    b"GET /\n HTTP/1.1",
    b"GET case HTTP/1.1",
    b"GET ?case HTTP/1.1",
    b"GET \\case HTTP/1.1",
    b"GET . HTTP/1.1",
    b"CONNECT example.localhost:80 HTTP/1.1",
    b"CONNECT /case HTTP/1.1",
    b"CONNECT http://example.localhost/ HTTP/1.1",
    b"PRI * HTTP/2.0",
];

pub(crate) fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = BROKEN
        .iter()
        .map(|line| Case::refuse(format!("line {}", shown(line)), with(line)))
        .collect();
    for (line, path) in [
        ("GET /case?x=%00&y=%0d%0a HTTP/1.1", "/case?x=%00&y=%0d%0a"),
        (
            "GET //evil.localhost/case HTTP/1.1",
            "//evil.localhost/case",
        ),
        ("GET /../case HTTP/1.1", "/../case"),
        ("GET /%2e%2e/case HTTP/1.1", "/%2e%2e/case"),
        ("GET /case;x?y;z HTTP/1.1", "/case;x?y;z"),
    ] {
        cases.push(Case::forward(
            format!("line {line}"),
            with(line.as_bytes()),
            [asked("GET", path)],
        ));
    }
    for (line, method, path) in [
        ("GET /case HTTP/1.2", "GET", "/case"),
        ("GET /case HTTP/1.9", "GET", "/case"),
        ("get /case HTTP/1.1", "get", "/case"),
        ("TRACE /case HTTP/1.1", "TRACE", "/case"),
        ("FROB /case HTTP/1.1", "FROB", "/case"),
        ("OPTIONS * HTTP/1.1", "OPTIONS", "*"),
        ("GET /case#x HTTP/1.1", "GET", "/case"),
        ("GET /case\\x HTTP/1.1", "GET", "/case\\x"),
        ("GET /case|{}<>\"^` HTTP/1.1", "GET", "/case|{}<>\"^`"),
    ] {
        cases.push(Case::either(
            format!("line {line}"),
            with(line.as_bytes()),
            [asked(method, path)],
        ));
    }
    cases.extend(ends());
    cases.extend(others());
    cases.extend(pipelines());
    cases
}

fn with(line: &[u8]) -> Vec<u8> {
    [line, format!("\r\nHost: {HOST}\r\n\r\n").as_bytes()].concat()
}

/// Line ends that are not CR LF.
fn ends() -> Vec<Case> {
    let seen = || [asked("GET", "/case")];
    let refused = [
        format!("GET /case HTTP/1.1\nHost: {HOST}\n\n"),
        format!("GET /case HTTP/1.1\nHost: {HOST}\r\n\r\n"),
        format!("GET /case HTTP/1.1\r\nHost: {HOST}\n\r\n"),
        format!("GET /case HTTP/1.1\r\nHost: {HOST}\r\n\n"),
        format!("GET /case HTTP/1.1\r\nHost: {HOST}\n\n"),
        format!("GET /case HTTP/1.1\rHost: {HOST}\r\r"),
        format!("GET /case HTTP/1.1\r\r\nHost: {HOST}\r\n\r\n"),
        format!("GET /case HTTP/1.1\r\nHost: {HOST}\r\r\n\r\n"),
        format!("GET /case HTTP/1.1\r\nHost: {HOST}\r\n\r\r\n"),
        format!("GET /case HTTP/1.1\r\nHost: {HOST}\r\n\rX: y\r\n\r\n"),
        format!("GET /case HTTP/1.1\n\rHost: {HOST}\n\r\n\r"),
        format!("\x00\r\nGET /case HTTP/1.1\r\nHost: {HOST}\r\n\r\n"),
        format!(" \r\nGET /case HTTP/1.1\r\nHost: {HOST}\r\n\r\n"),
        format!("x\r\nGET /case HTTP/1.1\r\nHost: {HOST}\r\n\r\n"),
    ];
    let mut cases: Vec<Case> = refused
        .into_iter()
        .map(|bytes| Case::refuse(format!("ends {}", shown_end(&bytes)), bytes))
        .collect();
    // RFC 9112 §2.2: at least one empty line before a request is to be ignored.
    for before in ["\r\n", "\r\n\r\n", "\n", "\n\n"] {
        let bytes = format!("{before}GET /case HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
        cases.push(Case::either(
            format!("before a request {}", shown(before.as_bytes())),
            bytes,
            seen(),
        ));
    }
    cases
}

fn shown_end(bytes: &str) -> String {
    bytes.replace(HOST, "H").escape_default().to_string()
}

/// Other protocols.
fn others() -> Vec<Case> {
    let mut half = b"PRI * HTTP/2.0\r\n\r\n".to_vec();
    half.extend(with(b"GET /case HTTP/1.1"));
    let mut behind = b"PRI * HTTP/2.0\r\n\r\nsm\r\n\r\n".to_vec();
    behind.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    vec![
        Case::refuse("half a preface of HTTP/2, then a request", half),
        Case::refuse("nearly a preface of HTTP/2, then a frame", behind),
        Case::refuse(
            "TLS on the plain port",
            &b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00\r\n\r\n"[..],
        ),
        Case::refuse(
            "the PROXY protocol",
            with(b"PROXY TCP4 6.6.6.6 127.0.0.1 1 80\r\nGET /case HTTP/1.1"),
        ),
        Case::refuse(
            "the PROXY protocol 2",
            &b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\r\n\r\n"[..],
        ),
        Case::refuse(
            "an answer",
            &b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"[..],
        ),
        Case::refuse(
            "SMTP",
            &b"EHLO example.localhost\r\nMAIL FROM:<a@b>\r\n\r\n"[..],
        ),
        Case::refuse("zeros", vec![0; 100]),
        Case::refuse(
            "a target of 100 kB",
            with(format!("GET /{} HTTP/1.1", "x".repeat(100_000)).as_bytes()),
        ),
        Case::refuse(
            "a method of 100 kB",
            with(format!("{} / HTTP/1.1", "X".repeat(100_000)).as_bytes()),
        ),
        Case::refuse("1.0 without a host", &b"GET /case HTTP/1.0\r\n\r\n"[..]),
        Case::refuse(
            "0.9 with headers",
            &b"GET /case\r\nHost: example.localhost\r\n\r\n"[..],
        ),
        Case::forward(
            "1.0 with a host",
            format!("GET /case HTTP/1.0\r\nHost: {HOST}\r\n\r\n"),
            [asked("GET", "/case")],
        ),
        Case::forward(
            "1.0, kept",
            format!("GET /case HTTP/1.0\r\nHost: {HOST}\r\nConnection: keep-alive\r\n\r\n"),
            [asked("GET", "/case")],
        ),
    ]
}

/// Several requests in one write: each once, in order.
fn pipelines() -> Vec<Case> {
    let get = |number: usize| format!("GET /{number} HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    let mut cases = Vec::new();
    for count in [2, 3, 20] {
        let bytes: String = (0..count).map(get).collect();
        let seen: Vec<_> = (0..count)
            .map(|number| asked("GET", &format!("/{number}")))
            .collect();
        cases.push(Case::forward(format!("{count} pipelined"), bytes, seen));
    }
    let post = format!("POST /p HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 5\r\n\r\nhello");
    let posted = crate::case::with_body("POST", "/p", "hello");
    cases.push(Case::forward(
        "a POST and a GET",
        format!("{post}{}", get(1)),
        [posted.clone(), asked("GET", "/1")],
    ));
    cases.push(Case::forward(
        "a POST between two GETs",
        format!("{}{post}{}", get(1), get(2)),
        [asked("GET", "/1"), posted, asked("GET", "/2")],
    ));
    cases.push(Case::forward(
        "nothing after close",
        format!(
            "GET /case HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n{}",
            crate::case::smuggled()
        ),
        [asked("GET", "/case")],
    ));
    cases
}
