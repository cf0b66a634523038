//! Requests that router and dyno could read differently: refused, or rebuilt so that they cannot.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Bench, Dyno, HOST, exchange, status};

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

#[tokio::test(flavor = "multi_thread")]
async fn ambiguous_requests_never_reach_a_dyno() {
    let mut bench = Bench::new().await;
    let (dyno, seen) = recording_dyno().await;
    bench.serve(&[&dyno]).await;
    let host = format!("Host: {HOST}\r\n");
    for (what, request) in [
        ("two hosts", format!("GET / HTTP/1.1\r\n{host}{host}\r\n")),
        (
            "two different hosts",
            format!("GET / HTTP/1.1\r\n{host}Host: b.localhost\r\n\r\n"),
        ),
        ("no host", "GET / HTTP/1.1\r\n\r\n".to_owned()),
        (
            "contradicted host",
            format!("GET http://b.localhost/ HTTP/1.1\r\n{host}\r\n"),
        ),
        (
            "space before colon",
            format!("GET / HTTP/1.1\r\n{host}X : y\r\n\r\n"),
        ),
        (
            "folded header",
            format!("GET / HTTP/1.1\r\n{host}X: y\r\n z\r\n\r\n"),
        ),
        (
            "zero byte",
            format!("GET / HTTP/1.1\r\n{host}X: \0\r\n\r\n"),
        ),
        (
            "differing lengths",
            format!("POST / HTTP/1.1\r\n{host}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
        ),
        (
            "odd length",
            format!("POST / HTTP/1.1\r\n{host}Content-Length: +1\r\n\r\na"),
        ),
        (
            "chunked is not last",
            format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: chunked, x\r\n\r\n"),
        ),
        (
            "unknown coding",
            format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: xchunked\r\n\r\n"),
        ),
        (
            "chunks in 1.0",
            format!("POST / HTTP/1.0\r\n{host}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ),
        (
            "too many headers",
            format!("GET / HTTP/1.1\r\n{host}{}\r\n", "a: b\r\n".repeat(200)),
        ),
        (
            "a head too long",
            format!("GET / HTTP/1.1\r\n{host}a: {}\r\n\r\n", "b".repeat(70_000)),
        ),
        (
            "a tunnel",
            format!("CONNECT {HOST}:80 HTTP/1.1\r\n{host}\r\n"),
        ),
    ] {
        let request = request.replacen("\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1);
        let response = exchange(bench.http(), &request).await;
        assert!(status(&response).starts_with('4'), "{what}: {response}");
    }
    assert_eq!(*seen.lock().unwrap(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn framing_is_rebuilt_and_smuggles_nothing() {
    let smuggled = format!("GET /smuggled HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    for headers in [
        // RFC 9112 §6.3: chunks win, and the connection is closed behind them.
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\nConnection: content-length\r\n",
        "Transfer-Encoding: chunked\r\nConnection: close, transfer-encoding\r\n",
    ] {
        let mut bench = Bench::new().await;
        let (dyno, seen) = recording_dyno().await;
        bench.serve(&[&dyno]).await;
        let length = smuggled.len();
        let request = format!(
            "POST / HTTP/1.1\r\nHost: {HOST}\r\n{headers}\r\n\
             {length:x}\r\n{smuggled}\r\n0\r\n\r\n{smuggled}"
        );
        let response = exchange(bench.http(), &request).await;
        assert_eq!(status(&response), "200", "{headers}");
        assert_eq!(response.matches("HTTP/1.1").count(), 1, "{response}");
        let seen = seen.lock().unwrap();
        let (head, body) = seen.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("transfer-encoding: chunked"), "{head}");
        assert!(!head.contains("content-length"), "{head}");
        assert_eq!(body, format!("{length:X}\r\n{smuggled}\r\n0\r\n\r\n"));
    }
}
