//! Chunks and trailers: sizes, extensions, line ends.

use crate::case::{Case, HOST, shown, smuggled, with_body};

/// Bodies that have no end, or one in more than one place.
const BROKEN: &[&[u8]] = &[
    b"5\nhello\r\n0\r\n\r\n",
    b"5\r\nhello\n0\r\n\r\n",
    b"5\r\nhello\r\n0\n\r\n",
    b"5\r\nhello\r\n0\r\n\n",
    b"5\nhello\n0\n\n",
    b"5\rhello\r\n0\r\n\r\n",
    b"5\r\r\nhello\r\n0\r\n\r\n",
    b"5\r\nhello\r0\r\n\r\n",
    b"5\r\nhello\r\n0\r\n\rX",
    b"5\r\nhello0\r\n\r\n",
    b"5\r\nhelloX\r\n0\r\n\r\n",
    b"5\r\nhelloXX0\r\n\r\n",
    b"4\r\nhello\r\n0\r\n\r\n",
    b"6\r\nhello\r\n0\r\n\r\n",
    b"+5\r\nhello\r\n0\r\n\r\n",
    b"-5\r\nhello\r\n0\r\n\r\n",
    b"0x5\r\nhello\r\n0\r\n\r\n",
    b"5h\r\nhello\r\n0\r\n\r\n",
    b"g\r\nhello\r\n0\r\n\r\n",
    b"\r\n5\r\nhello\r\n0\r\n\r\n",
    b" 5\r\nhello\r\n0\r\n\r\n",
    b"\t5\r\nhello\r\n0\r\n\r\n",
    b"5 5\r\nhello\r\n0\r\n\r\n",
    b"5,5\r\nhello\r\n0\r\n\r\n",
    b"5_\r\nhello\r\n0\r\n\r\n",
    b"5\x00\r\nhello\r\n0\r\n\r\n",
    b"5\x0b\r\nhello\r\n0\r\n\r\n",
    b"\x005\r\nhello\r\n0\r\n\r\n",
    b"5\xa0\r\nhello\r\n0\r\n\r\n",
    b"\xef\xbc\x95\r\nhello\r\n0\r\n\r\n",
    b";x\r\nhello\r\n0\r\n\r\n",
    b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    b"5;\nhello\r\n0\r\n\r\n",
    b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    b"5;a\x00b\r\nhello\r\n0\r\n\r\n",
    b"5;\x7f\r\nhello\r\n0\r\n\r\n",
    b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    b"8000000000000005\r\nhello\r\n0\r\n\r\n",
    b"00000000000000000000000000000000000000000000000000000000000000000000000000x\r\n",
    b"5\r\nhello\r\n-0\r\n\r\n",
    b"5\r\nhello\r\n0x0\r\n\r\n",
    b"5\r\nhello\r\n0 0\r\n\r\n",
    // Trailers that are no header lines.
    b"5\r\nhello\r\n0\r\nx\r\n\r\n",
    b"5\r\nhello\r\n0\r\nx : y\r\n\r\n",
    b"5\r\nhello\r\n0\r\n x: y\r\n\r\n",
    b"5\r\nhello\r\n0\r\nx: y\r\n z\r\n\r\n",
    b"5\r\nhello\r\n0\r\nx: y\nz: y\r\n\r\n",
    b"5\r\nhello\r\n0\r\nx: a\rb\r\n\r\n",
    b"5\r\nhello\r\n0\r\nx: a\x00b\r\n\r\n",
    b"5\r\nhello\r\n0\r\nx\x00: b\r\n\r\n",
    b"5\r\nhello\r\n0\r\n: b\r\n\r\n",
    b"5\r\nhello\r\n0\r\nx: y\n\r\n",
    b"5\r\nhello\r\n0\r\nx: y\r\n\n",
];

/// Bodies that RFC 9112 allows, or lets a recipient read as `hello` or refuse.
const HELLO: &[&str] = &[
    "05\r\nhello\r\n0\r\n\r\n",
    "5\r\nhello\r\n00\r\n\r\n",
    "5;x\r\nhello\r\n0\r\n\r\n",
    "5;x=y\r\nhello\r\n0\r\n\r\n",
    "5;x=\"y;z\"\r\nhello\r\n0\r\n\r\n",
    "5;x=\"y\r\nhello\r\n0\r\n\r\n",
    "5 ;x\r\nhello\r\n0\r\n\r\n",
    "5; x = y\r\nhello\r\n0\r\n\r\n",
    "5 \r\nhello\r\n0\r\n\r\n",
    "5\t\r\nhello\r\n0\r\n\r\n",
    "5;\r\nhello\r\n0\r\n\r\n",
    "5;;;\r\nhello\r\n0\r\n\r\n",
    "5\r\nhello\r\n0;x\r\n\r\n",
    "5\r\nhello\r\n0 \r\n\r\n",
    "5;0\r\nhello\r\n0\r\n\r\n",
    "0000000000000005\r\nhello\r\n0\r\n\r\n",
    "00000000000000005\r\nhello\r\n0\r\n\r\n",
    "5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
    "5\r\nhello\r\n0\r\nx-sum:\r\n\r\n",
];

