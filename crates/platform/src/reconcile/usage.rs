//! Looks every twenty seconds what each dyno uses, as Heroku does, and says when that is too much, or
//! when a one-off dyno runs on without the client that it was started for.
//!
//! Decided in [`crate::plan::usage`]; here only readings are taken and verdicts told.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use api::ids::DynoId;
use engine::{DynoReport, DynoState};
use serde_json::json;
use store::{Dyno, DynoKind, Event, NewEvent};

use crate::{
    Platform,
    caller::system_change,
    error::Result,
    plan::usage::{self, Episode, Usage},
};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(20);
/// An episode over the quota began.
const BEGAN: &str = "dyno.quota_exceeded";
/// It is over.
const ENDED: &str = "dyno.quota_regained";
/// Its client left it, and it runs on.
const DETACHED: &str = "dyno.detached";
/// Newest events of a dyno among which its last episode is looked for.
const EVENTS: u32 = 50;

/// What each running dyno used when last looked at. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usages(Arc<Mutex<HashMap<DynoId, Usage>>>);

impl Usages {
    pub(crate) fn get(&self, dyno: DynoId) -> Option<Usage> {
        self.lock().get(&dyno).copied()
    }

    fn set(&self, dyno: DynoId, usage: Usage) {
        self.lock().insert(dyno, usage);
    }

    /// Drops what is known of dynos that are no longer there.
    fn keep(&self, present: &HashMap<DynoId, Dyno>) {
        self.lock().retain(|dyno, _| present.contains_key(dyno));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<DynoId, Usage>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[expect(clippy::infinite_loop, reason = "runs as long as the platform")]
pub(super) async fn look_now_and_then(platform: Platform) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = platform.look_at_usage().await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot look at what dynos use"
            );
        }
    }
}

impl Platform {
    /// Takes one reading of every dyno. The reconcilers do this now and then by themselves.
    ///
    /// # Errors
    /// When the engine or the store cannot be asked.
    pub async fn look_at_usage(&self) -> Result<()> {
        let reports = self.engine.list().await?;
        let rows = self.store.all_dynos().await?;
        let rows: HashMap<DynoId, Dyno> = rows.into_iter().map(|row| (row.id, row)).collect();
        for report in &reports {
            if let (DynoState::Running, Some(row)) = (&report.state, rows.get(&report.id)) {
                self.take_reading(row, report).await?;
            }
        }
        self.usages.keep(&rows);
        Ok(())
    }

    async fn take_reading(&self, row: &Dyno, report: &DynoReport) -> Result<()> {
        let limits = self.settings.sizes.limits(&row.size);
        let now = self.clock.now();
        let reading = Usage {
            memory_bytes: report.memory_bytes,
            memory_quota_bytes: limits.memory_bytes,
            disk_bytes: report.disk_bytes,
            disk_quota_bytes: limits.disk_bytes,
            is_over_memory: false,
            is_detached: report.is_detached,
            at: now,
        };
        let before = self.usages.get(row.id);
        let (usage, episode, lines) = usage::read(before.as_ref(), reading);
        self.usages.set(row.id, usage);
        if !lines.is_empty() && row.kind != DynoKind::Release {
            self.say_at(now, row.app, row.name.as_str(), lines).await;
        }
        if let Some(line) = usage::detached(before.as_ref(), &usage) {
            self.tell_detached(row, line).await?;
        }
        match episode {
            Episode::Same => Ok(()),
            // A former server may have told of it.
            Episode::Began if before.is_none() && self.is_in_episode(row).await? => Ok(()),
            Episode::Began => self.tell_episode(row, BEGAN, &usage).await,
            Episode::Ended => self.tell_episode(row, ENDED, &usage).await,
        }
    }

    /// Once in the dyno's life.
    async fn tell_detached(&self, row: &Dyno, line: &str) -> Result<()> {
        let events = self.events_of(row).await?;
        if events.iter().any(|event| event.kind == DETACHED) {
            return Ok(());
        }
        let details = json!({ "name": row.name, "code": "R16" });
        self.record(row, DETACHED, details).await?;
        let lines = vec![line.to_owned()];
        self.say_at(self.clock.now(), row.app, row.name.as_str(), lines)
            .await;
        Ok(())
    }

    async fn events_of(&self, row: &Dyno) -> Result<Vec<Event>> {
        let subject = row.id.to_string();
        Ok(self.store.events_about(row.app, &subject, EVENTS).await?)
    }

    async fn is_in_episode(&self, row: &Dyno) -> Result<bool> {
        let events = self.events_of(row).await?;
        let last = events
            .iter()
            .find(|event| event.kind == BEGAN || event.kind == ENDED);
        Ok(last.is_some_and(|event| event.kind == BEGAN))
    }

    async fn tell_episode(&self, row: &Dyno, kind: &'static str, usage: &Usage) -> Result<()> {
        let details = json!({ "name": row.name, "code": "R14",
            "memory_bytes": usage.memory_bytes,
            "memory_quota_bytes": usage.memory_quota_bytes });
        self.record(row, kind, details).await
    }

    async fn record(
        &self,
        row: &Dyno,
        kind: &'static str,
        details: serde_json::Value,
    ) -> Result<()> {
        let event = NewEvent {
            app: Some(row.app),
            kind,
            subject: row.id.to_string(),
            details,
        };
        let change = system_change("a look at what dynos use");
        Ok(self.store.record_event(&change, event).await?)
    }
}
