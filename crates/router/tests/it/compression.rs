//! Responses that are compressed on their way, for clients of both protocols; and what else an app's
//! requests meet when they go that way.

use std::{io::Read, time::Duration};

use api::edge::Edge;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::{
    Request, Response,
    body::{Frame, Incoming},
    client::conn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use router::wire::AppExtras;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};

use crate::{
    edge::serve,
    https::connect,
    support::{
        Bench, Dyno, DynoBody, HOST, exchange, get, read_head, read_response, status, text, within,
    },
};

const LINE: &str = "a line that repeats itself\n";

fn compressing() -> AppExtras {
    AppExtras {
        edge: Edge {
            compress: true,
            ..Edge::default()
        },
        ..AppExtras::default()
    }
}

/// Answers with what the path asks for: `/TYPE/BYTES`, dots for slashes in the type.
async fn writer() -> Dyno {
    Dyno::answering("web.1", |request| async move {
        let path = request.uri().path().trim_start_matches('/').to_owned();
        let (kind, bytes) = path.split_once('/').unwrap();
        let text_of = LINE.repeat(10_000)[..bytes.parse().unwrap()].to_owned();
        let mut response = Response::builder()
            .header("content-type", kind.replace('.', "/"))
            .header("etag", "\"tag\"");
        if request.headers().contains_key("range") {
            response = response.status(206).header("content-range", "bytes 0-1/2");
        }
        let is_head = request.method() == "HEAD";
        if is_head {
            response = response.header("content-length", text_of.len());
        }
        let body = if is_head { String::new() } else { text_of };
        response.body(text(body)).unwrap()
    })
    .await
}

/// Sends one request over TLS.
async fn send(bench: &Bench, protocol: &str, request: Request<Full<Bytes>>) -> Response<Incoming> {
    let io = TokioIo::new(connect(bench, protocol.as_bytes()).await);
    if protocol == "h2" {
        let (mut sender, connection) = conn::http2::handshake(TokioExecutor::new(), io)
            .await
            .unwrap();
        tokio::spawn(connection);
        within(sender.send_request(request)).await.unwrap()
    } else {
        let (mut sender, connection) = conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        within(sender.send_request(request)).await.unwrap()
    }
}

fn request(protocol: &str, method: &str, path: &str, accepted: &str) -> Request<Full<Bytes>> {
    let request = Request::builder().method(method);
    let request = if protocol == "h2" {
        request.uri(format!("https://{HOST}{path}"))
    } else {
        request.uri(path).header("host", HOST)
    };
    request
        .header("accept-encoding", accepted)
        .body(Full::default())
        .unwrap()
}

fn unpacked(coding: &str, bytes: &[u8]) -> String {
    let mut plain = String::new();
    match coding {
        "gzip" => flate2::read::GzDecoder::new(bytes).read_to_string(&mut plain),
        "br" => brotli::Decompressor::new(bytes, 4096).read_to_string(&mut plain),
        "zstd" => zstd::stream::read::Decoder::new(bytes)
            .unwrap()
            .read_to_string(&mut plain),
        other => panic!("{other}"),
    }
    .unwrap();
    plain
}