/// Trailers that would say something else about the message, who sent it or where to.
const FORBIDDEN: &[(&str, &str)] = &[
    ("content-length", "5"),
    ("transfer-encoding", "chunked"),
    ("host", "evil.localhost"),
    ("connection", "close"),
    ("trailer", "x"),
    ("te", "trailers"),
    ("upgrade", "h2c"),
    ("x-forwarded-for", "6.6.6.6"),
    ("x-forwarded-proto", "https"),
    ("x-request-id", "0123456789012345678901"),
    ("authorization", "Basic eA=="),
    ("cookie", "a=b"),
];

/// What a dyno gets of a request with trailers: not one of those.
const NEVER: &[&str] = &["trailer", "te", "upgrade", "authorization", "cookie"];

pub(crate) fn cases() -> Vec<Case> {
    let hidden = smuggled();
    let mut cases: Vec<Case> = BROKEN
        .iter()
        .map(|body| {
            // Whoever believes in the end of such a body finds a request behind it.
            let body = [body, hidden.as_bytes()].concat();
            Case::refuse(
                format!("chunks {}", shown(&body[..body.len() - hidden.len()])),
                post(&body),
            )
        })
        .collect();
    let hello = with_body("POST", "/case", "hello");
    for body in HELLO {
        let name = format!("chunks {}", shown(body.as_bytes()));
        cases.push(Case::either(name, post(body.as_bytes()), [hello.clone()]));
    }
    for (name, value) in FORBIDDEN {
        let body = format!("5\r\nhello\r\n0\r\n{name}: {value}\r\n\r\n");
        let asked = hello.clone().without(NEVER).with("host", HOST);
        let asked = asked
            .with("x-forwarded-for", "127.0.0.1")
            .with("x-forwarded-proto", "http");
        cases.push(Case::either(
            format!("trailer {name}"),
            post(body.as_bytes()),
            [asked],
        ));
    }
    let line = format!("GET /smuggled HTTP/1.1\r\nHost: {HOST}");
    let body = format!("5\r\nhello\r\n0\r\n{line}\r\n\r\n");
    cases.push(Case::refuse(
        "a request among the trailers",
        post(body.as_bytes()),
    ));
    cases.extend(large());
    for (name, body) in [
        ("hexadecimal", "a\r\nhellohello\r\n0\r\n\r\n"),
        ("capital hexadecimal", "A\r\nhellohello\r\n0\r\n\r\n"),
        ("two chunks", "5\r\nhello\r\n5\r\nhello\r\n0\r\n\r\n"),
    ] {
        let asked = with_body("POST", "/case", "hellohello");
        cases.push(Case::forward(name, post(body.as_bytes()), [asked]));
    }
    let body = format!("5\r\nhello\r\n0\r\n\r\n{hidden}");
    cases.push(Case::forward(
        "a pipelined request behind the last chunk",
        post(body.as_bytes()),
        [hello, crate::case::asked("GET", "/smuggled")],
    ));
    let lines = "0\r\n\r\n";
    cases.push(Case::forward(
        "no chunk",
        post(lines.as_bytes()),
        [with_body("POST", "/case", "")],
    ));
    cases
}

/// What would fill memory that nobody counts.
fn large() -> Vec<Case> {
    let hello = with_body("POST", "/case", "hello");
    let extension = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(100_000));
    let trailer = format!("5\r\nhello\r\n0\r\nx: {}\r\n\r\n", "y".repeat(200_000));
    let trailers = format!("5\r\nhello\r\n0\r\n{}\r\n", "x: y\r\n".repeat(2_000));
    vec![
        Case::refuse("an extension of 100 kB", post(extension.as_bytes())),
        Case::refuse("a trailer of 200 kB", post(trailer.as_bytes())),
        Case::refuse("2,000 trailers", post(trailers.as_bytes())),
        Case::either(
            "an extension a byte",
            post(b"1;a\r\nh\r\n1;b\r\ne\r\n1;c\r\nl\r\n1;d\r\nl\r\n1;e\r\no\r\n0\r\n\r\n"),
            [hello],
        ),
    ]
}

fn post(body: &[u8]) -> Vec<u8> {
    let head = format!("POST /case HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n");
    [head.as_bytes(), body].concat()
}
