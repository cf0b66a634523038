//! Every way a request can fail, its page and its line.

use std::time::Duration;

use hyper::Response;
use router::wire::AppState;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    task::JoinSet,
};

use crate::support::{
    Bench, Dyno, HOST, body, eventually, exchange, get, mask, read_head, read_response, status,
    text, within,
};

const SHORT: Duration = Duration::from_millis(50);

/// Provokes a failure by a GET and returns the line; the page must carry the code.
async fn failed(bench: &mut Bench, code: &str, status_code: &str) -> String {
    let page = get(bench.http(), "/x").await;
    assert_eq!(status(&page), status_code, "{page}");
    assert!(page.contains(&format!("Code {code} ")), "{page}");
    bench.line().await
}

#[tokio::test(flavor = "multi_thread")]
async fn states_of_an_app() {
    let mut bench = Bench::with(|timeouts| timeouts.boot = SHORT).await;
    let mut lines = Vec::new();
    for (state, code, status) in [
        (AppState::Crashed, "H10", "503"),
        (AppState::NoWebDynos, "H14", "503"),
        (AppState::Booting, "H20", "503"),
        (AppState::Maintenance, "H80", "503"),
        (AppState::Blank, "H81", "502"),
        (AppState::Serving, "H99", "503"),
    ] {
        bench.route(state, &[]).await;
        lines.push(failed(&mut bench, code, status).await);
    }
    insta::assert_snapshot!(lines.join("\n"), @r#"
    at=error code=H10 desc="App crashed" method=GET path="/x" host=example.localhost request_id=ID fwd="127.0.0.1" dyno= connect= service= status=503 bytes= protocol=http
    at=error code=H14 desc="No web processes running" method=GET path="/x" host=example.localhost request_id=ID fwd="127.0.0.1" dyno= connect= service= status=503 bytes= protocol=http
    at=error code=H20 desc="App boot timeout" method=GET path="/x" host=example.localhost request_id=ID fwd="127.0.0.1" dyno= connect= service= status=503 bytes= protocol=http
    at=info code=H80 desc="Maintenance mode" method=GET path="/x" host=example.localhost request_id=ID fwd="127.0.0.1" dyno= connect= service= status=503 bytes= protocol=http
    at=info code=H81 desc="Blank app" method=GET path="/x" host=example.localhost request_id=ID fwd="127.0.0.1" dyno= connect= service= status=502 bytes= protocol=http
    at=error code=H99 desc="Platform error" method=GET path="/x" host=example.localhost request_id=ID fwd="127.0.0.1" dyno= connect= service= status=503 bytes= protocol=http
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_json_page() {
    let mut bench = Bench::new().await;
    bench.route(AppState::NoWebDynos, &[]).await;
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {HOST}\r\nAccept: application/json\r\n\
         X-Request-Id: 01234567890123456789\r\nConnection: close\r\n\r\n"
    );
    let mut response = exchange(bench.http(), &request).await.replace('\r', "");
    let date = response.find("date: ").unwrap();
    response.replace_range(date..date + 36, "");
    insta::assert_snapshot!(response, @r#"
    HTTP/1.1 503 Service Unavailable
    content-type: application/json
    cache-control: no-cache, no-store
    vary: accept
    connection: close
    content-length: 111

    {"id":"no_web_processes","message":"No web processes running","code":"H14","request_id":"01234567890123456789"}
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_host() {
    let mut bench = Bench::new().await;
    // Nobody can say "no such app" before the first table.
    assert_eq!(status(&get(bench.http(), "/").await), "503");
    bench.route(AppState::Blank, &[]).await;
    let request = "GET / HTTP/1.1\r\nHost: other.localhost\r\nConnection: close\r\n\r\n";
    let page = exchange(bench.http(), request).await;
    assert_eq!(status(&page), "404");
    assert!(page.contains("There’s nothing here, yet."));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booting_app_gets_its_requests_when_it_is_up() {
    let mut bench = Bench::new().await;
    bench.route(AppState::Booting, &[]).await;
    let waiting = tokio::spawn(get(bench.http(), "/"));
    let dyno = Dyno::named("web.1").await;
    bench.route(AppState::Booting, &[]).await;
    bench.serve(&[&dyno]).await;
    assert_eq!(body(&waiting.await.unwrap()), "web.1");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_first_byte() {
    let mut bench = Bench::with(|timeouts| timeouts.first_byte = SHORT).await;
    let dyno = Dyno::raw("web.1", |mut stream| async move {
        read_head(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    bench.serve(&[&dyno]).await;
    insta::assert_snapshot!(failed(&mut bench, "H12", "503").await, @r#"at=error code=H12 desc="Request timeout" method=GET path="/x" host=example.localhost request_id=ID fwd="127.0.0.1" dyno=web.1 connect=Nms service=Nms status=503 bytes=0 protocol=http"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn closed_without_response() {
    let mut bench = Bench::new().await;
    let dyno = Dyno::saying("web.1", "").await;
    bench.serve(&[&dyno]).await;
    insta::assert_snapshot!(failed(&mut bench, "H13", "503").await, @r#"at=error code=H13 desc="Connection closed without response" method=GET path="/x" host=example.localhost request_id=ID fwd="127.0.0.1" dyno=web.1 connect=Nms service=Nms status=503 bytes=0 protocol=http"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn not_http() {
    let mut bench = Bench::new().await;
    for answer in [
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "HTTP/1.1 101 Surprise\r\n\r\n",
    ] {
        let dyno = Dyno::saying("web.1", answer).await;
        bench.serve(&[&dyno]).await;
        let line = failed(&mut bench, "H17", "503").await;
        assert!(line.starts_with("at=error code=H17 desc=\"Poorly formatted HTTP response\" "));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_off_in_mid_response() {
    let mut bench = Bench::new().await;
    let dyno = Dyno::saying(
        "web.1",
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello",
    )
    .await;
    bench.serve(&[&dyno]).await;
    let response = get(bench.http(), "/").await;
    assert_eq!((status(&response), body(&response)), ("200", "hello"));
    insta::assert_snapshot!(bench.line().await, @r#"sock=backend at=error code=H18 desc="Server Request Interrupted" method=GET path="/" host=example.localhost request_id=ID fwd="127.0.0.1" dyno=web.1 connect=Nms service=Nms status=503 bytes=5 protocol=http"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_in_mid_response() {
    let mut bench = Bench::with(|timeouts| timeouts.rolling = SHORT).await;
    let dyno = Dyno::raw("web.1", |mut stream| async move {
        read_head(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello")
            .await
            .unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    bench.serve(&[&dyno]).await;
    assert_eq!(body(&get(bench.http(), "/").await), "hello");
    insta::assert_snapshot!(bench.line().await, @r#"at=error code=H15 desc="Idle connection" method=GET path="/" host=example.localhost request_id=ID fwd="127.0.0.1" dyno=web.1 connect=Nms service=Nms status=503 bytes=5 protocol=http"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_silent_in_mid_request() {
    let mut bench = Bench::with(|timeouts| timeouts.rolling = SHORT).await;
    let dyno = Dyno::answering("web.1", |request| async move {
        drop(http_body_util::BodyExt::collect(request.into_body()).await);
        Response::new(text("never"))
    })
    .await;
    bench.serve(&[&dyno]).await;
    let head = format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 9\r\n\r\nhalf");
    assert_eq!(status(&exchange(bench.http(), &head).await), "499");
    assert!(
        bench
            .line()
            .await
            .contains("code=H28 desc=\"Client Connection Idle\"")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn all_refuse() {
    let mut bench = Bench::new().await;
    let (one, two) = (Dyno::absent("web.1").await, Dyno::absent("web.2").await);
    bench.serve(&[&one, &two]).await;
    let line = failed(&mut bench, "H21", "503").await;
    insta::assert_snapshot!(line.replace("web.2", "web.1"), @r#"at=error code=H21 desc="Backend connection refused" method=GET path="/x" host=example.localhost request_id=ID fwd="127.0.0.1" dyno=web.1 connect= service= status=503 bytes= protocol=http"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_connection_in_time() {
    let mut bench = Bench::with(|timeouts| timeouts.connect = SHORT).await;
    let (dyno, _full) = Dyno::deaf("web.1", SHORT * 4).await;
    bench.serve(&[&dyno]).await;
    let line = failed(&mut bench, "H19", "503").await;
    assert!(
        line.starts_with("at=error code=H19 desc=\"Backend connection timeout\" "),
        "{line}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_of_a_booting_app_is_full() {
    let mut bench = Bench::new().await;
    bench.route(AppState::Booting, &[]).await;
    let address = bench.http();
    let mut requests: JoinSet<_> = (0..2_001).map(|_| get(address, "/")).collect();
    // All others wait, so that one comes first.
    let first = requests.join_next().await.unwrap().unwrap();
    assert!(first.contains("Code H11 "), "{first}");
    let dyno = Dyno::named("web.1").await;
    bench.serve(&[&dyno]).await;
    while let Some(response) = requests.join_next().await {
        assert_eq!(body(&response.unwrap()), "web.1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusing_dyno_is_passed_over() {
    let mut bench = Bench::new().await;
    let (gone, there) = (Dyno::absent("web.1").await, Dyno::named("web.2").await);
    bench.serve(&[&gone, &there]).await;
    for _ in 0..50 {
        assert_eq!(body(&get(bench.http(), "/").await), "web.2");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_leaves() {
    let mut bench = Bench::new().await;
    let (asked, mut was_asked) = mpsc::unbounded_channel();
    let (left, mut has_left) = mpsc::unbounded_channel();
    let dyno = Dyno::raw("web.1", move |mut stream| {
        let (asked, left) = (asked.clone(), left.clone());
        async move {
            read_head(&mut stream).await;
            asked.send(()).unwrap();
            let count = stream.read(&mut [0; 1]).await.unwrap_or(0);
            left.send(count).unwrap();
        }
    })
    .await;
    bench.serve(&[&dyno]).await;
    let mut stream = TcpStream::connect(bench.http()).await.unwrap();
    let head = format!("GET /slow HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    within(was_asked.recv()).await.unwrap();
    drop(stream);
    // The dyno learns of it, and the line is written.
    assert_eq!(within(has_left.recv()).await, Some(0));
    insta::assert_snapshot!(bench.line().await, @r#"sock=client at=warning code=H27 desc="Client Request Interrupted" method=GET path="/slow" host=example.localhost request_id=ID fwd="127.0.0.1" dyno=web.1 connect=Nms service=Nms status=499 bytes=0 protocol=http"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_during_a_response_is_no_failure() {
    let mut bench = Bench::new().await;
    let dyno = Dyno::raw("web.1", |mut stream| async move {
        read_head(&mut stream).await;
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        // Until the router hangs up.
        drop(stream.read(&mut [0; 1]).await);
    })
    .await;
    bench.serve(&[&dyno]).await;
    let mut stream = TcpStream::connect(bench.http()).await.unwrap();
    let head = format!("GET /events HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut seen = within(read_head(&mut stream)).await.into_bytes();
    while !seen.windows(7).any(|window| window == b"data: 1") {
        assert_ne!(within(stream.read_buf(&mut seen)).await.unwrap(), 0);
    }
    drop(stream);
    assert_eq!(
        bench.line().await,
        mask(
            "at=info method=GET path=\"/events\" host=example.localhost request_id=x \
             fwd=\"127.0.0.1\" dyno=web.1 connect=0ms service=0ms status=200 bytes=9 protocol=http"
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_expectation() {
    let mut bench = Bench::new().await;
    let dyno = Dyno::named("web.1").await;
    bench.serve(&[&dyno]).await;
    let request =
        format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nExpect: magic\r\nConnection: close\r\n\r\n");
    assert_eq!(status(&exchange(bench.http(), &request).await), "417");
    assert!(
        bench
            .line()
            .await
            .starts_with("at=error code=H26 desc=\"Request Error\" ")
    );
    assert_eq!(*dyno.connections.lock().unwrap(), 0);
}

/// A dyno that serves one request on each connection, keeps it open, and closes it when the next
/// request has come, unanswered: what a request meets when the app closes an idle connection at
/// the same moment.
async fn forgetful_dyno() -> Dyno {
    Dyno::raw("web.1", |mut stream| async move {
        if read_head(&mut stream).await.is_empty() {
            return;
        }
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            .await
            .unwrap();
        read_head(&mut stream).await;
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_connection_that_dies_is_replaced_for_a_repeatable_request() {
    let mut bench = Bench::new().await;
    let dyno = forgetful_dyno().await;
    bench.serve(&[&dyno]).await;
    // Both lanes, so that one of them surely has a kept connection.
    for _ in 0..12 {
        assert_eq!(body(&get(bench.http(), "/").await), "ok");
        assert!(bench.line().await.starts_with("at=info "));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unrepeatable_request_is_not_sent_twice() {
    let long = Duration::from_mins(1);
    let mut bench = Bench::with(|timeouts| timeouts.upstream_idle_unrepeatable = long).await;
    let dyno = forgetful_dyno().await;
    bench.serve(&[&dyno]).await;
    let mut stream = TcpStream::connect(bench.http()).await.unwrap();
    for expected in ["200", "503"] {
        let head = format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        assert_eq!(status(&within(read_response(&mut stream)).await), expected);
    }
    assert_eq!(*dyno.connections.lock().unwrap(), 1);
    bench.line().await;
    assert!(bench.line().await.starts_with("at=error code=H13 "));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_the_dyno_closed_is_not_used() {
    let mut bench = Bench::new().await;
    let dyno = Dyno::saying("web.1", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    bench.serve(&[&dyno]).await;
    for round in 1..=10 {
        let head = format!(
            "POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        assert_eq!(status(&exchange(bench.http(), &head).await), "200");
        let used = || *dyno.connections.lock().unwrap() == round;
        eventually("each request has its own connection", used).await;
    }
}
