//! `Content-Length` and `Transfer-Encoding`: which of them counts, and how often.

use crate::case::{Case, HOST, asked, shown, smuggled, with_body};

/// Header lines about a transfer coding that is not exactly `chunked`, or not exactly said.
const CODINGS: &[&[u8]] = &[
    b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding: chunkedx",
    b"Transfer-Encoding: chunk",
    b"Transfer-Encoding: chun ked",
    b"Transfer-Encoding: cow",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding: identity, chunked",
    b"Transfer-Encoding: chunked, identity",
    b"Transfer-Encoding: gzip",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: chunked, gzip",
    b"Transfer-Encoding: deflate, chunked",
    b"Transfer-Encoding: chunked, chunked",
    b"Transfer-Encoding: chunked chunked",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\r\nTransfer-encoding: cow",
    b"Transfer-Encoding: chunked;q=1",
    b"Transfer-Encoding: chunked; x",
    b"Transfer-Encoding: \"chunked\"",
    b"Transfer-Encoding: 'chunked'",
    b"Transfer-Encoding: chunked,",
    b"Transfer-Encoding: ,chunked",
    b"Transfer-Encoding: chunked, ",
    b"Transfer-Encoding:",
    b"Transfer-Encoding: ",
    b"Transfer-Encoding: trailers",
    b"Transfer-Encoding: chunked\x0b",
    b"Transfer-Encoding: \x0bchunked",
    b"Transfer-Encoding:\x0cchunked",
    b"Transfer-Encoding: chunked\x00",
    b"Transfer-Encoding: \x00chunked",
    b"Transfer-Encoding: chunked\x7f",
    b"Transfer-Encoding: \xa0chunked",
    b"Transfer-Encoding: \xef\xbb\xbfchunked",
    b"Transfer-Encoding: chunked\r\n x",
    b"Transfer-Encoding:\r\n chunked",
    b"Transfer-Encoding:\r\n\tchunked",
    b"Transfer-Encoding: x\r\n chunked",
    b"Transfer-Encoding : chunked",
    b"Transfer-Encoding\t: chunked",
    b" Transfer-Encoding: chunked",
    b"\tTransfer-Encoding: chunked",
    b"Transfer-Encoding\x00: chunked",
    b"\x00Transfer-Encoding: chunked",
    b"Transfer-Encoding\x0b: chunked",
    b"Transfer Encoding: chunked",
    b"Transfer-Encoding chunked",
    b"Transfer-Encoding\r\n: chunked",
    b"X: y\nTransfer-Encoding: chunked",
    b"X: y\rTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\nX: y",
    b"Transfer-Encoding: chunked\rX: y",
];

/// Values of `Content-Length` that are no length, or none that is said once.
const LENGTHS: &[&[u8]] = &[
    b"+5",
    b"-5",
    b"-0",
    b"0x5",
    b"5 5",
    b"5;",
    b"5,",
    b",5",
    b"5.0",
    b"5e0",
    b"",
    b" ",
    b"five",
    b"\"5\"",
    b"5\x0b",
    b"\x0b5",
    b"5\x00",
    b"5\x7f",
    b"5_0",
    b"0b101",
    b"5h",
    b"#5",
    b"5, 6",
    b"5,6",
    b"5, 5, 6",
    b"6, 5",
    b"5, 5x",
    b"5, -1",
    b"5;5",
    b"\xef\xbc\x95",
    b"5\r\n 5",
    b"\r\n 5",
    b"18446744073709551616",
    b"18446744073709551621",
    b"99999999999999999999999999",
    b"5\r\nContent-Length: 6",
    b"6\r\nContent-Length: 5",
    b"5\r\ncontent-length: 0",
    b"0\r\nContent-Length: 5",
    b"5\nContent-Length: 6",
    b"5\rContent-Length: 6",
];

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = codings();
    cases.extend(both());
    cases.extend(lengths());
    cases.extend(accepted());
    cases.extend(versions());
    cases
}

