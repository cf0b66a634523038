//! Events: what happened, who did it, from where and why. Those of changes are written by
//! [`crate::write`] with the change; [`Store::record_event`] is for what changes nothing.

use api::{
    clock::Time,
    ids::{AppId, EventId},
};
use serde_json::Value;
use sqlx::query;

use crate::{
    Actor, Change, Result, Store,
    columns::{Columns, Record, list},
    write::Happening,
};

/// Something that happened, written in the transaction that made it happen.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its place in the order of all events, from 1, without gaps; commits happen in this order.
    pub sequence: u64,
    /// Its id.
    pub id: EventId,
    /// When.
    pub at: Time,
    /// To which app; it may be gone by now.
    pub app: Option<AppId>,
    /// By whom.
    pub actor: Actor,
    /// From where: see [`crate::Change`].
    pub origin: String,
    /// Because of what.
    pub cause: String,
    /// In which request.
    pub request_id: Option<String>,
    /// What, as resource and verb: `app.create`, `release.update`, `dyno.start`.
    pub kind: String,
    /// The id or name of what changed.
    pub subject: String,
    /// More, as a JSON object without secrets.
    pub details: Value,
}

/// Something to record that changes no row: that a secret was read.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    /// To which app.
    pub app: Option<AppId>,
    /// What, as resource and verb: `config-vars.read`.
    pub kind: &'static str,
    /// The id or name of what it is about.
    pub subject: String,
    /// More, as a JSON object without secrets.
    pub details: Value,
}

impl Record for Event {
    const RESOURCE: &'static str = "event";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        Ok(Self {
            sequence: columns.number("sequence")?,
            id: columns.parsed("id")?,
            at: columns.time("at")?,
            app: columns.optional_parsed("app_id")?,
            actor: columns.parsed("actor")?,
            origin: columns.text("origin")?,
            cause: columns.text("cause")?,
            request_id: columns.optional_text("request_id")?,
            kind: columns.text("kind")?,
            subject: columns.text("subject")?,
            details: columns.json("details")?,
        })
    }
}

impl Store {
    /// Records something that changes nothing else. Once this has returned, it is not forgotten.
    pub async fn record_event(&self, change: &Change, new: NewEvent) -> Result<()> {
        let write = self.write(change).await?;
        write
            .commit(Happening {
                kind: new.kind,
                app: new.app,
                subject: new.subject,
                details: new.details,
            })
            .await
    }

    /// The newest events of an app, newest first, also of an app that is gone.
    pub async fn events(&self, app: AppId, limit: u32) -> Result<Vec<Event>> {
        let statement =
            query("SELECT * FROM events WHERE app_id = $1 ORDER BY sequence DESC LIMIT $2")
                .bind(app.to_string())
                .bind(i64::from(limit));
        list(self.backend.reader(), statement).await
    }

    /// The newest events about one thing of an app, such as a dyno by its id, newest first; also
    /// about one that is gone.
    pub async fn events_about(&self, app: AppId, subject: &str, limit: u32) -> Result<Vec<Event>> {
        let statement = query(
            "SELECT * FROM events WHERE subject = $1 AND app_id = $2
             ORDER BY sequence DESC LIMIT $3",
        )
        .bind(subject.to_owned())
        .bind(app.to_string())
        .bind(i64::from(limit));
        list(self.backend.reader(), statement).await
    }

    /// Events of all apps with a higher sequence, oldest first. Start from 0; none is missed.
    pub async fn events_after(&self, sequence: u64, limit: u32) -> Result<Vec<Event>> {
        let statement =
            query("SELECT * FROM events WHERE sequence > $1 ORDER BY sequence LIMIT $2")
                .bind(i64::try_from(sequence).unwrap_or(i64::MAX))
                .bind(i64::from(limit));
        list(self.backend.reader(), statement).await
    }
}
