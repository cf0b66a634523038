//! What HTTP/1.x clients and dynos may do beside plain requests and answers.

use std::time::Duration;

use hyper::Response;
use router::{Stop, wire::AppState};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
};

use crate::support::{
    Bench, Dyno, HOST, body, exchange, get, read_head, read_response, status, text, within,
};

const SHORT: Duration = Duration::from_millis(50);

async fn send(stream: &mut TcpStream, text: &str) {
    let text = text.replace("HOST", &format!("Host: {HOST}\r\n"));
    stream.write_all(text.as_bytes()).await.unwrap();
}

async fn open(bench: &Bench, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(bench.http()).await.unwrap();
    send(&mut stream, text).await;
    stream
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    drop(within(stream.read_to_end(&mut bytes)).await);
    String::from_utf8(bytes).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_are_answered_in_order() {
    let mut bench = Bench::new().await;
    let dyno = Dyno::answering("web.1", |request| async move {
        let path = request.uri().path().to_owned();
        let body = http_body_util::BodyExt::collect(request.into_body()).await;
        let length = body.unwrap().to_bytes().len();
        Response::new(text(format!("{path}:{length};")))
    })
    .await;
    bench.serve(&[&dyno]).await;
    let requests = "GET /1 HTTP/1.1\r\nHOST\r\n\
                    POST /2 HTTP/1.1\r\nHOSTContent-Length: 3\r\n\r\nabc\r\n\
                    POST /3 HTTP/1.1\r\nHOSTTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n\
                    GET /4 HTTP/1.1\r\nHOSTConnection: close\r\n\r\n";
    let mut stream = open(&bench, requests).await;
    let answers = rest(&mut stream).await;
    let mut last = 0;
    for expected in ["/1:0;", "/2:3;", "/3:2;", "/4:0;"] {
        let at = answers
            .find(expected)
            .unwrap_or_else(|| panic!("{answers}"));
        assert!(at > last);
        last = at;
        bench.line().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_client_may_keep_its_connection() {
    let mut bench = Bench::new().await;
    let dyno = Dyno::named("web.1").await;
    bench.serve(&[&dyno]).await;
    let mut stream = open(&bench, "").await;
    for _ in 0..3 {
        send(
            &mut stream,
            "GET / HTTP/1.0\r\nHOSTConnection: keep-alive\r\n\r\n",
        )
        .await;
        let answer = within(read_response(&mut stream)).await;
        assert!(answer.contains("connection: keep-alive\r\n"), "{answer}");
    }
    send(&mut stream, "GET / HTTP/1.0\r\nHOST\r\n").await;
    assert!(rest(&mut stream).await.contains("connection: close\r\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_dyno_ends_its_answer_with_its_connection() {
    let mut bench = Bench::new().await;
    let dyno = Dyno::saying("web.1", "HTTP/1.0 200 OK\r\nServer: old\r\n\r\nhello").await;
    bench.serve(&[&dyno]).await;
    let answer = get(bench.http(), "/").await;
    assert!(
        answer.contains("transfer-encoding: chunked\r\n"),
        "{answer}"
    );
    assert!(answer.contains("via: 1.0 landfall\r\n"), "{answer}");
    assert_eq!(body(&answer), "5\r\nhello\r\n0\r\n\r\n");
    let answer = exchange(
        bench.http(),
        &format!("GET / HTTP/1.0\r\nHost: {HOST}\r\n\r\n"),
    )
    .await;
    assert_eq!(body(&answer), "hello");
}

#[tokio::test(flavor = "multi_thread")]
async fn words_before_the_answer() {
    let mut bench = Bench::new().await;
    let dyno = Dyno::saying(
        "web.1",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n\
         HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    )
    .await;
    bench.serve(&[&dyno]).await;
    let answer = get(bench.http(), "/").await;
    assert!(
        answer.starts_with("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n"),
        "{answer}"
    );
    assert!(answer.contains("\r\n\r\nHTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(!answer.contains("100 Continue"), "{answer}");
    let answer = exchange(
        bench.http(),
        &format!("GET / HTTP/1.0\r\nHost: {HOST}\r\n\r\n"),
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_may_come_before_the_request_has_ended() {
    let mut bench = Bench::new().await;
    let dyno = Dyno::raw("web.1", |mut stream| async move {
        read_head(&mut stream).await;
        let answer = "HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nno!";
        stream.write_all(answer.as_bytes()).await.unwrap();
        drop(stream.read(&mut [0; 64]).await);
    })
    .await;
    bench.serve(&[&dyno]).await;
    let mut stream = open(
        &bench,
        "POST / HTTP/1.1\r\nHOSTContent-Length: 2000000\r\n\r\n",
    )
    .await;
    let answer = within(read_response(&mut stream)).await;
    assert_eq!((status(&answer), body(&answer)), ("413", "no!"));
    assert!(bench.line().await.contains("status=413 bytes=3 "));
    // What is left of a short body is read, and the connection goes on.
    let mut stream = open(&bench, "POST / HTTP/1.1\r\nHOSTContent-Length: 5\r\n\r\n").await;
    assert_eq!(status(&within(read_response(&mut stream)).await), "413");
    send(&mut stream, "helloGET / HTTP/1.1\r\nHOST\r\n").await;
    assert_eq!(status(&within(read_response(&mut stream)).await), "413");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_directions_at_once() {
    let mut bench = Bench::new().await;
    let dyno = Dyno::raw("web.1", |mut stream| async move {
        let head = read_head(&mut stream).await;
        assert!(head.contains("content-length: 10\r\n"), "{head}");
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.unwrap();
        let mut byte = [0];
        for _ in 0..10 {
            stream.read_exact(&mut byte).await.unwrap();
            stream.write_all(&byte).await.unwrap();
        }
    })
    .await;
    bench.serve(&[&dyno]).await;
    let mut stream = open(&bench, "POST / HTTP/1.1\r\nHOSTContent-Length: 10\r\n\r\n").await;
    within(read_head(&mut stream)).await;
    let mut byte = [0];
    for sent in b"0123456789" {
        stream.write_all(&[*sent]).await.unwrap();
        within(stream.read_exact(&mut byte)).await.unwrap();
        assert_eq!(byte, [*sent]);
    }
    assert!(bench.line().await.contains("status=200 bytes=10 "));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_passes_its_trailers_on_if_it_announced_them() {
    let mut bench = Bench::new().await;
    let (sender, mut seen) = mpsc::unbounded_channel();
    let dyno = Dyno::raw("web.1", move |mut stream| {
        let sender = sender.clone();
        async move {
            let mut request = read_head(&mut stream).await;
            while !request.ends_with("\r\n\r\n") || !request.contains("0\r\n") {
                let mut bytes = Vec::new();
                stream.read_buf(&mut bytes).await.unwrap();
                request.push_str(&String::from_utf8(bytes).unwrap());
            }
            sender.send(request).unwrap();
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    })
    .await;
    bench.serve(&[&dyno]).await;
    for (announced, expected) in [
        ("Trailer: X-Sum\r\n", "1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n"),
        ("", "1\r\na\r\n0\r\n\r\n"),
    ] {
        let request = format!(
            "POST / HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n{announced}\
             Connection: close\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\nHost: b\r\n\r\n"
        );
        assert_eq!(status(&exchange(bench.http(), &request).await), "200");
        assert_eq!(body(&within(seen.recv()).await.unwrap()), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_leaves_while_its_request_waits() {
    let mut bench = Bench::new().await;
    bench.route(AppState::Booting, &[]).await;
    let stream = open(&bench, "GET / HTTP/1.1\r\nHOST\r\n").await;
    drop(stream);
    let line = bench.line().await;
    assert!(
        line.starts_with("sock=client at=warning code=H27 ") && line.contains(" dyno= connect= "),
        "{line}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_heads_and_idle_connections_are_closed() {
    let mut bench = Bench::with(|timeouts| {
        timeouts.header_read = SHORT;
        timeouts.keep_alive = SHORT;
    })
    .await;
    let dyno = Dyno::named("web.1").await;
    bench.serve(&[&dyno]).await;
    for half in ["", "GET / HTTP/1.1\r\nHO"] {
        let mut stream = open(&bench, half).await;
        assert_eq!(rest(&mut stream).await, "");
    }
    let mut stream = open(&bench, "GET / HTTP/1.1\r\nHOST\r\n").await;
    assert_eq!(body(&rest(&mut stream).await), "web.1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_takes_nothing_is_cut_off() {
    let mut bench = Bench::with(|timeouts| timeouts.rolling = SHORT).await;
    let dyno = Dyno::raw("web.1", |mut stream| async move {
        read_head(&mut stream).await;
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        let piece = vec![0; 65_536];
        while stream.write_all(&piece).await.is_ok() {}
    })
    .await;
    bench.serve(&[&dyno]).await;
    let stream = open(&bench, "GET / HTTP/1.1\r\nHOST\r\n").await;
    let line = bench.line().await;
    assert!(
        line.starts_with("sock=client at=warning code=H28 "),
        "{line}"
    );
    drop(stream);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declared_body_has_to_come_at_some_rate() {
    let mut bench = Bench::with(|timeouts| timeouts.rolling = SHORT * 4).await;
    let dyno = Dyno::answering("web.1", |request| async move {
        drop(http_body_util::BodyExt::collect(request.into_body()).await);
        Response::new(text("never"))
    })
    .await;
    bench.serve(&[&dyno]).await;
    let head = "POST / HTTP/1.1\r\nHOSTContent-Length: 9000\r\n\r\n";
    let mut stream = open(&bench, head).await;
    let (mut reader, mut writer) = stream.split();
    let mut answer = String::new();
    tokio::select! {
        _ = within(reader.read_to_string(&mut answer)) => {}
        () = async {
            // Never silent for long, and never done.
            while writer.write_all(b"x").await.is_ok() {
                tokio::time::sleep(SHORT).await;
            }
            std::future::pending::<()>().await;
        } => {}
    }
    assert_eq!(status(&answer), "499");
    assert!(bench.line().await.contains(" code=H28 "));
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_told_when_the_router_stops() {
    let mut bench = Bench::new().await;
    let (asked, mut was_asked) = mpsc::unbounded_channel();
    let (go, waits) = tokio::sync::watch::channel(false);
    let dyno = Dyno::answering("web.1", move |_| {
        let (asked, mut waits) = (asked.clone(), waits.clone());
        async move {
            asked.send(()).unwrap();
            waits.wait_for(|go| *go).await.unwrap();
            Response::new(text("late"))
        }
    })
    .await;
    bench.serve(&[&dyno]).await;
    // So many that each thread has some, and has heard of the stop when all are closed.
    let mut idle = Vec::new();
    for _ in 0..16 {
        idle.push(open(&bench, "").await);
    }
    let mut busy = open(&bench, "GET / HTTP/1.1\r\nHOST\r\n").await;
    within(was_asked.recv()).await.unwrap();
    bench.router.as_ref().unwrap().stop(Stop::Gracefully);
    for connection in &mut idle {
        assert_eq!(rest(connection).await, "");
    }
    go.send_replace(true);
    let answer = rest(&mut busy).await;
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    assert_eq!(body(&answer), "late");
    within(bench.router.as_mut().unwrap().wait_ended())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_for_head_has_no_body() {
    let mut bench = Bench::new().await;
    bench.route(AppState::NoWebDynos, &[]).await;
    let request = format!("HEAD / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
    let page = exchange(bench.http(), &request).await;
    assert_eq!((status(&page), body(&page)), ("503", ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_upload_waits_for_a_slow_dyno() {
    const BYTES: usize = 20_000_000;
    let mut bench = Bench::new().await;
    let dyno = Dyno::raw("web.1", |mut stream| async move {
        let mut left = BYTES - body(&read_head(&mut stream).await).len();
        let mut buffer = vec![0; 300_000];
        while left > 0 {
            let count = stream.read(&mut buffer).await.unwrap();
            assert_ne!(count, 0);
            left -= count;
            tokio::task::yield_now().await;
        }
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    bench.serve(&[&dyno]).await;
    let mut stream = open(
        &bench,
        &format!("PUT / HTTP/1.1\r\nHOSTContent-Length: {BYTES}\r\n\r\n"),
    )
    .await;
    within(stream.write_all(&vec![b'x'; BYTES])).await.unwrap();
    assert_eq!(body(&within(read_response(&mut stream)).await), "ok");
}
