//! Log drains: lines really arrive, counted, over HTTP and over syslog.

use axum::{Router, body::Bytes, extract::State, routing::post};
use http::{HeaderMap, StatusCode};
use logs::{LogLine, LogSource};
use serde_json::json;
use tokio::{io::AsyncReadExt as _, net::TcpListener, sync::mpsc};

use super::harness::Harness;

const PATH: &str = "/apps/example/log-drains";

type Posted = (HeaderMap, String);

/// A place that takes what is posted to it, but not the first time.
async fn collector() -> (String, mpsc::Receiver<Posted>) {
    let (sender, posted) = mpsc::channel::<Posted>(16);
    let take = |State(sender): State<mpsc::Sender<Posted>>, headers: HeaderMap, body: Bytes| async move {
        let text = String::from_utf8(body.to_vec()).unwrap();
        sender.send((headers, text)).await.unwrap();
        StatusCode::NO_CONTENT
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://me:secret@{}/in", listener.local_addr().unwrap());
    let router = Router::new().route("/in", post(take)).with_state(sender);
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, posted)
}

/// Says things in the app's log until `arrived` has something.
async fn say_until<T>(harness: &Harness, mut arrived: impl AsyncFnMut() -> T) -> T {
    let app = harness.platform.app("example").await.unwrap().id;
    let mut ticks = tokio::time::interval(std::time::Duration::from_millis(20));
    let arrived = arrived();
    tokio::pin!(arrived);
    loop {
        tokio::select! {
            found = &mut arrived => return found,
            _ = ticks.tick() => {}
        }
        let line = LogLine {
            at: harness.platform.now(),
            source: LogSource::App,
            dyno: "web.1".to_owned(),
            text: "h\u{e9}llo".to_owned(),
            cursor: None,
        };
        harness.logs.append(app, vec![line]).await.unwrap();
    }
}

fn check_frame(text: &str, host: &str) {
    let (length, rest) = text.split_once(' ').unwrap();
    let length: usize = length.parse().unwrap();
    let frame = &rest.as_bytes()[..length];
    let frame = std::str::from_utf8(frame).unwrap();
    assert!(frame.starts_with("<190>1 20"), "{frame}");
    assert!(
        frame.ends_with(&format!(" {host} app web.1 - h\u{e9}llo\n")),
        "{frame}"
    );
}

#[tokio::test]
async fn lines_are_posted_in_counted_frames() {
    let harness = Harness::start().await;
    harness.app("example").await;
    let (url, mut posted) = collector().await;
    let drain = harness.post(PATH, json!({ "url": url })).await;
    assert_eq!(drain.status, StatusCode::CREATED, "{drain:?}");
    let drain = drain.json();
    let (headers, text) = say_until(&harness, async || posted.recv().await.unwrap()).await;
    check_frame(&text, "host");
    assert_eq!(headers["content-type"], "application/logplex-1");
    assert_eq!(
        headers["logplex-drain-token"],
        drain["token"].as_str().unwrap()
    );
    let count: usize = headers["logplex-msg-count"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(count, text.matches("<190>1").count());
    assert_eq!(
        headers["authorization"],
        super::harness::basic("me", "secret")
    );
    let again = harness.post(PATH, json!({ "url": url })).await;
    assert_eq!(again.status, StatusCode::UNPROCESSABLE_ENTITY);
    let escaped = url.replace('/', "%2F").replace(':', "%3A");
    for identity in [
        drain["id"].as_str().unwrap(),
        drain["token"].as_str().unwrap(),
        &escaped,
    ] {
        assert_eq!(
            harness.get(&format!("{PATH}/{identity}")).await.json(),
            drain
        );
    }
    assert_eq!(
        harness.delete(&format!("{PATH}/{escaped}")).await.status,
        StatusCode::OK
    );
    assert_eq!(harness.get(PATH).await.json(), json!([]));
}

#[tokio::test]
async fn syslog_gets_one_connection_with_counted_frames() {
    let harness = Harness::start().await;
    harness.app("example").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("syslog://{}", listener.local_addr().unwrap());
    let drain = harness.post(PATH, json!({ "url": url })).await.json();
    let text = say_until(&harness, async || {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = vec![0; 4096];
        let mut read = 0;
        while String::from_utf8_lossy(&bytes[..read])
            .matches('\n')
            .count()
            < 3
        {
            read += stream.read(&mut bytes[read..]).await.unwrap();
        }
        String::from_utf8(bytes[..read].to_vec()).unwrap()
    });
    check_frame(&text.await, drain["token"].as_str().unwrap());
}

#[tokio::test]
async fn a_drain_leads_nowhere_near_the_platform_itself() {
    let harness = Harness::start_with(|settings| settings.private_targets = Vec::new()).await;
    harness.app("example").await;
    for url in [
        "http://127.0.0.1:5000/",
        "https://localhost/",
        "syslog://10.0.0.1:514",
        "https://[::1]/",
        "http://169.254.169.254/latest",
        "ftp://example.com/",
        "example.com",
        "",
    ] {
        let refused = harness.post(PATH, json!({ "url": url })).await;
        assert_eq!(
            refused.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{url}: {refused:?}"
        );
    }
    assert_eq!(harness.get(PATH).await.json(), json!([]));
}
