//! The log room on real files.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod segments;
mod spool;
mod tail;

use std::time::Duration;

use api::{
    clock::{Clock, Time},
    ids::{AppId, DynoId},
};
use futures_util::StreamExt;
use logs::{Filter, LogLine, LogSource, Logs, LogsConfig, Tail};

/// A log directory of its own with small segments.
struct Bench {
    dir: tempfile::TempDir,
    app: AppId,
    segment_bytes: u64,
    max_bytes: u64,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self {
            dir,
            app: AppId::new(),
            segment_bytes: 4096,
            max_bytes: 16_384,
        }
    }

    /// As a newly started process finds it.
    fn open(&self) -> Logs {
        Logs::open(LogsConfig {
            dir: self.dir.path().to_owned(),
            max_bytes_per_app: self.max_bytes,
            segment_bytes: self.segment_bytes,
            clock: Clock::simulated(Time::from_micros(1_771_488_000_000_000)),
        })
        .unwrap()
    }

    fn segments(&self) -> Vec<std::path::PathBuf> {
        let mut paths: Vec<_> = std::fs::read_dir(self.dir.path().join(self.app.to_string()))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        paths.sort();
        paths
    }

    async fn texts(&self, logs: &Logs, lines: usize) -> Vec<String> {
        let filter = Filter {
            lines,
            ..Filter::default()
        };
        let tail = logs.tail(self.app, filter).await.unwrap();
        tail.map(|line| line.text.clone()).collect().await
    }
}

fn line(text: impl Into<String>) -> LogLine {
    LogLine {
        at: Time::from_micros(1_771_488_000_000_000),
        source: LogSource::App,
        dyno: "web.1".to_owned(),
        text: text.into(),
        cursor: None,
    }
}

/// Lines `from..to` of a dyno's numbered stream.
fn numbered(dyno: DynoId, from: u64, to: u64) -> Vec<LogLine> {
    (from..to)
        .map(|n| LogLine {
            cursor: Some((dyno, n)),
            ..line(format!("line {n}"))
        })
        .collect()
}

/// The next line, which must come.
async fn next(tail: &mut Tail) -> String {
    let line = tokio::time::timeout(Duration::from_secs(10), tail.next()).await;
    line.expect("a line comes")
        .expect("the tail goes on")
        .text
        .clone()
}
