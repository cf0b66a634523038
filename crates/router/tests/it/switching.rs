//! Deploys under load: not one request may fail, and "drained" must be true when it is said.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, client::conn::http1};
use hyper_util::rt::TokioIo;
use router::{feed::Wait, wire::AppState};
use tokio::{net::TcpStream, sync::Notify, task::JoinHandle};

use crate::support::{Bench, Dyno, HOST, body, get, text, within};

/// A dyno that notices requests that come after it was said to be drained.
async fn watchful_dyno(name: &'static str, late: Arc<AtomicU32>) -> (Dyno, Arc<AtomicBool>) {
    let is_drained = Arc::new(AtomicBool::new(false));
    let drained = Arc::clone(&is_drained);
    let dyno = Dyno::answering(name, move |_| {
        let (late, drained) = (Arc::clone(&late), Arc::clone(&drained));
        async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            // The request is in flight until here, so drained must not have been said.
            if drained.load(Ordering::SeqCst) {
                late.fetch_add(1, Ordering::SeqCst);
            }
            Response::new(text(name))
        }
    })
    .await;
    (dyno, is_drained)
}

/// Clients on kept connections, each sending requests until told to stop.
struct Load {
    clients: Vec<JoinHandle<(u32, u32)>>,
    is_over: Arc<AtomicBool>,
}

impl Load {
    /// Each client sends at least this many requests.
    const AT_LEAST: u32 = 250;

    fn start(address: SocketAddr) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let client = |_| tokio::spawn(Self::client(address, Arc::clone(&is_over)));
        Self {
            clients: (0..8).map(client).collect(),
            is_over,
        }
    }

    /// Requests sent, requests failed.
    async fn end(self) -> (u32, u32) {
        self.is_over.store(true, Ordering::SeqCst);
        let mut total = (0, 0);
        for client in self.clients {
            let (sent, failed) = client.await.unwrap();
            total = (total.0 + sent, total.1 + failed);
        }
        total
    }

    async fn client(address: SocketAddr, is_over: Arc<AtomicBool>) -> (u32, u32) {
        let stream = TcpStream::connect(address).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let (mut sent, mut failed) = (0, 0);
        while sent < Self::AT_LEAST || !is_over.load(Ordering::SeqCst) {
            let (method, body) = if sent % 4 == 0 {
                ("POST", "body")
            } else {
                ("GET", "")
            };
            let request = Request::builder()
                .method(method)
                .uri("/")
                .header("host", HOST)
                .body(Full::new(Bytes::from(body)))
                .unwrap();
            sender.ready().await.unwrap();
            let response = within(sender.send_request(request)).await.unwrap();
            let is_served = response.status() == 200;
            response.into_body().collect().await.unwrap();
            sent += 1;
            failed += u32::from(!is_served);
        }
        (sent, failed)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_dynos_come_and_go() {
    let mut bench = Bench::new().await;
    let late = Arc::new(AtomicU32::new(0));
    let mut current = watchful_dyno("web.1", Arc::clone(&late)).await;
    bench.serve(&[&current.0]).await;
    let load = Load::start(bench.http());
    for _ in 0..40 {
        let next = watchful_dyno("web.1", Arc::clone(&late)).await;
        bench.serve(&[&next.0]).await;
        let (old, is_drained) = std::mem::replace(&mut current, next);
        assert_eq!(within(bench.feed.wait_drained(old.id)).await, Wait::Done);
        is_drained.store(true, Ordering::SeqCst);
        // The dyno is killed with everything it has.
        drop(old);
    }
    let (sent, failed) = load.end().await;
    assert!(sent >= 2000);
    assert_eq!((failed, late.load(Ordering::SeqCst)), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_tables_flip() {
    let mut bench = Bench::new().await;
    let dynos = [
        Dyno::named("web.1").await,
        Dyno::named("web.2").await,
        Dyno::named("web.3").await,
    ];
    bench.serve(&[&dynos[0]]).await;
    let load = Load::start(bench.http());
    for flip in 0..200 {
        // Not waiting for the router: it may skip tables.
        let table = bench.table(
            AppState::Serving,
            &[&dynos[flip % 3], &dynos[(flip + 1) % 3]],
        );
        bench.feed.publish(table);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let (sent, failed) = load.end().await;
    assert!(sent >= 2000);
    assert_eq!(failed, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dyno_is_drained_when_its_last_request_has_ended() {
    let mut bench = Bench::new().await;
    let (asked, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (told, waits) = (Arc::clone(&asked), Arc::clone(&go));
    let old = Dyno::answering("web.1", move |_| {
        let (told, waits) = (Arc::clone(&told), Arc::clone(&waits));
        async move {
            told.notify_one();
            waits.notified().await;
            Response::new(text("old"))
        }
    })
    .await;
    let new = Dyno::named("web.1").await;
    bench.serve(&[&old]).await;
    let request = tokio::spawn(get(bench.http(), "/"));
    within(asked.notified()).await;
    assert!(!bench.feed.is_drained(old.id), "the table names it");
    bench.serve(&[&new]).await;
    assert!(!bench.feed.is_drained(old.id), "a request is in flight");
    assert_eq!(body(&get(bench.http(), "/").await), &new.name);
    go.notify_one();
    assert_eq!(within(bench.feed.wait_drained(old.id)).await, Wait::Done);
    assert_eq!(body(&request.await.unwrap()), "old");
    assert!(bench.feed.is_drained(old.id));
    assert!(!bench.feed.is_drained(new.id));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_never_ends_is_cut_after_the_drain_time() {
    let mut bench = Bench::with(|timeouts| timeouts.drain = Duration::from_millis(100)).await;
    let asked = Arc::new(Notify::new());
    let told = Arc::clone(&asked);
    let old = Dyno::answering("web.1", move |_| {
        told.notify_one();
        std::future::pending()
    })
    .await;
    let new = Dyno::named("web.1").await;
    bench.serve(&[&old]).await;
    let request = tokio::spawn(get(bench.http(), "/"));
    within(asked.notified()).await;
    bench.serve(&[&new]).await;
    assert_eq!(within(bench.feed.wait_drained(old.id)).await, Wait::Done);
    assert!(request.await.unwrap().contains("Code H13 "));
}
