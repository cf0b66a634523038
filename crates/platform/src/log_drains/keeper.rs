//! Keeps a sender running for each drain there is.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use api::ids::LogDrainId;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};
use logs::{Filter, LogLine, Tail};
use store::LogDrain;
use tokio::{
    io::AsyncWriteExt as _,
    task::JoinHandle,
    time::{sleep, timeout},
};
use uuid::Uuid;

use super::{SCHEMES, frame};
use crate::{
    Platform,
    error::Result,
    outbound::{Address, OutboundError, Stream},
};

/// Drains are looked for this often even if nobody says that they changed.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Lines sent at once.
const MOST_LINES: usize = 500;
/// For writing a batch over syslog.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// A sender, which ends with this.
struct Sending(JoinHandle<()>);

impl Drop for Sending {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Looks which drains there are, for ever.
#[expect(clippy::infinite_loop, reason = "runs as long as the platform")]
pub(crate) async fn keep(platform: Platform) {
    let mut senders: BTreeMap<LogDrainId, Sending> = BTreeMap::new();
    loop {
        if let Err(error) = look(&platform, &mut senders).await {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "cannot look for log drains");
        }
        let changed = platform.drains_changed.notified();
        // Whichever it is, we look again.
        drop(timeout(LOOK_EVERY, changed).await);
    }
}

async fn look(platform: &Platform, senders: &mut BTreeMap<LogDrainId, Sending>) -> Result<()> {
    let drains = platform.store.all_log_drains().await?;
    senders.retain(|id, sending| {
        drains.iter().any(|drain| drain.id == *id) && !sending.0.is_finished()
    });
    for drain in drains {
        if senders.contains_key(&drain.id) {
            continue;
        }
        let url = platform.store.log_drain_url(&drain).await?;
        let Some(address) = Address::parse(&url, SCHEMES) else {
            continue;
        };
        let filter = Filter {
            follow: true,
            ..Filter::default()
        };
        let tail = platform.logs.tail(drain.app, filter).await?;
        let sender = Sender {
            platform: platform.clone(),
            address,
            stream: None,
            drain,
        };
        let id = sender.drain.id;
        senders.insert(id, Sending(tokio::spawn(sender.run(tail))));
    }
    Ok(())
}

struct Sender {
    platform: Platform,
    drain: LogDrain,
    address: Address,
    /// Over syslog one connection takes all.
    stream: Option<Box<dyn Stream>>,
}

/// Why a batch was not taken.
#[derive(Debug, thiserror::Error)]
enum DrainError {
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    #[error("the drain answered {0}")]
    Refused(u16),
}

impl Sender {
    /// Sends until the app is gone. What cannot be sent is tried again, ever more rarely; what the
    /// log's own buffer cannot hold meanwhile is lost, and a line says how much.
    async fn run(mut self, tail: Tail) {
        let mut batches = tail.ready_chunks(MOST_LINES);
        while let Some(lines) = batches.next().await {
            let mut wait = FIRST_WAIT;
            while let Err(error) = self.send(&lines).await {
                self.stream = None;
                self.complain(&error);
                sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
            }
        }
    }

    fn complain(&self, error: &DrainError) {
        let (drain, host) = (&self.drain.token, &self.address.host);
        let error = error as &dyn std::error::Error;
        tracing::warn!(drain, host, error, "a log drain takes no lines");
    }

    async fn send(&mut self, lines: &[Arc<LogLine>]) -> Result<(), DrainError> {
        if self.address.scheme.starts_with("http") {
            self.post(lines).await
        } else {
            self.write(lines).await
        }
    }

    async fn post(&self, lines: &[Arc<LogLine>]) -> Result<(), DrainError> {
        let mut headers = HeaderMap::new();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/logplex-1"),
        );
        headers.insert("logplex-msg-count", HeaderValue::from(lines.len()));
        let texts = [
            ("logplex-drain-token", self.drain.token.clone()),
            (
                "logplex-frame-id",
                Uuid::new_v4().simple().to_string().to_uppercase(),
            ),
        ];
        for (name, text) in texts {
            let value = HeaderValue::from_str(&text).expect("hexadecimal digits, dots and dashes");
            headers.insert(name, value);
        }
        let frames = Bytes::from(frames(lines, "host"));
        match self
            .platform
            .post_out(&self.address, headers, frames)
            .await?
        {
            200..=299 => Ok(()),
            status => Err(DrainError::Refused(status)),
        }
    }

    async fn write(&mut self, lines: &[Arc<LogLine>]) -> Result<(), DrainError> {
        let is_encrypted = self.address.scheme == "syslog+tls";
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.platform.reach(&self.address, is_encrypted).await?,
        };
        let frames = frames(lines, &self.drain.token);
        let writing = async {
            stream.write_all(&frames).await?;
            stream.flush().await
        };
        let written = timeout(WRITE_TIMEOUT, writing).await;
        let written = written.map_err(|_| OutboundError::Timeout)?;
        written.map_err(OutboundError::Exchange)?;
        self.stream = Some(stream);
        Ok(())
    }
}

fn frames(lines: &[Arc<LogLine>], host: &str) -> Vec<u8> {
    let mut frames = Vec::new();
    for line in lines {
        frame::push(&mut frames, host, line);
    }
    frames
}
