//! Following a log while it is written.

use std::collections::HashSet;

use futures_util::StreamExt;
use logs::{Filter, LogLine, LogSource};

use crate::{Bench, line, next};

#[tokio::test]
async fn a_tail_shows_the_backlog_then_each_new_line() {
    let bench = Bench::new();
    let logs = bench.open();
    logs.append(bench.app, vec![line("old"), line("recent")])
        .await
        .unwrap();
    let filter = Filter {
        lines: 1,
        follow: true,
        ..Filter::default()
    };
    let mut tail = logs.tail(bench.app, filter).await.unwrap();
    logs.append(bench.app, vec![line("new")]).await.unwrap();
    assert_eq!(next(&mut tail).await, "recent");
    assert_eq!(next(&mut tail).await, "new");
    logs.remove(bench.app).await.unwrap();
    assert!(tail.next().await.is_none(), "the tail ends with the app");
}

#[tokio::test]
async fn a_filter_holds_for_backlog_and_following() {
    let bench = Bench::new();
    let logs = bench.open();
    let worker = |text: &str| LogLine {
        dyno: "worker.2".to_owned(),
        ..line(text)
    };
    let router = |text: &str| LogLine {
        source: LogSource::Heroku,
        dyno: "router".to_owned(),
        ..line(text)
    };
    logs.append(bench.app, vec![worker("a"), line("b"), router("c")])
        .await
        .unwrap();
    let filter = Filter {
        lines: 10,
        follow: true,
        dyno: Some("worker".to_owned()),
        source: None,
    };
    let mut workers = logs.tail(bench.app, filter).await.unwrap();
    let filter = Filter {
        lines: 10,
        follow: true,
        dyno: None,
        source: Some(LogSource::Heroku),
    };
    let mut heroku = logs.tail(bench.app, filter).await.unwrap();
    logs.append(bench.app, vec![line("d"), router("e"), worker("f")])
        .await
        .unwrap();
    assert_eq!(
        (next(&mut workers).await, next(&mut workers).await),
        ("a".into(), "f".into())
    );
    assert_eq!(
        (next(&mut heroku).await, next(&mut heroku).await),
        ("c".into(), "e".into())
    );
}

#[tokio::test]
async fn a_slow_reader_is_told_what_it_lost_and_holds_nobody_up() {
    let bench = Bench::new();
    let logs = bench.open();
    let filter = Filter {
        follow: true,
        ..Filter::default()
    };
    let mut tail = logs.tail(bench.app, filter).await.unwrap();
    let lines = (0..5000).map(|n| line(format!("{n}"))).collect();
    logs.append(bench.app, lines).await.unwrap();
    let lost = next(&mut tail).await;
    assert_eq!(
        lost,
        "Error L10 (output buffer overflow): 3976 messages dropped since 2026-02-19T08:00:00+00:00."
    );
    assert_eq!(next(&mut tail).await, "3976");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_begun_amid_appends_misses_and_repeats_nothing() {
    let bench = Bench::new();
    let logs = bench.open();
    let writer = tokio::spawn({
        let (logs, app) = (logs.clone(), bench.app);
        async move {
            for n in 0..400 {
                logs.append(app, vec![line(format!("{n}"))]).await.unwrap();
            }
        }
    });
    while bench.texts(&logs, 1).await.is_empty() {
        tokio::task::yield_now().await;
    }
    let filter = Filter {
        lines: 1500,
        follow: true,
        ..Filter::default()
    };
    let mut tail = logs.tail(bench.app, filter).await.unwrap();
    let first: u64 = next(&mut tail).await.parse().unwrap();
    for n in first + 1..400 {
        assert_eq!(next(&mut tail).await, n.to_string());
    }
    writer.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_lose_nothing() {
    let mut bench = Bench::new();
    bench.max_bytes = 1 << 20;
    let logs = bench.open();
    let writers = (0..8).map(|writer| {
        let (logs, app) = (logs.clone(), bench.app);
        tokio::spawn(async move {
            for n in 0..50 {
                logs.append(app, vec![line(format!("{writer} {n}"))])
                    .await
                    .unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    drop(logs);
    let kept: HashSet<_> = bench.texts(&bench.open(), 1500).await.into_iter().collect();
    assert_eq!(kept.len(), 400);
}
