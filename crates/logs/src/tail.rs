//! Reading an app's log: the last lines, then each new one. A reader that is too slow loses lines,
//! is told so, and holds nobody up.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use api::clock::{Clock, Time};
use futures_util::Stream;
use tokio_stream::wrappers::{BroadcastStream, errors::BroadcastStreamRecvError};

use crate::{
    app_log::AppLog,
    error::LogError,
    line::{LogLine, LogSource},
    segment,
};

/// More lines of backlog are not given (Heroku: 1500).
const MAX_BACKLOG_LINES: usize = 1500;

/// Which lines to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// How many of the last lines that pass, at most 1500.
    pub lines: usize,
    /// Whether to go on with new lines, until the app's log is removed.
    pub follow: bool,
    /// Only this dyno (`web.1`, `router`), or the dynos of this process type (`web`).
    pub dyno: Option<String>,
    /// Only this source.
    pub source: Option<LogSource>,
}

impl Filter {
    /// Whether a line passes.
    pub fn matches(&self, line: &LogLine) -> bool {
        self.source.is_none_or(|source| source == line.source)
            && self.dyno.as_ref().is_none_or(|wanted| {
                *wanted == line.dyno
                    || line
                        .dyno
                        .split_once('.')
                        .is_some_and(|(process_type, _)| wanted == process_type)
            })
    }
}

/// A stream of log lines, see [`crate::Logs::tail`]. Safe to drop at any time.
#[derive(Debug)]
pub struct Tail {
    backlog: VecDeque<Arc<LogLine>>,
    following: Option<BroadcastStream<Arc<LogLine>>>,
    filter: Filter,
    clock: Clock,
    /// When the newest line given was said: lines dropped are newer than this.
    last_at: Time,
}

/// Blocks on the disk.
pub(crate) fn start(log: &AppLog, filter: Filter, clock: Clock) -> Result<Tail, LogError> {
    let snapshot = log.snapshot(filter.follow)?;
    let wanted = filter.lines.min(MAX_BACKLOG_LINES);
    let mut backlog = VecDeque::new();
    for segment in snapshot.segments.iter().rev() {
        if backlog.len() >= wanted {
            break;
        }
        let lines = segment::read_lines(segment)?;
        let passing = lines.into_iter().rev().filter(|line| filter.matches(line));
        for line in passing.take(wanted - backlog.len()) {
            backlog.push_front(Arc::new(line));
        }
    }
    let following = snapshot.following.map(BroadcastStream::new);
    let last_at = clock.now();
    Ok(Tail {
        backlog,
        following,
        filter,
        clock,
        last_at,
    })
}

impl Tail {
    /// What Heroku's log service says when a reader was too slow.
    fn overflow(&self, dropped: u64) -> LogLine {
        let since = self.last_at.to_rfc3339().replace('Z', "+00:00");
        LogLine {
            at: self.clock.now(),
            source: LogSource::Heroku,
            dyno: "logplex".to_owned(),
            text: format!(
                "Error L10 (output buffer overflow): {dropped} messages dropped since {since}."
            ),
            cursor: None,
        }
    }
}

impl Stream for Tail {
    type Item = Arc<LogLine>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(line) = self.backlog.pop_front() {
                self.last_at = line.at;
                return Poll::Ready(Some(line));
            }
            let Some(following) = &mut self.following else {
                return Poll::Ready(None);
            };
            match std::task::ready!(Pin::new(following).poll_next(context)) {
                None => return Poll::Ready(None),
                Some(Ok(line)) if self.filter.matches(&line) => {
                    self.last_at = line.at;
                    return Poll::Ready(Some(line));
                }
                Some(Ok(_)) => {}
                Some(Err(BroadcastStreamRecvError::Lagged(dropped))) => {
                    return Poll::Ready(Some(Arc::new(self.overflow(dropped))));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters() {
        let line = LogLine {
            at: Time::default(),
            source: LogSource::App,
            dyno: "web.1".to_owned(),
            text: String::new(),
            cursor: None,
        };
        let check = |dyno: Option<&str>, source, passes| {
            let filter = Filter {
                dyno: dyno.map(str::to_owned),
                source,
                ..Filter::default()
            };
            assert_eq!(filter.matches(&line), passes, "{filter:?}");
        };
        check(None, None, true);
        check(Some("web.1"), Some(LogSource::App), true);
        check(Some("web"), None, true);
        check(Some("we"), None, false);
        check(Some("web.2"), None, false);
        check(Some("web"), Some(LogSource::Heroku), false);
    }
}
