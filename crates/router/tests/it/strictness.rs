//! Requests that router and dyno could read differently: refused, or rebuilt so that they cannot.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{
    Bench, Dyno, HOST, body, eventually, exchange, get, read_head, read_response, status, text,
    within,
};

/// A dyno that keeps every byte it gets and answers each connection once.
async fn recording_dyno() -> (Dyno, Arc<Mutex<String>>) {
    let seen = Arc::new(Mutex::new(String::new()));
    let kept = Arc::clone(&seen);
    let dyno = Dyno::raw("web.1", move |mut stream| {
        let kept = Arc::clone(&kept);
        async move {
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
            let mut is_answered = false;
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                kept.lock()
                    .unwrap()
                    .push_str(std::str::from_utf8(&buffer[..count]).unwrap());
                if !is_answered {
                    is_answered = true;
                    stream.write_all(answer).await.unwrap();
                }
            }
        }
    })
    .await;
    (dyno, seen)
}

/// What is wrong, the status, and the request; `HOST` stands for the header.
const REFUSED: &[(&str, &str, &str)] = &[
    ("two hosts", "400", "GET / HTTP/1.1\r\nHOSTHOST\r\n"),
    (
        "two different hosts",
        "400",
        "GET / HTTP/1.1\r\nHOSTHost: b.localhost\r\n\r\n",
    ),
    ("no host", "400", "GET / HTTP/1.1\r\n\r\n"),
    ("no host in 1.0", "400", "GET / HTTP/1.0\r\n\r\n"),
    (
        "contradicted host",
        "400",
        "GET http://b.localhost/ HTTP/1.1\r\nHOST\r\n",
    ),
    ("no path", "400", "GET x HTTP/1.1\r\nHOST\r\n"),
    ("a fragment", "400", "GET /#x HTTP/1.1\r\nHOST\r\n"),
    ("two spaces", "400", "GET  / HTTP/1.1\r\nHOST\r\n"),
    ("a tab", "400", "GET\t/ HTTP/1.1\r\nHOST\r\n"),
    ("another version", "400", "GET / HTTP/1.2\r\nHOST\r\n"),
    (
        "a preface of HTTP/2 with a header",
        "400",
        "PRI * HTTP/2.0\r\nHOST\r\n",
    ),
    (
        "space before colon",
        "400",
        "GET / HTTP/1.1\r\nHOSTX : y\r\n\r\n",
    ),
    (
        "space before the first header",
        "400",
        "GET / HTTP/1.1\r\n HOST\r\n",
    ),
    (
        "folded header",
        "400",
        "GET / HTTP/1.1\r\nHOSTX: y\r\n z\r\n\r\n",
    ),
    ("no colon", "400", "GET / HTTP/1.1\r\nHOSTX\r\n\r\n"),
    ("zero byte", "400", "GET / HTTP/1.1\r\nHOSTX: \0\r\n\r\n"),
    (
        "zero byte in a name",
        "400",
        "GET / HTTP/1.1\r\nHOSTX\0: y\r\n\r\n",
    ),
    ("bare LF", "400", "GET / HTTP/1.1\r\nHOSTX: y\n\r\n"),
    ("bare LF at the end", "400", "GET / HTTP/1.1\r\nHOST\n"),
    ("bare CR", "400", "GET / HTTP/1.1\r\nHOSTX: y\rZ: z\r\n\r\n"),
    (
        "both framings",
        "400",
        "POST / HTTP/1.1\r\nHOSTContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
    (
        "both framings, turned",
        "400",
        "POST / HTTP/1.1\r\nHOSTTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n",
    ),
    (
        "differing lengths",
        "400",
        "POST / HTTP/1.1\r\nHOSTContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    ),
    (
        "the same length twice",
        "400",
        "POST / HTTP/1.1\r\nHOSTContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
    ),
    (
        "odd length",
        "400",
        "POST / HTTP/1.1\r\nHOSTContent-Length: +1\r\n\r\na",
    ),
    (
        "a list of lengths",
        "400",
        "POST / HTTP/1.1\r\nHOSTContent-Length: 1, 1\r\n\r\na",
    ),
    (
        "chunked is not last",
        "400",
        "POST / HTTP/1.1\r\nHOSTTransfer-Encoding: chunked, x\r\n\r\n",
    ),
    (
        "chunked is not first",
        "400",
        "POST / HTTP/1.1\r\nHOSTTransfer-Encoding: gzip, chunked\r\n\r\n",
    ),
    (
        "chunked twice",
        "400",
        "POST / HTTP/1.1\r\nHOSTTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
    (
        "unknown coding",
        "400",
        "POST / HTTP/1.1\r\nHOSTTransfer-Encoding: xchunked\r\n\r\n",
    ),
    (
        "chunks in 1.0",
        "400",
        "POST / HTTP/1.0\r\nHOSTTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "an upgrade with a body",
        "400",
        "GET / HTTP/1.1\r\nHOSTConnection: upgrade\r\nUpgrade: x\r\nContent-Length: 1\r\n\r\na",
    ),
    (
        "a tunnel",
        "405",
        "CONNECT example.localhost:80 HTTP/1.1\r\nHOST\r\n",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn ambiguous_requests_never_reach_a_dyno() {
    let mut bench = Bench::new().await;
    let (dyno, seen) = recording_dyno().await;
    bench.serve(&[&dyno]).await;
    let host = format!("Host: {HOST}\r\n");
    let many = format!("GET / HTTP/1.1\r\nHOST{}\r\n", "a: b\r\n".repeat(200));
    let long = format!("GET / HTTP/1.1\r\nHOSTa: {}\r\n\r\n", "b".repeat(70_000));
    let far = format!("GET /{} HTTP/1.1\r\nHOST\r\n", "b".repeat(40_000));
    let endless = "b".repeat(70_000);
    let too_much = [
        ("too many headers", "431", many.as_str()),
        ("a head too long", "431", &long),
        ("a target too long", "414", &far),
        ("no line at all", "414", &endless),
    ];
    for (what, expected, request) in REFUSED.iter().copied().chain(too_much) {
        // No `Connection: close` is needed: the router closes, whatever follows.
        let request = request.replace("HOST", &host);
        let smuggled = format!("{request}GET /smuggled HTTP/1.1\r\n{host}\r\n");
        let response = exchange(bench.http(), &smuggled).await;
        assert_eq!(status(&response), expected, "{what}: {response}");
        assert!(response.contains("connection: close\r\n"), "{what}");
        assert_eq!(response.matches("HTTP/1.1 ").count(), 1, "{what}");
    }
    assert_eq!(*seen.lock().unwrap(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn framing_is_rebuilt_and_smuggles_nothing() {
    let smuggled = format!("GET /smuggled HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    for headers in [
        "Transfer-Encoding: chunked\r\nConnection: close, transfer-encoding\r\n",
        "Transfer-Encoding: CHUNKED\r\ncontent_length: 4\r\nConnection: close\r\n",
        "Connection: close\r\nTransfer-Encoding: chunked\r\nTransfer_Encoding: x\r\n",
    ] {
        let mut bench = Bench::new().await;
        let (dyno, seen) = recording_dyno().await;
        bench.serve(&[&dyno]).await;
        let length = smuggled.len();
        let request = format!(
            "POST / HTTP/1.1\r\nHost: {HOST}\r\n{headers}\r\n\
             {length:x};an=extension\r\n{smuggled}\r\n0\r\n\r\n{smuggled}"
        );
        let response = exchange(bench.http(), &request).await;
        assert_eq!(status(&response), "200", "{headers}");
        assert_eq!(response.matches("HTTP/1.1 ").count(), 1, "{response}");
        let whole = || seen.lock().unwrap().ends_with("0\r\n\r\n");
        eventually("the dyno has the body", whole).await;
        let seen = seen.lock().unwrap();
        let (head, body) = seen.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("transfer-encoding: chunked"), "{head}");
        assert_eq!(head.to_lowercase().matches("transfer").count(), 1, "{head}");
        assert!(!head.to_lowercase().contains("length"), "{head}");
        assert_eq!(body, format!("{length:X}\r\n{smuggled}\r\n0\r\n\r\n"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_chunks_end_the_connection() {
    let mut bench = Bench::new().await;
    let dyno = Dyno::answering("web.1", |request| async move {
        drop(http_body_util::BodyExt::collect(request.into_body()).await);
        hyper::Response::new(text("never"))
    })
    .await;
    bench.serve(&[&dyno]).await;
    for chunks in [
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "5;\n\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\r\nX : y\r\n\r\n",
    ] {
        let request = format!(
            "POST / HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}\
             GET /smuggled HTTP/1.1\r\nHost: {HOST}\r\n\r\n"
        );
        let response = exchange(bench.http(), &request).await;
        assert_eq!(status(&response), "400", "{chunks}: {response}");
        assert_eq!(response.matches("HTTP/1.1 ").count(), 1, "{response}");
        let line = bench.line().await;
        assert!(line.starts_with("at=error code=H26 "), "{line}");
        assert!(line.contains(" status=400 "), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dyno_is_read_as_strictly() {
    let mut bench = Bench::new().await;
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: two\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx : y\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nx: y\r\n z\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\ncontent-length: 2\n\nok",
        "HTTP/2.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
    ] {
        let dyno = Dyno::saying("web.1", answer).await;
        bench.serve(&[&dyno]).await;
        let page = get(bench.http(), "/").await;
        assert!(page.contains("Code H17 "), "{answer}: {page}");
        assert!(bench.line().await.starts_with("at=error code=H17 "));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_behind_a_response_reach_nobody() {
    let long = Duration::from_mins(1);
    let mut bench = Bench::with(|timeouts| timeouts.upstream_idle = long).await;
    let dyno = Dyno::raw("web.1", |mut stream| async move {
        while !read_head(&mut stream).await.is_empty() {
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok\
                          HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nbad";
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    })
    .await;
    bench.serve(&[&dyno]).await;
    let mut stream = TcpStream::connect(bench.http()).await.unwrap();
    for round in 1..=3 {
        let head = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        assert_eq!(body(&within(read_response(&mut stream)).await), "ok");
        assert_eq!(*dyno.connections.lock().unwrap(), round);
    }
}
