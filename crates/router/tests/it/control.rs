//! The router without its server, the server without its router, and both after a restart.

use std::{os::unix::fs::PermissionsExt, sync::Arc, time::Duration};

use hyper::Response;
use router::{
    Feed, Router, Stop,
    feed::Wait,
    wire::{
        AppRoutes, AppState, AppTls, Backend, FromRouter, MessageReader, PROTOCOL, RouteTable,
        ToRouter, write_message,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpSocket, TcpStream, UnixListener, UnixStream},
    sync::Notify,
};

use crate::support::{Bench, Dyno, HOST, body, eventually, file, get, start, status, text, within};

#[tokio::test(flavor = "multi_thread")]
async fn the_last_known_routes_outlive_server_and_router() {
    let mut bench = Bench::new().await;
    let dyno = Dyno::named("web.1").await;
    bench.serve(&[&dyno]).await;
    // The server dies; nothing changes.
    bench.feed = Feed::connect(file(&bench, "nowhere.sock"));
    assert_eq!(body(&get(bench.http(), "/").await), "web.1");
    // The router dies, too.
    bench.restart().await;
    assert_eq!(body(&get(bench.http(), "/").await), "web.1");
    // A new server starts counting at 1.
    bench.feed = Feed::connect(bench.config.socket.clone());
    let mut table = bench.table(AppState::Maintenance, &[]);
    table.version = 1;
    bench.feed.publish(table);
    assert_eq!(within(bench.feed.wait_applied(1)).await, Wait::Done);
    assert_eq!(status(&get(bench.http(), "/").await), "503");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_feed_finds_a_new_router_and_sends_it_the_newest_table() {
    let mut bench = Bench::new().await;
    let dyno = Dyno::named("web.1").await;
    bench.route(AppState::Blank, &[]).await;
    bench.stop().await;
    std::fs::remove_file(&bench.config.routes).unwrap();
    let table = bench.table(AppState::Serving, &[&dyno]);
    let version = table.version;
    bench.feed.publish(table);
    bench.router = Some(start(bench.config.clone()).await);
    let feed = bench.feed.clone();
    eventually("connected", || feed.is_connected()).await;
    assert_eq!(within(feed.wait_applied(version)).await, Wait::Done);
    assert_eq!(
        feed.addresses().unwrap(),
        bench.router.as_ref().unwrap().addresses()
    );
    assert_eq!(body(&get(bench.http(), "/").await), "web.1");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_a_router_that_is_not_there() {
    let directory = tempfile::tempdir().unwrap();
    let feed = Feed::connect(directory.path().join("router.sock"));
    feed.publish(RouteTable {
        version: 1,
        ..RouteTable::default()
    });
    assert_eq!(within(feed.wait_applied(1)).await, Wait::NoRouter);
    assert_eq!(
        within(feed.wait_drained(api::ids::DynoId::new())).await,
        Wait::NoRouter
    );
    assert_eq!(feed.addresses(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dyno_has_not_drained_while_a_table_with_it_is_on_its_way() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("router.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let feed = Feed::connect(socket);
    let dyno = Dyno::named("web.1").await;
    let table = |version, backends| RouteTable {
        version,
        apps: vec![AppRoutes {
            app: api::ids::AppId::new(),
            name: "example".parse().unwrap(),
            hosts: Vec::new(),
            state: AppState::Serving,
            backends,
            tls: AppTls::default(),
            extras: None,
        }],
        ..RouteTable::default()
    };
    let (stream, _) = within(listener.accept()).await.unwrap();
    let (reader, mut writer) = stream.into_split();
    let mut messages = MessageReader::new(BufReader::new(reader));
    let address = ([127, 0, 0, 1], 9).into();
    // One of the release before, which takes whole tables.
    let hello = FromRouter::Hello {
        protocol: 2,
        version: 0,
        http_addr: address,
        https_addr: address,
        pid: 1,
    };
    write_message(&mut writer, &hello).await.unwrap();
    let greeting: Option<ToRouter> = within(messages.next()).await.unwrap();
    assert_eq!(greeting, Some(ToRouter::Hello { protocol: PROTOCOL }));
    let backend = Backend {
        dyno: dyno.id,
        name: "web.1".parse().unwrap(),
        address,
        sleep: None,
    };
    // The router knows a table without the dyno, takes one with it, and one without it follows.
    for (version, backends) in [(1, vec![]), (2, vec![backend]), (3, vec![])] {
        feed.publish(table(version, backends));
        if version == 3 {
            assert!(!feed.is_drained(dyno.id), "requests may still come");
            let applied = FromRouter::Applied { version: 2 };
            write_message(&mut writer, &applied).await.unwrap();
        }
        let taken: Option<ToRouter> = within(messages.next()).await.unwrap();
        assert!(matches!(taken, Some(ToRouter::Routes(taken)) if taken.version == version));
        if version != 2 {
            write_message(&mut writer, &FromRouter::Applied { version })
                .await
                .unwrap();
            assert_eq!(within(feed.wait_applied(version)).await, Wait::Done);
        }
    }
    assert_eq!(within(feed.wait_drained(dyno.id)).await, Wait::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_is_private_and_nonsense_on_it_harms_nobody() {
    let mut bench = Bench::new().await;
    let dyno = Dyno::named("web.1").await;
    bench.serve(&[&dyno]).await;
    let mode = std::fs::metadata(&bench.config.socket)
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    for nonsense in [
        "nonsense\n",
        "{\"message\":\"routes\",\"version\":9}\n",
        "{\"unfinished",
    ] {
        let mut stream = UnixStream::connect(&bench.config.socket).await.unwrap();
        stream.write_all(nonsense.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        // The router says hello and hangs up.
        let mut answer = String::new();
        within(stream.read_to_string(&mut answer)).await.unwrap();
        assert!(answer.starts_with("{\"message\":\"hello\""), "{answer}");
    }
    assert_eq!(body(&get(bench.http(), "/").await), "web.1");
    // The feed comes back by itself.
    let version = {
        let table = bench.table(AppState::Serving, &[]);
        let version = table.version;
        bench.feed.publish(table);
        version
    };
    let feed = bench.feed.clone();
    let applied = async { while feed.wait_applied(version).await != Wait::Done {} };
    within(applied).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_router_is_refused_the_ports() {
    let bench = Bench::new().await;
    let mut config = bench.config.clone();
    config.http = bench.http();
    config.socket = file(&bench, "other.sock");
    config.spool = file(&bench, "other-spool");
    let refused = tokio::task::spawn_blocking(|| Router::start(config))
        .await
        .unwrap();
    let error = refused.expect_err("the port is taken").to_string();
    assert_eq!(error, format!("cannot accept requests on {}", bench.http()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_the_parent_holds_is_taken_again_and_again() {
    let mut bench = Bench::new().await;
    let dyno = Dyno::named("web.1").await;
    bench.serve(&[&dyno]).await;
    bench.stop().await;
    // Bound, not listening: so that nobody else takes the port while the router is away.
    let held = TcpSocket::new_v4().unwrap();
    held.set_reuseport(true).unwrap();
    held.set_reuseaddr(true).unwrap();
    held.bind(bench.config.http).unwrap();
    bench.config.http = held.local_addr().unwrap();
    for _ in 0..3 {
        bench.router = Some(start(bench.config.clone()).await);
        assert_eq!(bench.http(), bench.config.http);
        for _ in 0..5 {
            assert_eq!(body(&get(bench.http(), "/").await), "web.1");
        }
        bench.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graceful_stop_lets_requests_end() {
    let mut bench = Bench::new().await;
    let (asked, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (told, waits) = (Arc::clone(&asked), Arc::clone(&go));
    let dyno = Dyno::answering("web.1", move |_| {
        let (told, waits) = (Arc::clone(&told), Arc::clone(&waits));
        async move {
            told.notify_one();
            waits.notified().await;
            Response::new(text("served"))
        }
    })
    .await;
    bench.serve(&[&dyno]).await;
    let address = bench.http();
    // One connection without a request, one between two requests; neither may hold the router up.
    let idle = TcpStream::connect(address).await.unwrap();
    let request = tokio::spawn(get(address, "/"));
    within(asked.notified()).await;
    let mut router = bench.router.take().unwrap();
    router.stop(Stop::Gracefully);
    let refuses = || std::net::TcpStream::connect(address).is_err();
    eventually("nothing more is accepted", refuses).await;
    go.notify_one();
    assert_eq!(body(&request.await.unwrap()), "served");
    tokio::time::timeout(Duration::from_secs(4), router.wait_ended())
        .await
        .unwrap()
        .unwrap();
    drop(idle);
    // Its line was written before the end.
    assert!(bench.line().await.starts_with("at=info method=GET "));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_at_once_waits_for_nobody() {
    let mut bench = Bench::new().await;
    let asked = Arc::new(Notify::new());
    let told = Arc::clone(&asked);
    let dyno = Dyno::answering("web.1", move |_| {
        told.notify_one();
        std::future::pending()
    })
    .await;
    bench.serve(&[&dyno]).await;
    let mut stream = TcpStream::connect(bench.http()).await.unwrap();
    let head = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    within(asked.notified()).await;
    let mut router = bench.router.take().unwrap();
    router.stop(Stop::AtOnce);
    within(router.wait_ended()).await.unwrap();
    assert!(bench.line().await.contains("code=H24"));
}

#[tokio::test(flavor = "multi_thread")]
async fn run_ends_on_sigterm() {
    let mut bench = Bench::new().await;
    bench.stop().await;
    let config = bench.config.clone();
    let running = tokio::task::spawn_blocking(|| router::run(config));
    // It listens for signals before it accepts anything.
    let feed = Feed::connect(bench.config.socket.clone());
    within(feed.wait_addresses()).await;
    let pid = std::process::id().to_string();
    let sent = std::process::Command::new("kill")
        .args(["-TERM", &pid])
        .status()
        .unwrap();
    assert!(sent.success());
    within(running).await.unwrap().unwrap();
}
