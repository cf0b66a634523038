//! The table entry by entry, told by a server by hand: what does not fit together changes nothing,
//! and what is malformed hurts nobody else.

use std::slice;

use api::ids::AppId;
use router::{
    Feed,
    feed::Wait,
    wire::{AppState, Entry, EntryKey, FromRouter, MessageReader, PROTOCOL, ToRouter},
};
use tokio::{
    io::{AsyncWriteExt, BufReader},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use crate::support::{Bench, Dyno, body, exchange, get, status, within};

struct Server {
    messages: MessageReader<BufReader<OwnedReadHalf>>,
    writer: OwnedWriteHalf,
}

impl Server {
    /// Says hello to the router, which lets go of any other server.
    async fn connect(bench: &mut Bench) -> Self {
        bench.feed = Feed::connect(bench.directory.path().join("nowhere.sock"));
        let stream = UnixStream::connect(&bench.config.socket).await.unwrap();
        let (reader, writer) = stream.into_split();
        let mut server = Self {
            messages: MessageReader::new(BufReader::new(reader)),
            writer,
        };
        let hello = server.heard().await;
        assert!(matches!(
            hello,
            FromRouter::Hello {
                protocol: PROTOCOL,
                ..
            }
        ));
        server.say(&ToRouter::Hello { protocol: PROTOCOL }).await;
        server
    }

    async fn say(&mut self, message: &ToRouter) {
        self.say_line(&serde_json::to_string(message).unwrap())
            .await;
    }

    async fn say_line(&mut self, line: &str) {
        self.writer.write_all(line.as_bytes()).await.unwrap();
        self.writer.write_all(b"\n").await.unwrap();
    }

    async fn version(&mut self, version: u64, after: Option<u64>, entries: &[Entry]) {
        self.say(&ToRouter::Begin { version, after }).await;
        for entry in entries {
            let entry = entry.clone();
            self.say(&ToRouter::Set { entry }).await;
        }
        self.say(&ToRouter::End { version }).await;
    }

    /// The next message that is not about how busy apps are, and how fast.
    async fn heard(&mut self) -> FromRouter {
        loop {
            match within(self.messages.next()).await.unwrap().unwrap() {
                FromRouter::Activity { .. } | FromRouter::ServiceTimes { .. } => {}
                message => return message,
            }
        }
    }

    /// Waits to be told how long so many requests took.
    async fn expect_times_of(&mut self, requests: u64) {
        loop {
            let message = within(self.messages.next()).await.unwrap().unwrap();
            if let FromRouter::ServiceTimes { counts } = message
                && counts.iter().sum::<u64>() == requests
            {
                return;
            }
        }
    }

    async fn expect_applied(&mut self, version: u64) {
        assert_eq!(self.heard().await, FromRouter::Applied { version });
    }
}

/// An app on a host of its own.
fn app(host: &str, dyno: &Dyno) -> Entry {
    Entry::App(router::wire::AppRoutes {
        app: AppId::new(),
        name: "example".parse().unwrap(),
        hosts: vec![host.to_owned()],
        state: AppState::Serving,
        backends: vec![dyno.backend()],
        tls: router::wire::AppTls::default(),
        extras: None,
    })
}

async fn ask(bench: &Bench, host: &str) -> String {
    let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let answer = exchange(bench.http(), &request).await;
    match status(&answer) {
        "200" => body(&answer).to_owned(),
        status => status.to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_touches_what_it_names_and_a_whole_table_takes_the_rest_away() {
    let mut bench = Bench::new().await;
    let (one, two) = (Dyno::named("web.1").await, Dyno::named("web.2").await);
    let (first, second) = (app("one.test", &one), app("*.two.test", &two));
    let mut server = Server::connect(&mut bench).await;
    server
        .version(5, None, &[first.clone(), second.clone()])
        .await;
    server.expect_applied(5).await;
    assert_eq!(ask(&bench, "one.test").await, "web.1");
    assert_eq!(ask(&bench, "any.two.test").await, "web.2");
    server.expect_times_of(2).await;
    let (mut third, key) = (app("three.test", &two), first.key());
    server
        .say(&ToRouter::Begin {
            version: 6,
            after: Some(5),
        })
        .await;
    server
        .say(&ToRouter::Set {
            entry: third.clone(),
        })
        .await;
    server.say(&ToRouter::Unset { key }).await;
    assert_eq!(
        ask(&bench, "three.test").await,
        "404",
        "before the end nothing counts"
    );
    server.say(&ToRouter::End { version: 6 }).await;
    server.expect_applied(6).await;
    assert_eq!(ask(&bench, "one.test").await, "404");
    assert_eq!(ask(&bench, "three.test").await, "web.2");
    // A host that moves, told by its new owner first.
    if let Entry::App(routes) = &mut third {
        routes.hosts.clear();
    }
    server
        .version(7, Some(6), &[app("three.test", &one), third])
        .await;
    server.expect_applied(7).await;
    assert_eq!(ask(&bench, "three.test").await, "web.1");
    // A router that starts again knows all of it; a server that does, tells all of it.
    drop(server);
    bench.restart().await;
    assert_eq!(ask(&bench, "three.test").await, "web.1");
    let mut server = Server::connect(&mut bench).await;
    server.version(1, None, &[second]).await;
    server.expect_applied(1).await;
    assert_eq!(ask(&bench, "three.test").await, "404");
    assert_eq!(ask(&bench, "any.two.test").await, "web.2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_does_not_follow_is_not_applied() {
    let mut bench = Bench::new().await;
    let dyno = Dyno::named("web.1").await;
    let (one, two) = (app("one.test", &dyno), app("two.test", &dyno));
    let mut server = Server::connect(&mut bench).await;
    server.version(2, Some(1), slice::from_ref(&one)).await;
    assert_eq!(
        server.heard().await,
        FromRouter::Resync,
        "it knows nothing of 1"
    );
    server.version(2, None, slice::from_ref(&one)).await;
    server.expect_applied(2).await;
    server.version(4, Some(3), slice::from_ref(&two)).await;
    assert_eq!(server.heard().await, FromRouter::Resync, "3 is missing");
    assert_eq!(ask(&bench, "two.test").await, "404");
    server
        .say(&ToRouter::Begin {
            version: 5,
            after: Some(2),
        })
        .await;
    server.say(&ToRouter::End { version: 6 }).await;
    assert_eq!(server.heard().await, FromRouter::Resync, "another end");
    // A server that dies within a change has changed nothing.
    server
        .say(&ToRouter::Begin {
            version: 3,
            after: Some(2),
        })
        .await;
    server.say(&ToRouter::Set { entry: two.clone() }).await;
    server.say(&ToRouter::Unset { key: one.key() }).await;
    drop(server);
    let mut server = Server::connect(&mut bench).await;
    assert_eq!(ask(&bench, "one.test").await, "web.1");
    assert_eq!(ask(&bench, "two.test").await, "404");
    server.version(3, Some(2), &[]).await;
    assert_eq!(
        server.heard().await,
        FromRouter::Resync,
        "of another connection"
    );
    server.version(3, None, &[one, two]).await;
    server.expect_applied(3).await;
    assert_eq!(ask(&bench, "two.test").await, "web.1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_entry_hurts_only_its_own_app() {
    let mut bench = Bench::new().await;
    let dyno = Dyno::named("web.1").await;
    let (one, two) = (app("one.test", &dyno), app("two.test", &dyno));
    let mut server = Server::connect(&mut bench).await;
    server.version(1, None, &[one.clone(), two.clone()]).await;
    server.expect_applied(1).await;
    let malformed = serde_json::to_string(&ToRouter::Set { entry: one.clone() })
        .unwrap()
        .replace("serving", "juggling");
    let other = app("other.test", &dyno);
    for after in [Some(1), None] {
        server.say(&ToRouter::Begin { version: 2, after }).await;
        server.say_line(&malformed).await;
        server
            .say(&ToRouter::Set {
                entry: other.clone(),
            })
            .await;
        server.say(&ToRouter::End { version: 2 }).await;
        let rejected = server.heard().await;
        let FromRouter::Rejected { key, error } = rejected else {
            panic!("{rejected:?}")
        };
        assert_eq!(key, Some(one.key()));
        assert!(error.contains("juggling"), "{error}");
        server.expect_applied(2).await;
        assert_eq!(
            ask(&bench, "one.test").await,
            "web.1",
            "its last good entry"
        );
        assert_eq!(ask(&bench, "other.test").await, "web.1");
    }
    // The whole table did not name it.
    assert_eq!(ask(&bench, "two.test").await, "404");
    // An entry whose app cannot be told either: nobody may lose their routes by it.
    server
        .say(&ToRouter::Begin {
            version: 3,
            after: None,
        })
        .await;
    server
        .say_line("{\"message\":\"set\",\"entry\":{\"app\":{\"app\":\"?\"}}}")
        .await;
    server.say(&ToRouter::End { version: 3 }).await;
    assert!(matches!(
        server.heard().await,
        FromRouter::Rejected { key: None, .. }
    ));
    server.expect_applied(3).await;
    assert_eq!(ask(&bench, "one.test").await, "web.1");
    assert_eq!(ask(&bench, "other.test").await, "web.1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_line_on_disk_costs_its_app_alone() {
    let mut bench = Bench::new().await;
    let dyno = Dyno::named("web.1").await;
    let mut server = Server::connect(&mut bench).await;
    server
        .version(1, None, &[app("one.test", &dyno), app("two.test", &dyno)])
        .await;
    server.expect_applied(1).await;
    drop(server);
    bench.stop().await;
    let text = std::fs::read_to_string(&bench.config.routes).unwrap();
    std::fs::write(&bench.config.routes, text.replace("one.test", "own.test")).unwrap();
    bench.router = Some(crate::support::start(bench.config.clone()).await);
    assert_eq!(ask(&bench, "two.test").await, "web.1");
    assert_eq!(ask(&bench, "one.test").await, "404");
    assert_eq!(ask(&bench, "own.test").await, "404");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_feed_tells_changes_and_all_of_it_to_a_router_that_starts_again() {
    let mut bench = Bench::new().await;
    let dyno = Dyno::named("web.1").await;
    bench.serve(&[&dyno]).await;
    let other = app("other.test", &dyno);
    let feed = bench.feed.clone();
    assert!(feed.change(1_000, vec![other.clone()], Vec::new()));
    assert!(
        !feed.change(1_001, vec![other.clone()], Vec::new()),
        "no news"
    );
    assert_eq!(within(feed.wait_applied(1_000)).await, Wait::Done);
    assert_eq!(ask(&bench, "other.test").await, "web.1");
    bench.stop().await;
    std::fs::remove_file(&bench.config.routes).unwrap();
    assert!(feed.change(1_001, Vec::new(), vec![other.key()]));
    bench.router = Some(crate::support::start(bench.config.clone()).await);
    let applied = async { while feed.wait_applied(1_001).await != Wait::Done {} };
    within(applied).await;
    assert_eq!(ask(&bench, "other.test").await, "404");
    assert_eq!(body(&get(bench.http(), "/").await), "web.1");
    assert!(feed.change(1_002, Vec::new(), vec![EntryKey::App(bench.app)]));
    assert_eq!(within(feed.wait_applied(1_002)).await, Wait::Done);
    assert_eq!(within(feed.wait_drained(dyno.id)).await, Wait::Done);
    assert_eq!(status(&get(bench.http(), "/").await), "404");
}
