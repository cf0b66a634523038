//! Follows every dyno: its log lines into the app's log, its first answer, its end.
//!
//! One task a dyno, started by whoever sees the dyno first; it only records what it sees and
//! nudges the app. After a restart of the server the reconciler's first pass starts them anew, and
//! log lines written meanwhile are read from where the log ends.

use std::time::Duration;

use api::{clock::Time, ids::DynoId};
use engine::{DynoReport, DynoState, EngineError, LogRecord, Probe, Question};
use logs::{LogLine, LogSource};
use store::{Dyno, DynoKind, StoreError};

use crate::{
    Platform,
    caller::system_change,
    error::{Error, Result},
    outputs::OutputWriter,
    plan::usage::Dropped,
};

/// Wait between two probes at first; it doubles up to [`PROBE_PAUSE_LIMIT`].
const PROBE_PAUSE: Duration = Duration::from_millis(20);
/// Longest wait between two probes.
const PROBE_PAUSE_LIMIT: Duration = Duration::from_millis(500);
/// How long one probe may wait for an answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// A dyno that accepts connections this long without answering HTTP counts as up, as on Heroku,
/// where listening is all that is asked.
const SILENT_BUT_LISTENING: Duration = Duration::from_secs(15);
/// Wait after the engine, the store or the log failed us.
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(1);
/// An ended dyno's last lines are given up after this many failures, lest it be kept for ever.
const LAST_LINES_ATTEMPTS: u32 = 10;

impl Platform {
    /// Follows a dyno until it has ended and its log is read; does nothing if it is followed or
    /// was to its end.
    pub(crate) fn watch(&self, dyno: &Dyno) {
        let Some(following) = self.watches.begin(dyno.id, self.clock.now()) else {
            return;
        };
        let platform = self.clone();
        let dyno = dyno.clone();
        tokio::spawn(async move {
            let ((), (), ()) = tokio::join!(
                platform.take_in_log(&dyno),
                async {
                    platform.await_answer(&dyno).await;
                    platform.keep_checking(&dyno).await;
                },
                platform.await_end(&dyno),
            );
            if platform.is_running(dyno.id).await {
                // The engine failed us rather than the dyno: a later pass follows it anew.
                drop(following);
                platform.nudge_after(dyno.app, PAUSE_AFTER_ERROR);
            } else {
                following.done();
                platform.nudges.nudge(dyno.app);
            }
        });
    }

    /// Whether the dyno runs, or may.
    async fn is_running(&self, dyno: DynoId) -> bool {
        !matches!(
            self.engine.inspect(dyno).await,
            Err(EngineError::UnknownDyno(_))
                | Ok(DynoReport {
                    state: DynoState::Ended(_),
                    ..
                })
        )
    }

    async fn await_end(&self, dyno: &Dyno) {
        match self.engine.wait(dyno.id).await {
            Ok(_) | Err(EngineError::UnknownDyno(_)) => {}
            Err(error) => {
                tracing::warn!(dyno = %dyno.id, error = &error as &dyn std::error::Error, "lost sight of a dyno");
            }
        }
        self.nudges.nudge(dyno.app);
    }

    /// Marks the dyno up: with a startup check when that passes, else a web dyno when it answers
    /// and any other at once.
    async fn await_answer(&self, dyno: &Dyno) {
        if dyno.state != store::DynoState::Starting {
            return;
        }
        let is_web = dyno.kind == DynoKind::Formation && dyno.process_type.is_web();
        let is_up = match self.startup_check(dyno).await {
            Some(check) => self.await_startup(dyno, &check).await,
            None => !is_web || self.probe_until_up(dyno.id).await,
        };
        if !is_up {
            return;
        }
        while let Err(error) = self.mark_up(dyno).await {
            tracing::error!(dyno = %dyno.id, error = &error as &dyn std::error::Error, "cannot record that a dyno is up");
            if !self.is_running(dyno.id).await {
                return;
            }
            tokio::time::sleep(PAUSE_AFTER_ERROR).await;
        }
        self.nudges.nudge(dyno.app);
    }

    /// Whether the dyno came to answer before it ended.
    async fn probe_until_up(&self, dyno: DynoId) -> bool {
        let mut pause = PROBE_PAUSE;
        let mut listening_since = None;
        loop {
            match self
                .engine
                .probe(dyno, &Question::default(), PROBE_TIMEOUT)
                .await
            {
                Ok(Probe::Answered { .. }) => return true,
                Ok(Probe::Silent) => {
                    let now = self.clock.now();
                    let since = *listening_since.get_or_insert(now);
                    if now.since(since) >= SILENT_BUT_LISTENING {
                        return true;
                    }
                }
                Ok(Probe::Refused) => {}
                // An engine that cannot look now may be able to later.
                Err(error) => {
                    tracing::debug!(%dyno, error = &error as &dyn std::error::Error, "cannot probe a dyno");
                }
            }
            if !self.is_running(dyno).await {
                return false;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PROBE_PAUSE_LIMIT);
        }
    }