async fn collected(response: Response<Incoming>) -> (http::response::Parts, Bytes) {
    let (parts, body) = response.into_parts();
    (parts, within(body.collect()).await.unwrap().to_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn text_is_compressed_as_the_client_accepts() {
    let mut bench = Bench::new().await;
    let dyno = writer().await;
    serve(&mut bench, &[&dyno], compressing()).await;
    let plain = LINE.repeat(10_000)[..200_000].to_owned();
    for protocol in ["http/1.1", "h2"] {
        for coding in ["gzip", "br", "zstd"] {
            let asked = request(protocol, "GET", "/text.html/200000", coding);
            let (head, packed) = collected(send(&bench, protocol, asked).await).await;
            assert_eq!(head.headers["content-encoding"], coding);
            assert_eq!(head.headers["vary"], "accept-encoding");
            assert_eq!(head.headers["etag"], "W/\"tag\"");
            assert!(!head.headers.contains_key("content-length"), "{head:?}");
            assert!(packed.len() < 10_000);
            assert_eq!(unpacked(coding, &packed), plain);
            // What the access line counts is what the client got.
            let line = bench.line().await;
            assert!(
                line.contains(&format!(" bytes={} ", packed.len())),
                "{line}"
            );
        }
        for (method, path, accepted, range) in [
            ("GET", "/text.html/200000", "identity", false),
            ("GET", "/text.html/900", "gzip", false),
            ("GET", "/image.png/200000", "gzip", false),
            ("GET", "/text.event-stream/200000", "gzip", false),
            ("GET", "/text.html/200000", "gzip", true),
            ("HEAD", "/text.html/900", "gzip", false),
        ] {
            let mut asked = request(protocol, method, path, accepted);
            if range {
                asked
                    .headers_mut()
                    .insert("range", "bytes=0-1".parse().unwrap());
            }
            let (head, body) = collected(send(&bench, protocol, asked).await).await;
            assert!(!head.headers.contains_key("content-encoding"), "{path}");
            assert_eq!(head.headers["etag"], "\"tag\"");
            let bytes = path.rsplit_once('/').unwrap().1;
            assert_eq!(head.headers["content-length"], bytes, "{head:?}");
            assert_eq!(
                body.len().to_string(),
                if method == "HEAD" { "0" } else { bytes }
            );
            bench.line().await;
        }
        let asked = request(protocol, "HEAD", "/text.html/200000", "gzip");
        let (head, body) = collected(send(&bench, protocol, asked).await).await;
        assert_eq!(head.headers["content-encoding"], "gzip");
        assert!(!head.headers.contains_key("content-length") && body.is_empty());
        bench.line().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_can_be_read_as_far_as_it_came() {
    let mut bench = Bench::new().await;
    let (pieces, waiting) = mpsc::channel::<&'static str>(1);
    let waiting = std::sync::Arc::new(std::sync::Mutex::new(Some(waiting)));
    let dyno = Dyno::answering("web.1", move |_| {
        let pieces = waiting.lock().unwrap().take().unwrap();
        let pieces = ReceiverStream::new(pieces).map(|piece| Ok(Frame::data(Bytes::from(piece))));
        let body: DynoBody = BodyExt::boxed(StreamBody::new(pieces));
        let response = Response::builder().header("content-type", "application/x-ndjson");
        async move { response.body(body).unwrap() }
    })
    .await;
    serve(&mut bench, &[&dyno], compressing()).await;
    let mut stream = TcpStream::connect(bench.http()).await.unwrap();
    let asked = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nAccept-Encoding: gzip\r\n\r\n");
    stream.write_all(asked.as_bytes()).await.unwrap();
    let mut packed = Vec::new();
    let mut head = String::new();
    for piece in ["{\"first\": 1}\n", "{\"second\": 2}\n"] {
        pieces.send(piece).await.unwrap();
        if head.is_empty() {
            head = within(read_head_alone(&mut stream)).await;
            assert!(head.contains("content-encoding: gzip\r\n"), "{head}");
            assert!(head.contains("transfer-encoding: chunked\r\n"), "{head}");
        }
        // Only when it can be read, the next one is sent.
        while !readable(&packed).ends_with(piece) {
            packed.extend(within(read_chunk(&mut stream)).await);
        }
    }
    drop(pieces);
    loop {
        let chunk = within(read_chunk(&mut stream)).await;
        if chunk.is_empty() {
            break;
        }
        packed.extend(chunk);
    }
    assert_eq!(
        unpacked("gzip", &packed),
        "{\"first\": 1}\n{\"second\": 2}\n"
    );
}

/// What of a body that is not over can be read.
fn readable(packed: &[u8]) -> String {
    let mut plain = String::new();
    let mut decoder = flate2::read::GzDecoder::new(packed);
    drop(decoder.read_to_string(&mut plain));
    plain
}

async fn read_head_alone(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn read_chunk(stream: &mut TcpStream) -> Vec<u8> {
    let mut size = Vec::new();
    while !size.ends_with(b"\r\n") {
        size.push(stream.read_u8().await.unwrap());
    }
    let size = std::str::from_utf8(&size).unwrap().trim().to_owned();
    let mut chunk = vec![0; usize::from_str_radix(&size, 16).unwrap() + 2];
    stream.read_exact(&mut chunk).await.unwrap();
    assert!(chunk.ends_with(b"\r\n"));
    chunk.truncate(chunk.len() - 2);
    chunk
}

/// Tells how long the request's body was, and whether a header came that says how long it will be.
async fn counting() -> Dyno {
    Dyno::answering("web.1", |request| async move {
        let told = request.headers().contains_key("content-length");
        let via = request.headers()["via"].to_str().unwrap().to_owned();
        let path = request.uri().to_string();
        let body = request.into_body().collect().await;
        let bytes = body.map_or(0, |body| body.to_bytes().len());
        Response::new(text(format!("{path} {bytes} {told} {via}")))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_requests_come_through_and_connections_are_kept() {
    let mut bench = Bench::new().await;
    let dyno = counting().await;
    let mut extras = compressing();
    extras.edge.max_body_bytes = Some(100_000);
    serve(&mut bench, &[&dyno], extras).await;
    let mut stream = TcpStream::connect(bench.http()).await.unwrap();
    let long = "x".repeat(90_000);
    let chunked = format!("{:x}\r\n{long}\r\n3\r\nabc\r\n0\r\n\r\n", long.len());
    for (head, body, expected) in [
        (
            "POST /a|b?c=^",
            format!("Content-Length: 90000\r\n\r\n{long}"),
            "/a|b?c=^ 90000 true",
        ),
        (
            "POST /b",
            format!("Transfer-Encoding: chunked\r\n\r\n{chunked}"),
            "/b 90003 false",
        ),
        ("GET /c", "\r\n".to_owned(), "/c 0 false"),
        (
            "POST /d",
            "Content-Length: 0\r\n\r\n".to_owned(),
            "/d 0 true",
        ),
    ] {
        let asked = format!("{head} HTTP/1.1\r\nHost: {HOST}\r\n{body}");
        stream.write_all(asked.as_bytes()).await.unwrap();
        let response = within(read_response(&mut stream)).await;
        assert!(
            response.ends_with(&format!("{expected} 1.1 landfall")),
            "{response}"
        );
    }
    // One that waits to be asked.
    let asked = format!(
        "POST /e HTTP/1.1\r\nHost: {HOST}\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
    );
    stream.write_all(asked.as_bytes()).await.unwrap();
    let interim = within(read_head(&mut stream)).await;
    assert_eq!(interim, "HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"hello").await.unwrap();
    let response = within(read_response(&mut stream)).await;
    assert!(response.contains("/e 5 true"), "{response}");
    for _ in 0..5 {
        assert!(bench.line().await.contains("dyno=web.1"));
    }
    let long = format!("30000\r\n{}\r\n0\r\n\r\n", "x".repeat(0x30000));
    for (body, expected) in [("zz\r\n", "400"), (&long, "413")] {
        let head = format!("POST /x HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n");
        let response = exchange(bench.http(), &format!("{head}\r\n{body}")).await;
        assert_eq!(status(&response), expected, "{response}");
        let line = bench.line().await;
        let is_error = line.starts_with("at=error code=H26 ");
        assert_eq!(is_error, expected == "400", "{line}");
    }
    let gone = format!("GET / HTTP/1.0\r\nHost: {HOST}\r\n\r\n");
    let response = exchange(bench.http(), &gone).await;
    assert!(response.ends_with("/ 0 false 1.0 landfall"), "{response}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_breaks_off_is_not_ended() {
    let mut bench = Bench::with(|timeouts| timeouts.rolling = Duration::from_millis(300)).await;
    let dyno = Dyno::saying(
        "web.1",
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
    )
    .await;
    serve(&mut bench, &[&dyno], compressing()).await;
    let asked = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    let response = exchange(bench.http(), &asked).await;
    assert!(response.ends_with("5\r\nhello\r\n"), "{response}");
    assert!(bench.line().await.contains("code=H18"));
    let silent = Dyno::raw("web.1", |mut stream| async move {
        read_head(&mut stream).await;
        let begun = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello";
        stream.write_all(begun.as_bytes()).await.unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    serve(&mut bench, &[&silent], compressing()).await;
    let response = exchange(bench.http(), &asked).await;
    assert!(response.ends_with("hello"), "{response}");
    assert!(bench.line().await.contains("code=H15"));
    let absent = Dyno::absent("web.1").await;
    serve(&mut bench, &[&absent], compressing()).await;
    let response = get(bench.http(), "/").await;
    assert_eq!(status(&response), "503");
    assert!(bench.line().await.contains("code=H21"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_is_noticed() {
    let mut bench = Bench::new().await;
    let (told, mut heard) = mpsc::channel(1);
    let dyno = Dyno::raw("web.1", move |mut stream| {
        let told = told.clone();
        async move {
            read_head(&mut stream).await;
            told.send(()).await.unwrap();
            // Ends when the router gives up on it.
            drop(stream.read_u8().await);
            told.send(()).await.unwrap();
        }
    })
    .await;
    serve(&mut bench, &[&dyno], compressing()).await;
    let mut stream = TcpStream::connect(bench.http()).await.unwrap();
    let asked = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    stream.write_all(asked.as_bytes()).await.unwrap();
    within(heard.recv()).await.unwrap();
    drop(stream);
    within(heard.recv()).await.unwrap();
    assert!(bench.line().await.contains("code=H27"));
}
