//! What a request looks like to a dyno and a response to a client.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody, combinators::BoxBody};
use hyper::{Response, body::Frame};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
};

use crate::support::{
    Bench, Dyno, HOST, body, exchange, get, read_head, read_response, status, text, within,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_and_its_answer() {
    let mut bench = Bench::new().await;
    let dyno = Dyno::answering("web.1", |request| async move {
        let mut shown = format!("{} {}\n", request.method(), request.uri());
        for (name, value) in request.headers() {
            shown.push_str(name.as_str());
            shown.push_str(": ");
            shown.push_str(value.to_str().unwrap());
            shown.push('\n');
        }
        Response::builder()
            .header("connection", "x-internal")
            .header("x-internal", "1")
            .header("date", "Thu, 19 Feb 2026 08:00:00 GMT")
            .body(text(shown))
            .unwrap()
    })
    .await;
    bench.serve(&[&dyno]).await;
    let port = bench.http().port();
    let request = format!(
        "GET /x?y=%20z HTTP/1.1\r\nHost: Example.localhost:{port}\r\nX-Forwarded-For: 9.9.9.9\r\n\
         X-Request-ID: 01234567890123456789\r\nX-Forwarded-Proto: https\r\nCookie: a=b\r\n\
         Connection: close, X-Secret\r\nX-Secret: 1\r\n\r\n"
    );
    let response = exchange(bench.http(), &request).await;
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(&format!(":? ?{port}"), ":PORT");
    settings.add_filter(r"x-request-start: \d{13}", "x-request-start: MS");
    settings.bind(|| {
        insta::assert_snapshot!(response.replace('\r', ""), @r"
        HTTP/1.1 200 OK
        date: Thu, 19 Feb 2026 08:00:00 GMT
        content-length: 224
        via: 1.1 landfall
        connection: close

        GET /x?y=%20z
        host: Example.localhost:PORT
        cookie: a=b
        x-request-id: 01234567890123456789
        x-forwarded-for: 9.9.9.9, 127.0.0.1
        x-forwarded-proto: http
        x-forwarded-port:PORT
        x-request-start: MS
        via: 1.1 landfall
        ");
    });
    insta::assert_snapshot!(bench.line().await, @r#"at=info method=GET path="/x?y=%20z" host=example.localhost request_id=ID fwd="9.9.9.9, 127.0.0.1" dyno=web.1 connect=Nms service=Nms status=200 bytes=224 protocol=http"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_kept_on_both_sides() {
    let mut bench = Bench::with(|timeouts| timeouts.upstream_idle = Duration::from_mins(1)).await;
    let dyno = Dyno::named("web.1").await;
    bench.serve(&[&dyno]).await;
    let mut stream = TcpStream::connect(bench.http()).await.unwrap();
    for _ in 0..20 {
        let request = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(body(&within(read_response(&mut stream)).await), "web.1");
    }
    assert_eq!(*dyno.connections.lock().unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_streamed_and_rechunked() {
    let mut bench = Bench::new().await;
    let (pieces, mut seen) = mpsc::unbounded_channel();
    let dyno = Dyno::answering("web.1", move |request| {
        let pieces = pieces.clone();
        async move {
            let framing = request.headers().get("transfer-encoding").cloned();
            let mut body = request.into_body();
            let mut length = 0;
            while let Some(frame) = body.frame().await {
                let data = frame.unwrap().into_data().unwrap_or_default();
                length += data.len();
                pieces.send(data).unwrap();
            }
            Response::new(text(format!("{framing:?} {length}")))
        }
    })
    .await;
    bench.serve(&[&dyno]).await;
    let mut stream = TcpStream::connect(bench.http()).await.unwrap();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..3 {
        // The dyno has each piece before the next is sent.
        stream.write_all(b"5\r\nhello\r\n").await.unwrap();
        assert_eq!(within(seen.recv()).await.unwrap(), "hello");
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    within(stream.read_to_string(&mut answer)).await.unwrap();
    assert_eq!(body(&answer), "Some(\"chunked\") 15");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_is_streamed() {
    let mut bench = Bench::new().await;
    let (sender, receiver) = mpsc::unbounded_channel::<&'static str>();
    let receiver = Arc::new(Mutex::new(Some(receiver)));
    let dyno = Dyno::answering("web.1", move |_| {
        let receiver = receiver.lock().unwrap().take().unwrap();
        async move {
            let stream = tokio_stream::wrappers::UnboundedReceiverStream::new(receiver);
            let frames = tokio_stream::StreamExt::map(stream, |piece| {
                Ok::<_, std::io::Error>(Frame::data(Bytes::from(piece)))
            });
            Response::new(BoxBody::new(StreamBody::new(frames)))
        }
    })
    .await;
    bench.serve(&[&dyno]).await;
    let mut stream = TcpStream::connect(bench.http()).await.unwrap();
    let head = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut seen = String::new();
    for piece in ["one", "two", "three"] {
        sender.send(piece).unwrap();
        while !seen.ends_with(&format!("{piece}\r\n")) {
            let mut bytes = Vec::new();
            assert_ne!(
                within(stream.read_buf(&mut bytes)).await.unwrap(),
                0,
                "{seen}"
            );
            seen.push_str(&String::from_utf8(bytes).unwrap());
        }
    }
    drop(sender);
    within(stream.read_to_string(&mut seen)).await.unwrap();
    assert_eq!(
        body(&seen),
        "3\r\none\r\n3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\n"
    );
    assert!(bench.line().await.contains("status=200 bytes=11 "));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_request_keeps_its_length_and_its_connection() {
    let mut bench = Bench::new().await;
    let dyno = Dyno::answering("web.1", |_| async { Response::new(text("hello")) }).await;
    bench.serve(&[&dyno]).await;
    for _ in 0..2 {
        let request = format!("HEAD / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
        let response = exchange(bench.http(), &request).await;
        assert_eq!(status(&response), "200");
        assert!(response.contains("content-length: 5\r\n"), "{response}");
        assert_eq!(body(&response), "");
        assert!(bench.line().await.contains("status=200 bytes=0 "));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_router_answers_100_continue_itself() {
    let mut bench = Bench::new().await;
    let dyno = Dyno::answering("web.1", |request| async move {
        assert!(!request.headers().contains_key("expect"));
        Response::new(text(
            request.into_body().collect().await.unwrap().to_bytes(),
        ))
    })
    .await;
    bench.serve(&[&dyno]).await;
    let mut stream = TcpStream::connect(bench.http()).await.unwrap();
    let head = format!(
        "PUT / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(
        within(read_head(&mut stream)).await,
        "HTTP/1.1 100 Continue\r\n\r\n"
    );
    stream.write_all(b"hello").await.unwrap();
    let mut answer = String::new();
    within(stream.read_to_string(&mut answer)).await.unwrap();
    assert_eq!((status(&answer), body(&answer)), ("200", "hello"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_client_gets_an_unchunked_answer() {
    let mut bench = Bench::new().await;
    let dyno = Dyno::saying(
        "web.1",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
         5\r\nhello\r\n0\r\n\r\n",
    )
    .await;
    bench.serve(&[&dyno]).await;
    let request = format!("GET / HTTP/1.0\r\nHost: {HOST}\r\n\r\n");
    let response = exchange(bench.http(), &request).await;
    assert!(!response.contains("content-length"), "{response}");
    assert!(!response.contains("transfer-encoding"), "{response}");
    assert_eq!(body(&response), "hello");
    // The same, told to a client that knows chunks.
    let response = get(bench.http(), "/").await;
    assert!(!response.contains("content-length"), "{response}");
    assert_eq!(body(&response), "5\r\nhello\r\n0\r\n\r\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_reach_a_client_that_takes_them() {
    let mut bench = Bench::new().await;
    let dyno = Dyno::saying(
        "web.1",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
         5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n",
    )
    .await;
    bench.serve(&[&dyno]).await;
    let request =
        format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nTE: trailers\r\nConnection: TE, close\r\n\r\n");
    let response = exchange(bench.http(), &request).await;
    assert_eq!(body(&response), "5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n");
    // A client that did not ask for them gets the body alone.
    assert_eq!(
        body(&get(bench.http(), "/").await),
        "5\r\nhello\r\n0\r\n\r\n"
    );
}