    async fn mark_up(&self, dyno: &Dyno) -> Result<()> {
        let change = system_change(format!("{} answers", dyno.name));
        let marked = self
            .store
            .set_dyno_state(&change, dyno.id, store::DynoState::Up, None)
            .await;
        match marked {
            Ok(_) => {}
            // It ended meanwhile, or its row is gone.
            Err(StoreError::Stale { .. } | StoreError::NotFound { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        if dyno.kind != DynoKind::Release {
            self.say(
                dyno.app,
                LogSource::Heroku,
                dyno.name.as_str(),
                "State changed from starting to up",
            )
            .await;
        }
        Ok(())
    }

    /// Moves the dyno's lines into the app's log, each once.
    async fn take_in_log(&self, dyno: &Dyno) {
        if dyno.attach {
            return;
        }
        let mut failures_since_end = 0;
        while let Err(error) = self.copy_log(dyno).await {
            if matches!(error, Error::Engine(EngineError::UnknownDyno(_))) {
                return;
            }
            tracing::warn!(dyno = %dyno.id, error = &error as &dyn std::error::Error, "cannot take in a dyno's log");
            failures_since_end += u32::from(!self.is_running(dyno.id).await);
            if failures_since_end >= LAST_LINES_ATTEMPTS {
                tracing::error!(dyno = %dyno.id, "giving up the last lines of a dyno");
                return;
            }
            tokio::time::sleep(PAUSE_AFTER_ERROR).await;
        }
    }

    async fn copy_log(&self, dyno: &Dyno) -> Result<()> {
        let mut output = match dyno.kind {
            DynoKind::Release => Some(self.outputs.write(dyno.release.as_uuid()).await?),
            DynoKind::Formation | DynoKind::OneOff => None,
        };
        if output.is_some() {
            // Those who wait for the output to begin look again.
            self.nudges.nudge(dyno.app);
        }
        let mut after = self.logs.cursor(dyno.app, dyno.id).await?;
        let mut last_at = dyno.created_at;
        let mut dropped = Dropped::default();
        loop {
            let batch = self.engine.read_log(dyno.id, after).await?;
            for record in &batch.records {
                dropped.gap(after, record.sequence, last_at);
                (after, last_at) = (record.sequence, record.at);
            }
            if !batch.records.is_empty() {
                copy_output(&mut output, &batch.records).await?;
                let lines = batch
                    .records
                    .into_iter()
                    .map(|record| log_line(dyno, record));
                self.logs.append(dyno.app, lines.collect()).await?;
            }
            let now = self.clock.now();
            if let Some(line) = dropped.line(now, batch.ended) {
                self.say_at(now, dyno.app, dyno.name.as_str(), vec![line])
                    .await;
            }
            if batch.ended {
                return Ok(());
            }
        }
    }

    /// Writes lines of the platform about a dyno into an app's log, as of a moment.
    pub(crate) async fn say_at(
        &self,
        at: Time,
        app: api::ids::AppId,
        name: &str,
        texts: Vec<String>,
    ) {
        let line = |text| LogLine {
            at,
            source: LogSource::Heroku,
            dyno: name.to_owned(),
            text,
            cursor: None,
        };
        let lines = texts.into_iter().map(line).collect();
        if let Err(error) = self.logs.append(app, lines).await {
            tracing::error!(%app, error = &error as &dyn std::error::Error, "cannot write log lines");
        }
    }

    /// Writes one line into an app's log; a log that cannot be written is no reason to stop.
    pub(crate) async fn say(
        &self,
        app: api::ids::AppId,
        source: LogSource,
        name: &str,
        text: impl Into<String>,
    ) {
        let line = LogLine {
            at: self.clock.now(),
            source,
            dyno: name.to_owned(),
            text: text.into(),
            cursor: None,
        };
        if let Err(error) = self.logs.append(app, vec![line]).await {
            tracing::error!(%app, error = &error as &dyn std::error::Error, "cannot write a log line");
        }
    }
}

async fn copy_output(output: &mut Option<OutputWriter>, records: &[LogRecord]) -> Result<()> {
    if let Some(output) = output {
        for record in records {
            output.line(&record.text).await?;
        }
    }
    Ok(())
}

fn log_line(dyno: &Dyno, record: LogRecord) -> LogLine {
    LogLine {
        at: record.at,
        source: LogSource::App,
        dyno: dyno.name.to_string(),
        text: record.text,
        cursor: Some((dyno.id, record.sequence)),
    }
}