/// A POST with these header lines and this body.
fn post(lines: &[u8], body: &str) -> Vec<u8> {
    let mut bytes = format!("POST /case HTTP/1.1\r\nHost: {HOST}\r\n").into_bytes();
    bytes.extend_from_slice(lines);
    bytes.extend_from_slice(b"\r\n\r\n");
    bytes.extend_from_slice(body.as_bytes());
    bytes
}

/// Each alone, where a smuggled request hides behind what looks like the last chunk, and each with
/// a length that takes it in.
fn codings() -> Vec<Case> {
    let body = format!("0\r\n\r\n{}", smuggled());
    let mut cases = Vec::new();
    for coding in CODINGS {
        let name = shown(coding);
        cases.push(Case::refuse(format!("coding {name}"), post(coding, &body)));
        let mut lines = format!("Content-Length: {}\r\n", body.len()).into_bytes();
        lines.extend_from_slice(coding);
        cases.push(Case::refuse(
            format!("length and {name}"),
            post(&lines, &body),
        ));
    }
    cases
}

/// A length and chunks together, however they are said.
fn both() -> Vec<Case> {
    let hidden = smuggled();
    let length = hidden.len() + 5;
    let cases = [
        (
            "CL.TE",
            format!("Content-Length: {length}\r\nTransfer-Encoding: chunked"),
        ),
        (
            "TE.CL",
            format!("Transfer-Encoding: chunked\r\nContent-Length: {length}"),
        ),
        (
            "CL.TE, length 0",
            "Content-Length: 0\r\nTransfer-Encoding: chunked".to_owned(),
        ),
        (
            "TE.CL, length 4",
            "Transfer-Encoding: chunked\r\nContent-Length: 4".to_owned(),
        ),
        (
            "TE.CL, length claimed by Connection",
            format!(
                "Transfer-Encoding: chunked\r\nContent-Length: {length}\r\nConnection: content-length"
            ),
        ),
        (
            "CL.TE, coding claimed by Connection",
            format!(
                "Content-Length: {length}\r\nTransfer-Encoding: chunked\r\nConnection: transfer-encoding"
            ),
        ),
        (
            "CL.TE with TE",
            format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\nTE: chunked"),
        ),
        (
            "CL.TE, in capitals",
            format!("CONTENT-LENGTH: {length}\r\nTRANSFER-ENCODING: CHUNKED"),
        ),
    ];
    let mut cases: Vec<Case> = cases
        .into_iter()
        .map(|(name, lines)| {
            Case::refuse(name, post(lines.as_bytes(), &format!("0\r\n\r\n{hidden}")))
        })
        .collect();
    let chunk = format!("{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden.len());
    let lines = "Content-Length: 4\r\nTransfer-Encoding: chunked";
    cases.push(Case::refuse(
        "TE.CL, request in a chunk",
        post(lines.as_bytes(), &chunk),
    ));
    cases
}

fn lengths() -> Vec<Case> {
    let mut cases = Vec::new();
    for length in LENGTHS {
        let mut lines = b"Content-Length: ".to_vec();
        lines.extend_from_slice(length);
        let name = format!("length {}", shown(length));
        cases.push(Case::refuse(name, post(&lines, "hello")));
    }
    for name in [
        "Content-Length ",
        "Content-Length\t",
        " Content-Length",
        "Content-Length\x00",
        "Content Length",
        "\x0bContent-Length",
    ] {
        let lines = format!("{name}: 5");
        let name = format!("name {}", shown(name.as_bytes()));
        cases.push(Case::refuse(name, post(lines.as_bytes(), "hello")));
    }
    cases
}

/// What is in order, or what a recipient may read in only one way.
fn accepted() -> Vec<Case> {
    let hidden = smuggled();
    let whole = |method: &str| with_body(method, "/case", &hidden);
    let framed = |method: &str, lines: &str, body: &str| {
        format!("{method} /case HTTP/1.1\r\nHost: {HOST}\r\n{lines}\r\n\r\n{body}")
    };
    let length = format!("Content-Length: {}", hidden.len());
    let chunk = format!("{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden.len());
    let mut cases = Vec::new();
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "GET"] {
        cases.push(Case::forward(
            format!("{method} whose body is a request"),
            framed(method, &length, &hidden),
            [whole(method)],
        ));
        cases.push(Case::forward(
            format!("{method} whose chunk is a request"),
            framed(method, "Transfer-Encoding: chunked", &chunk),
            [whole(method)],
        ));
    }
    cases.extend(said_otherwise());
    cases
}

/// Unusual ways of saying one thing.
fn said_otherwise() -> Vec<Case> {
    let mut cases = Vec::new();
    let hello = with_body("POST", "/case", "hello");
    for value in [
        "005",
        "5, 5",
        "5,5",
        "5\r\nContent-Length: 5",
        "00000000000000000000005",
    ] {
        let lines = format!("Content-Length: {value}");
        let name = format!("length {}", shown(value.as_bytes()));
        cases.push(Case::either(
            name,
            post(lines.as_bytes(), "hello"),
            [hello.clone()],
        ));
    }
    for lines in [
        "Content-Length: 5\t ",
        "content-length:5",
        "CONTENT-LENGTH:\t5",
    ] {
        let name = format!("line {}", shown(lines.as_bytes()));
        cases.push(Case::forward(
            name,
            post(lines.as_bytes(), "hello"),
            [hello.clone()],
        ));
    }
    for lines in [
        "Transfer-Encoding: CHUNKED",
        "transfer-encoding:chunked",
        "Transfer-Encoding:\tchunked \t",
    ] {
        let name = format!("line {}", shown(lines.as_bytes()));
        let bytes = post(lines.as_bytes(), "5\r\nhello\r\n0\r\n\r\n");
        cases.push(Case::forward(name, bytes, [hello.clone()]));
    }
    for (lines, body) in [
        (
            "Transfer-Encoding: chunked\r\nConnection: transfer-encoding",
            "5\r\nhello\r\n0\r\n\r\n",
        ),
        ("Content-Length: 5\r\nConnection: content-length", "hello"),
    ] {
        let name = format!("line {}", shown(lines.as_bytes()));
        cases.push(Case::either(
            name,
            post(lines.as_bytes(), body),
            [hello.clone()],
        ));
    }
    for name in [
        "Content_Length: 3",
        "Transfer_Encoding: chunked",
        "Content-Lengthx: 3",
        "XTransfer-Encoding: chunked",
    ] {
        let lines = format!("Content-Length: 5\r\n{name}");
        cases.push(Case::either(
            format!("with {name}"),
            post(lines.as_bytes(), "hello"),
            [hello.clone()],
        ));
    }
    cases
}

/// What HTTP/1.0 knows nothing of.
fn versions() -> Vec<Case> {
    let old = |lines: &str, body: &str| {
        format!("POST /case HTTP/1.0\r\nHost: {HOST}\r\n{lines}\r\n\r\n{body}")
    };
    let hidden = smuggled();
    let hello = with_body("POST", "/case", "hello");
    vec![
        Case::refuse(
            "1.0 chunked",
            old("Transfer-Encoding: chunked", &format!("0\r\n\r\n{hidden}")),
        ),
        Case::refuse(
            "1.0 chunked and a length",
            old(
                "Transfer-Encoding: chunked\r\nContent-Length: 5",
                &format!("0\r\n\r\n{hidden}"),
            ),
        ),
        Case::refuse(
            "1.0 chunked, kept",
            old(
                "Connection: keep-alive\r\nTransfer-Encoding: chunked",
                &format!("0\r\n\r\n{hidden}"),
            ),
        ),
        Case::forward(
            "1.0 with a length",
            old("Content-Length: 5", "hello"),
            [hello.clone()],
        ),
        Case::forward(
            "1.0 with a length, kept",
            old("Connection: keep-alive\r\nContent-Length: 5", "hello"),
            [hello],
        ),
        Case::forward(
            "1.0, then bytes that belong to nothing",
            format!("GET /case HTTP/1.0\r\nHost: {HOST}\r\n\r\n"),
            [asked("GET", "/case")],
        ),
    ]
}
