//! Headers that belong to one hop, and those that claim others for it.

use crate::case::{Asked, Case, HOST, asked, shown, with_body};

/// Headers of one connection: not for a dyno.
const HOPS: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "upgrade",
    "http2-settings",
];

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = claimed();
    cases.extend(upgrades());
    cases.extend(expectations());
    cases
}

fn get(lines: &str) -> String {
    format!("GET /case HTTP/1.1\r\nHost: {HOST}\r\n{lines}\r\n\r\n")
}

fn seen() -> Asked {
    asked("GET", "/case")
        .without(HOPS)
        .with("host", HOST)
        .with("x-forwarded-for", "127.0.0.1")
        .with("x-forwarded-proto", "http")
        .with("via", "1.1 landfall")
}

/// `Connection` names what must reach the dyno all the same.
fn claimed() -> Vec<Case> {
    let mut cases: Vec<Case> = [
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Forwarded-Port",
        "X-Request-Id",
        "X-Request-Start",
        "Via",
        "Host",
        "close, X-Forwarded-For",
        "keep-alive, x-forwarded-proto",
        "Content-Length",
        "Transfer-Encoding",
        "Connection",
        ",,,",
        "x-forwarded-for,host,via",
    ]
    .iter()
    .map(|names| {
        Case::forward(
            format!("Connection: {names}"),
            get(&format!("Connection: {names}")),
            [seen()],
        )
    })
    .collect();
    for lines in [
        "Connection: X-Secret\r\nX-Secret: 1",
        "Connection: close, x-secret\r\nX-SECRET: 1",
        "Connection: keep-alive\r\nConnection: X-Secret\r\nX-Secret: 1",
        "Connection:X-Secret\r\nX-Secret: 1",
    ] {
        let name = shown(lines.as_bytes());
        cases.push(Case::forward(
            name,
            get(lines),
            [seen().without(&["x-secret"])],
        ));
    }
    for lines in [
        "Keep-Alive: timeout=5, max=1000",
        "Proxy-Connection: keep-alive",
        "TE: chunked",
        "TE: gzip, trailers",
    ] {
        cases.push(Case::forward(shown(lines.as_bytes()), get(lines), [seen()]));
    }
    for lines in [
        "Connection: X-Secret\x00",
        "Connection: \x01",
        "Connection : close",
        "Connection\r\n: close",
    ] {
        cases.push(Case::refuse(
            format!("line {}", shown(lines.as_bytes())),
            get(lines),
        ));
    }
    cases
}

/// No protocol that would carry requests past the router.
fn upgrades() -> Vec<Case> {
    let mut cases = Vec::new();
    for lines in [
        "Upgrade: h2c",
        "Connection: Upgrade\r\nUpgrade: h2c",
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAA",
        "Connection: upgrade\r\nUpgrade: H2C",
        "Connection: upgrade\r\nUpgrade: websocket, h2c",
        "Connection: upgrade\r\nUpgrade: h2c, websocket",
        "Upgrade: websocket",
    ] {
        let seen = asked("GET", "/case").without(HOPS);
        cases.push(Case::either(shown(lines.as_bytes()), get(lines), [seen]));
    }
    let post = |lines: &str, body: &str| {
        format!("POST /case HTTP/1.1\r\nHost: {HOST}\r\n{lines}\r\n\r\n{body}")
    };
    for (lines, body) in [
        (
            "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 5",
            "hello",
        ),
        (
            "Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 5",
            "hello",
        ),
        (
            "Connection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked",
            "5\r\nhello\r\n0\r\n\r\n",
        ),
    ] {
        let seen = with_body("POST", "/case", "hello").without(HOPS);
        cases.push(Case::either(
            shown(lines.as_bytes()),
            post(lines, body),
            [seen],
        ));
    }
    let dyno_declines = asked("GET", "/case");
    let lines = "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x";
    cases.push(Case::forward(
        "an upgrade that the dyno declines",
        get(lines),
        [dyno_declines],
    ));
    cases
}

fn expectations() -> Vec<Case> {
    let post = |lines: &str, body: &str| {
        format!("POST /case HTTP/1.1\r\nHost: {HOST}\r\n{lines}\r\n\r\n{body}")
    };
    let hello = || [with_body("POST", "/case", "hello").without(&["expect"])];
    let mut cases = vec![
        Case::forward(
            "Expect and a body at once",
            post("Expect: 100-continue\r\nContent-Length: 5", "hello"),
            hello(),
        ),
        Case::forward(
            "Expect and chunks at once",
            post(
                "Expect: 100-continue\r\nTransfer-Encoding: chunked",
                "5\r\nhello\r\n0\r\n\r\n",
            ),
            hello(),
        ),
        Case::forward(
            "Expect without a body",
            get("Expect: 100-continue"),
            [asked("GET", "/case").without(&["expect"])],
        ),
        Case::forward(
            "Expect and an empty body",
            post("Expect: 100-continue\r\nContent-Length: 0", ""),
            [with_body("POST", "/case", "").without(&["expect"])],
        ),
    ];
    for value in ["200-ok", "100-continue, x", "x 100-continue", ""] {
        let lines = format!("Expect: {value}\r\nContent-Length: 5");
        cases.push(Case::either(
            format!("Expect: {value}"),
            post(&lines, "hello"),
            hello(),
        ));
    }
    let old = format!(
        "POST /case HTTP/1.0\r\nHost: {HOST}\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello"
    );
    cases.push(Case::either("Expect in 1.0", old, hello()));
    cases
}
