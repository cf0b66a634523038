//! What hostile dynos answer: nobody may get what was meant for somebody else.

use crate::case::shown;

/// What a dyno says to `GET /case` (or `HEAD`), and what the client may get.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) name: String,
    pub(crate) method: &'static str,
    pub(crate) bytes: Vec<u8>,
    /// Whether the dyno closes its connection behind them.
    pub(crate) closes: bool,
    pub(crate) must: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// This, whole.
    Whole(u16, &'static str),
    /// A page of the router that says 5xx.
    Fail,
    /// No whole answer: the connection breaks off, or a page that says 5xx.
    Break,
    /// Whole, or a page that says 5xx.
    WholeOrFail(u16, &'static str),
}

use Outcome::{Break, Fail, Whole, WholeOrFail};

const EVIL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";

/// Heads after which a body cannot be told, or nothing can.
const FAILING: &[&[u8]] = &[
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551618\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nX\0: y\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nX: \0\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nX y: z\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\n: z\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nX\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 abc OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 -20 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"ok",
    b"\0\0\0\0",
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
];

/// Bodies that are cut, or framed so that nobody can tell where they end.
const BREAKING: &[&[u8]] = &[
    b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\nok\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokX\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+2\r\nok\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x2\r\nok\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\nok\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\nok\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000002\r\nok\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n-1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    b"",
    b"HTTP/1.1 200 OK\r\nContent-Len",
];

pub(crate) fn replies() -> Vec<Reply> {
    let mut replies: Vec<Reply> = FAILING
        .iter()
        .map(|bytes| reply(bytes, true, Fail))
        .collect();
    replies.extend(BREAKING.iter().map(|bytes| reply(bytes, true, Break)));
    replies.extend(whole());
    replies.extend(more());
    replies.extend(floods());
    replies.extend(bodiless());
    replies
}

fn reply(bytes: &[u8], closes: bool, must: Outcome) -> Reply {
    Reply {
        name: format!("answer {}", shown(bytes)),
        method: "GET",
        bytes: bytes.to_vec(),
        closes,
        must,
    }
}

fn named(name: &str, bytes: impl Into<Vec<u8>>, closes: bool, must: Outcome) -> Reply {
    Reply {
        name: name.to_owned(),
        ..reply(&bytes.into(), closes, must)
    }
}

/// What a client may get as it is.
fn whole() -> Vec<Reply> {
    let chunks = "2\r\nok\r\n0\r\n\r\n";
    let mut replies = Vec::new();
    for head in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ] {
        replies.push(reply(head.as_bytes(), false, Whole(200, "ok")));
    }
    for head in [
        "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 02\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX : a\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        "HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ] {
        replies.push(reply(head.as_bytes(), false, WholeOrFail(200, "ok")));
    }
    for lines in [
        "Content-Length: 2\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 2",
        "Transfer-Encoding: chunked\r\nContent-Length: 0",
        "Transfer-Encoding: chunked\r\nContent-Length: 99\r\nConnection: content-length",
    ] {
        let bytes = format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\n{chunks}");
        replies.push(reply(bytes.as_bytes(), true, WholeOrFail(200, "ok")));
    }
    replies.push(named(
        "no length",
        "HTTP/1.1 200 OK\r\n\r\nok",
        true,
        Whole(200, "ok"),
    ));
    replies.push(named(
        "no length in 1.0",
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nok",
        true,
        Whole(200, "ok"),
    ));
    let trailers = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nContent-Length: 5\r\n\r\n";
    replies.push(named(
        "a length among the trailers",
        trailers,
        false,
        WholeOrFail(200, "ok"),
    ));
    replies.push(named(
        "1.0 chunked",
        format!("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"),
        true,
        Break,
    ));
    replies
}

/// More than one answer to one request: the rest is for nobody.
fn more() -> Vec<Reply> {
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    vec![
        named(
            "a second answer",
            format!("{ok}{EVIL}"),
            false,
            Whole(200, "ok"),
        ),
        named(
            "many answers",
            format!("{ok}{}", EVIL.repeat(50)),
            false,
            Whole(200, "ok"),
        ),
        named(
            "a second answer behind chunks",
            format!("{chunked}{EVIL}"),
            false,
            Whole(200, "ok"),
        ),
        named("a byte too many", format!("{ok}x"), false, Whole(200, "ok")),
        named(
            "an empty line too many",
            format!("{ok}\r\n"),
            false,
            Whole(200, "ok"),
        ),
        named(
            "half an answer more",
            format!("{ok}HTTP/1.1 200 OK\r\nContent-Le"),
            false,
            Whole(200, "ok"),
        ),
        named(
            "an interim answer more",
            format!("{ok}HTTP/1.1 100 Continue\r\n\r\n"),
            false,
            Whole(200, "ok"),
        ),
    ]
}

fn floods() -> Vec<Reply> {
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let interim = "HTTP/1.1 100 Continue\r\n\r\n";
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
    let header = format!("X: {}\r\n", "y".repeat(1_000_000));
    vec![
        named(
            "an interim answer",
            format!("{interim}{ok}"),
            false,
            Whole(200, "ok"),
        ),
        named(
            "three interim answers",
            format!("{interim}{hints}HTTP/1.1 102 Processing\r\n\r\n{ok}"),
            false,
            Whole(200, "ok"),
        ),
        named(
            "10,000 interim answers",
            format!("{}{ok}", interim.repeat(10_000)),
            false,
            WholeOrFail(200, "ok"),
        ),
        named(
            "an interim answer with a length",
            format!("HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n{ok}"),
            false,
            WholeOrFail(200, "ok"),
        ),
        named(
            "a header of 1 MB",
            format!("HTTP/1.1 200 OK\r\n{header}Content-Length: 2\r\n\r\nok"),
            true,
            Fail,
        ),
        named(
            "5,000 headers",
            format!(
                "HTTP/1.1 200 OK\r\n{}Content-Length: 2\r\n\r\nok",
                "X: y\r\n".repeat(5_000)
            ),
            true,
            Fail,
        ),
    ]
}

/// Answers that have no body, with one.
fn bodiless() -> Vec<Reply> {
    let head = |method, bytes: &str| Reply {
        name: format!("{method} answered with {}", shown(bytes.as_bytes())),
        method,
        ..reply(bytes.as_bytes(), false, Whole(200, ""))
    };
    let status = |status, bytes: &str| reply(bytes.as_bytes(), false, Whole(status, ""));
    vec![
        head("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        head("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
        head(
            "HEAD",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ),
        head(
            "HEAD",
            &format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{EVIL}"),
        ),
        status(204, "HTTP/1.1 204 No Content\r\n\r\n"),
        status(204, &format!("HTTP/1.1 204 No Content\r\n\r\n{EVIL}")),
        status(
            204,
            "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
        ),
        status(
            204,
            "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ),
        status(
            304,
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        ),
        status(
            304,
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello",
        ),
        status(304, &format!("HTTP/1.1 304 Not Modified\r\n\r\n{EVIL}")),
    ]
}
