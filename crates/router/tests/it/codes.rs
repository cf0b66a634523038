//! A row for each H-code, provoked for real: its page in HTML and in JSON, and its access line.
//! What the codes mean to people is in `docs/guide/errors.md`.

use std::{future::Future, pin::Pin, time::Duration};

use hyper::Response;
use router::{
    Stop,
    wire::{AppState, AppTls, ClientAuthority},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    task::JoinSet,
};

use crate::support::{Bench, Dyno, HOST, body, exchange, read_head, status, text, within};

const SHORT: Duration = Duration::from_millis(50);

/// What a failed request left behind.
struct Seen {
    /// What the client got, if it was there to get anything.
    answer: String,
    line: String,
}

type Provoked = Pin<Box<dyn Future<Output = Seen> + Send>>;

/// One way to a code.
struct Row {
    /// How the access line begins.
    line: &'static str,
    /// In the line and, if there is one, on the page.
    status: &'static str,
    page: Page,
    /// Given what the client accepts.
    provoke: fn(&'static str) -> Provoked,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Page {
    Ours,
    /// The app's response had begun, or the client has gone.
    None,
}

macro_rules! rows {
    ($($line:literal $status:literal $page:ident $provoke:expr;)+) => {
        [$(Row {
            line: $line,
            status: $status,
            page: Page::$page,
            provoke: |accept| Box::pin($provoke(accept)),
        }),+]
    };
}

fn rows() -> impl IntoIterator<Item = Row> {
    rows! {
        r#"at=error code=H10 desc="App crashed" "# "503" Ours |at| state(at, AppState::Crashed);
        r#"at=error code=H11 desc="Backlog too deep" "# "503" Ours queue_is_full;
        r#"at=error code=H12 desc="Request timeout" "# "503" Ours no_first_byte;
        r#"at=error code=H13 desc="Connection closed without response" "# "503" Ours |at| said(at, "");
        r#"at=error code=H14 desc="No web processes running" "# "503" Ours |at| state(at, AppState::NoWebDynos);
        r#"at=error code=H15 desc="Idle connection" "# "503" None idle_in_mid_response;
        r#"at=error code=H17 desc="Poorly formatted HTTP response" "# "503" Ours |at| said(at, "SSH-2.0-x\r\n\r\n");
        r#"sock=backend at=error code=H18 desc="Server Request Interrupted" "# "503" None |at| said(at, HALF);
        r#"at=error code=H19 desc="Backend connection timeout" "# "503" Ours no_connection_in_time;
        r#"at=error code=H20 desc="App boot timeout" "# "503" Ours |at| state(at, AppState::Booting);
        r#"at=error code=H21 desc="Backend connection refused" "# "503" Ours refused;
        r#"at=error code=H22 desc="Connection limit reached" "# "503" Ours too_many_in_flight;
        r#"at=error code=H24 desc="Forced close" "# "503" Ours |at| forced_close(at, "");
        r#"at=error code=H24 desc="Forced close" "# "503" None |at| forced_close(at, HALF);
        r#"at=error code=H25 desc="HTTP restriction: invalid content length" "# "502" Ours |at| said(at, TWO_LENGTHS);
        r#"at=error code=H25 desc="HTTP restriction: oversized cookie" "# "502" Ours |at| long(at, "HTTP/1.1 200 OK\r\nSet-Cookie: a=", 40_000);
        r#"at=error code=H25 desc="HTTP restriction: oversized header" "# "502" Ours |at| long(at, "HTTP/1.1 200 OK\r\nX-Much: ", 70_000);
        r#"at=error code=H25 desc="HTTP restriction: oversized status line" "# "502" Ours |at| long(at, "HTTP/1.1 200 ", 9_000);
        r#"at=error code=H26 desc="Request Error" cause="unsupported expect header value" "# "417" Ours unknown_expectation;
        r#"at=error code=H26 desc="Request Error" cause="bad chunk" "# "400" None bad_chunk;
        r#"sock=client at=warning code=H27 desc="Client Request Interrupted" "# "499" None client_leaves;
        r#"sock=client at=warning code=H28 desc="Client Connection Idle" "# "499" Ours client_is_idle;
        r#"at=error code=H31 desc="Misdirected Request" "# "421" Ours misdirected;
        r#"at=info code=H80 desc="Maintenance mode" "# "503" Ours |at| state(at, AppState::Maintenance);
        r#"at=info code=H81 desc="Blank app" "# "502" Ours |at| state(at, AppState::Blank);
        r#"at=error code=H99 desc="Platform error" "# "503" Ours |at| state(at, AppState::Serving);
    }
}

fn code(row: &Row) -> &'static str {
    let (_, rest) = row.line.split_once("code=").unwrap();
    &rest[..3]
}

