//! The router's access lines: from its spool into each app's log, each once.

use std::{collections::BTreeMap, time::Duration};

use api::ids::{AppId, DynoId};
use logs::{
    LogLine, LogSource,
    spool::{Entry, Reader},
};
use router::wire::AccessRecord;
use store::StoreError;

use crate::Platform;

/// Entries taken in at once.
const BATCH: usize = 1024;
/// Wait after the spool could not be read.
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(1);

/// Reads the spool for ever.
#[expect(clippy::infinite_loop, reason = "runs as long as the platform")]
pub(super) async fn take_in(platform: Platform) {
    loop {
        match Reader::open(&platform.settings.router_spool_dir) {
            Ok(reader) => follow(&platform, reader).await,
            Err(error) => warn(&error),
        }
        tokio::time::sleep(PAUSE_AFTER_ERROR).await;
    }
}

async fn follow(platform: &Platform, mut reader: Reader) {
    let spool = reader.id();
    loop {
        let entries = match reader.read_some(BATCH).await {
            Ok(entries) => entries,
            Err(error) => return warn(&error),
        };
        for (app, lines) in by_app(spool, entries) {
            // A late line must not bring back the log of a deleted app.
            if let Err(StoreError::NotFound { .. }) = platform.store.app(app).await {
                continue;
            }
            if let Err(error) = platform.logs.append(app, lines).await {
                return warn(&error);
            }
        }
        if let Err(error) = reader.acknowledge() {
            return warn(&error);
        }
    }
}

fn by_app(spool: DynoId, entries: Vec<Entry>) -> BTreeMap<AppId, Vec<LogLine>> {
    let mut lines: BTreeMap<AppId, Vec<LogLine>> = BTreeMap::new();
    for entry in entries {
        match entry {
            Entry::Record { sequence, bytes } => match AccessRecord::decode(&bytes) {
                Ok(record) => lines.entry(record.app).or_default().push(LogLine {
                    at: record.at,
                    source: LogSource::Heroku,
                    dyno: "router".to_owned(),
                    text: record.line,
                    cursor: Some((spool, sequence)),
                }),
                Err(error) => warn(&error),
            },
            Entry::Dropped { count } => tracing::warn!(count, "the router dropped access lines"),
        }
    }
    lines
}

fn warn(error: &(dyn std::error::Error + 'static)) {
    tracing::warn!(error, "cannot take in the router's access lines");
}