#[test]
fn every_code_has_a_row() {
    let mut shown: Vec<_> = rows().into_iter().map(|row| code(&row)).collect();
    shown.dedup();
    assert_eq!(shown, router::code_names().collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_code_is_provoked() {
    for row in rows() {
        for accept in ["text/html", "application/json"] {
            let Seen { answer, line } = (row.provoke)(accept).await;
            assert!(line.starts_with(row.line), "{}\n{line}", row.line);
            let logged = format!(" status={} ", row.status);
            assert!(line.contains(&logged), "{line}");
            if row.page == Page::None {
                continue;
            }
            assert_eq!(status(&answer), row.status, "{line}\n{answer}");
            assert!(
                answer.contains(&format!("content-type: {accept}")),
                "{answer}"
            );
            if accept == "text/html" {
                let footer = format!("<footer>Code {} · Request ", code(&row));
                assert!(answer.contains(&footer), "{answer}");
            } else {
                let json: serde_json::Value = serde_json::from_str(body(&answer)).unwrap();
                assert_eq!(json["code"], code(&row));
                assert!(
                    json["id"].is_string() && json["message"].is_string(),
                    "{json}"
                );
                assert!(line.contains("request_id=ID"), "{line}");
            }
        }
    }
}

fn head(accept: &str) -> String {
    format!("GET /x HTTP/1.1\r\nHost: {HOST}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n")
}

/// The end of most rows: one request, its answer and its line.
async fn ask(mut bench: Bench, accept: &str) -> Seen {
    let answer = exchange(bench.http(), &head(accept)).await;
    let line = bench.line().await;
    Seen { answer, line }
}

/// An app in this state, without dynos.
async fn state(accept: &'static str, state: AppState) -> Seen {
    let mut bench = Bench::with(|timeouts| timeouts.boot = SHORT).await;
    bench.route(state, &[]).await;
    ask(bench, accept).await
}

const HALF: &str = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello";
const TWO_LENGTHS: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc";

/// A dyno that says this, and closes.
async fn said(accept: &'static str, answer: &'static str) -> Seen {
    let mut bench = Bench::new().await;
    let dyno = Dyno::saying("web.1", answer).await;
    bench.serve(&[&dyno]).await;
    ask(bench, accept).await
}

/// A dyno whose answer begins so, goes on with so many letters, and is then as it should be.
async fn long(accept: &'static str, beginning: &'static str, letters: usize) -> Seen {
    let mut bench = Bench::new().await;
    let dyno = Dyno::raw("web.1", move |mut stream| async move {
        read_head(&mut stream).await;
        let letters = "x".repeat(letters);
        let answer = format!("{beginning}{letters}\r\nContent-Length: 2\r\n\r\nok");
        // The router need not read all of it.
        drop(stream.write_all(answer.as_bytes()).await);
    })
    .await;
    bench.serve(&[&dyno]).await;
    ask(bench, accept).await
}

/// One that says this and then nothing.
async fn silent_after(answer: &'static str) -> (Dyno, mpsc::UnboundedReceiver<()>) {
    let (asked, was_asked) = mpsc::unbounded_channel();
    let dyno = Dyno::raw("web.1", move |mut stream| {
        let asked = asked.clone();
        async move {
            read_head(&mut stream).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
            asked.send(()).ok();
            std::future::pending::<()>().await;
        }
    })
    .await;
    (dyno, was_asked)
}

async fn no_first_byte(accept: &'static str) -> Seen {
    let mut bench = Bench::with(|timeouts| timeouts.first_byte = SHORT).await;
    let (dyno, _asked) = silent_after("").await;
    bench.serve(&[&dyno]).await;
    ask(bench, accept).await
}

async fn idle_in_mid_response(accept: &'static str) -> Seen {
    let mut bench = Bench::with(|timeouts| timeouts.rolling = SHORT).await;
    let (dyno, _asked) = silent_after(HALF).await;
    bench.serve(&[&dyno]).await;
    ask(bench, accept).await
}

async fn refused(accept: &'static str) -> Seen {
    let mut bench = Bench::new().await;
    let dyno = Dyno::absent("web.1").await;
    bench.serve(&[&dyno]).await;
    ask(bench, accept).await
}

async fn no_connection_in_time(accept: &'static str) -> Seen {
    let mut bench = Bench::with(|timeouts| timeouts.connect = SHORT).await;
    let (dyno, _full) = Dyno::deaf("web.1", SHORT * 4).await;
    bench.serve(&[&dyno]).await;
    ask(bench, accept).await
}

async fn queue_is_full(accept: &'static str) -> Seen {
    let mut bench = Bench::new().await;
    bench.route(AppState::Booting, &[]).await;
    let (address, head) = (bench.http(), head(accept));
    let ask = || {
        let head = head.clone();
        async move { exchange(address, &head).await }
    };
    let mut requests: JoinSet<_> = (0..2_001).map(|_| ask()).collect();
    // All others wait, so that one comes first.
    let answer = requests.join_next().await.unwrap().unwrap();
    let line = bench.line().await;
    Seen { answer, line }
}

async fn too_many_in_flight(accept: &'static str) -> Seen {
    let mut bench = Bench::configured(|config| config.max_in_flight_per_dyno = 2).await;
    let (one, mut one_asked) = silent_after("").await;
    let (two, mut two_asked) = silent_after("").await;
    bench.serve(&[&one, &two]).await;
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut stream = TcpStream::connect(bench.http()).await.unwrap();
        stream.write_all(head(accept).as_bytes()).await.unwrap();
        held.push(stream);
    }
    // A dyno that has room is always found.
    for asked in [&mut one_asked, &mut two_asked] {
        for _ in 0..2 {
            within(asked.recv()).await.unwrap();
        }
    }
    ask(bench, accept).await
}

/// The router ends while a dyno has said this and no more, past its time for requests in flight.
async fn forced_close(accept: &'static str, answer: &'static str) -> Seen {
    let mut bench = Bench::with(|timeouts| timeouts.stop = SHORT).await;
    let (dyno, mut asked) = silent_after(answer).await;
    bench.serve(&[&dyno]).await;
    let address = bench.http();
    let request = tokio::spawn(async move { exchange(address, &head(accept)).await });
    within(asked.recv()).await.unwrap();
    let mut router = bench.router.take().unwrap();
    router.stop(Stop::Gracefully);
    within(router.wait_ended()).await.unwrap();
    let answer = within(request).await.unwrap();
    let line = bench.line().await;
    Seen { answer, line }
}

async fn unknown_expectation(accept: &'static str) -> Seen {
    let mut bench = Bench::new().await;
    let dyno = Dyno::named("web.1").await;
    bench.serve(&[&dyno]).await;
    let head = head(accept).replace("Connection:", "Expect: magic\r\nConnection:");
    let answer = exchange(bench.http(), &head).await;
    assert_eq!(*dyno.connections.lock().unwrap(), 0);
    let line = bench.line().await;
    Seen { answer, line }
}

async fn bad_chunk(accept: &'static str) -> Seen {
    let mut bench = Bench::new().await;
    let dyno = waiting_for_all().await;
    bench.serve(&[&dyno]).await;
    let head = head(accept).replace("GET", "POST");
    let head = head.replace("Connection:", "Transfer-Encoding: chunked\r\nConnection:");
    let answer = exchange(bench.http(), &format!("{head}5\r\nhello\r\nfive\r\n")).await;
    assert_eq!(status(&answer), "400", "{answer}");
    let line = bench.line().await;
    Seen { answer, line }
}

/// A dyno that answers when it has the whole of a request.
async fn waiting_for_all() -> Dyno {
    Dyno::answering("web.1", |request| async move {
        drop(http_body_util::BodyExt::collect(request.into_body()).await);
        Response::new(text("never"))
    })
    .await
}

async fn client_is_idle(accept: &'static str) -> Seen {
    let mut bench = Bench::with(|timeouts| timeouts.rolling = SHORT).await;
    let dyno = waiting_for_all().await;
    bench.serve(&[&dyno]).await;
    let head = head(accept).replace("GET", "POST");
    let head = head.replace("Connection:", "Content-Length: 9\r\nConnection:");
    let answer = exchange(bench.http(), &format!("{head}half")).await;
    let line = bench.line().await;
    Seen { answer, line }
}

async fn client_leaves(accept: &'static str) -> Seen {
    let mut bench = Bench::new().await;
    let (dyno, mut asked) = silent_after("").await;
    bench.serve(&[&dyno]).await;
    let mut stream = TcpStream::connect(bench.http()).await.unwrap();
    stream.write_all(head(accept).as_bytes()).await.unwrap();
    within(asked.recv()).await.unwrap();
    drop(stream);
    let line = bench.line().await;
    Seen {
        answer: String::new(),
        line,
    }
}

/// A request for an app that asks its clients for certificates, on a TLS connection that was made
/// for another host.
async fn misdirected(accept: &'static str) -> Seen {
    let mut bench = Bench::new().await;
    let mut table = bench.table(AppState::Serving, &[]);
    table.apps[0].tls = AppTls {
        client_authority: Some(ClientAuthority {
            certificates: bench.certificate.clone(),
            is_optional: true,
        }),
        ..AppTls::default()
    };
    bench.feed.publish(table.clone());
    let applied = within(bench.feed.wait_applied(table.version)).await;
    assert_eq!(applied, router::feed::Wait::Done);
    let mut stream = crate::https::connect_to_nobody(&bench).await;
    stream.write_all(head(accept).as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    drop(within(stream.read_to_end(&mut bytes)).await);
    let answer = String::from_utf8(bytes).unwrap();
    let line = bench.line().await;
    Seen { answer, line }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_dynos_are_asked_before_the_limit_is_said_to_be_reached() {
    let mut bench = Bench::configured(|config| config.max_in_flight_per_dyno = 1).await;
    let (one, mut one_asked) = silent_after("").await;
    let two = Dyno::named("web.2").await;
    bench.serve(&[&one]).await;
    let mut held = TcpStream::connect(bench.http()).await.unwrap();
    held.write_all(head("*/*").as_bytes()).await.unwrap();
    within(one_asked.recv()).await.unwrap();
    bench.serve(&[&one, &two]).await;
    for _ in 0..20 {
        assert_eq!(body(&exchange(bench.http(), &head("*/*")).await), "web.2");
    }
}
