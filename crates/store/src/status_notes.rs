//! What the operator says on the status page. Who may, and what fits there, is not decided here.

use api::{
    clock::Time,
    ids::{AppId, StatusNoteId},
    status_notes::{PostedNote, Severity},
};
use serde_json::json;
use sqlx::query;

use crate::{
    Change, Result, Store, StoreError,
    columns::{Columns, Record, list},
    write::Happening,
};

impl Record for PostedNote {
    const RESOURCE: &'static str = "status note";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        Ok(Self {
            id: columns.parsed("id")?,
            text: columns.text("text")?,
            severity: severity(&columns.text("severity")?)?,
            app: columns.optional_parsed("app_id")?,
            until: columns.optional_time("ends_at")?,
            created_at: columns.time("created_at")?,
            updated_at: columns.time("updated_at")?,
        })
    }
}

/// A note to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewStatusNote {
    /// Plain text.
    pub text: String,
    /// How bad it is.
    pub severity: Severity,
    /// The app that it is about, if not the whole platform.
    pub app: Option<AppId>,
    /// When it leaves the page by itself.
    pub until: Option<Time>,
}

impl Store {
    /// All notes, the newest first.
    pub async fn status_notes(&self) -> Result<Vec<PostedNote>> {
        let statement = query("SELECT * FROM status_notes ORDER BY created_at DESC, id DESC");
        list(self.backend.reader(), statement).await
    }

    /// Writes a note. Those that were over before `forgotten_before` are forgotten.
    pub async fn create_status_note(
        &self,
        change: &Change,
        new: &NewStatusNote,
        forgotten_before: Time,
    ) -> Result<PostedNote> {
        let mut write = self.write(change).await?;
        let note = PostedNote {
            id: StatusNoteId::new(),
            text: new.text.clone(),
            severity: new.severity,
            app: new.app,
            until: new.until,
            created_at: write.now,
            updated_at: write.now,
        };
        let forget = query("DELETE FROM status_notes WHERE ends_at IS NOT NULL AND ends_at < $1")
            .bind(forgotten_before.as_micros());
        write.run(forget).await?;
        let statement = query(
            "INSERT INTO status_notes (id, app_id, text, severity, ends_at, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(note.id.to_string())
        .bind(note.app.map(|app| app.to_string()))
        .bind(note.text.clone())
        .bind(word(note.severity))
        .bind(note.until.map(Time::as_micros))
        .bind(note.created_at.as_micros())
        .bind(note.updated_at.as_micros());
        write.run(statement).await?;
        write.commit(told("status-note.create", &note)).await?;
        Ok(note)
    }

    /// Writes a note anew: its text, severity and end. `updated_at` is set here.
    pub async fn update_status_note(
        &self,
        change: &Change,
        note: &PostedNote,
    ) -> Result<PostedNote> {
        let mut write = self.write(change).await?;
        let note = PostedNote {
            updated_at: write.now,
            ..note.clone()
        };
        let statement = query(
            "UPDATE status_notes SET text = $2, severity = $3, ends_at = $4, updated_at = $5
             WHERE id = $1",
        )
        .bind(note.id.to_string())
        .bind(note.text.clone())
        .bind(word(note.severity))
        .bind(note.until.map(Time::as_micros))
        .bind(note.updated_at.as_micros());
        if write.run(statement).await? == 0 {
            return Err(StoreError::not_found(PostedNote::RESOURCE, &note.id));
        }
        write.commit(told("status-note.update", &note)).await?;
        Ok(note)
    }

    /// Takes a note back.
    pub async fn delete_status_note(&self, change: &Change, note: &PostedNote) -> Result<()> {
        let mut write = self.write(change).await?;
        let statement = query("DELETE FROM status_notes WHERE id = $1").bind(note.id.to_string());
        if write.run(statement).await? == 0 {
            return Err(StoreError::not_found(PostedNote::RESOURCE, &note.id));
        }
        write.commit(told("status-note.destroy", note)).await
    }
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Maintenance => "maintenance",
        Severity::Degraded => "degraded",
        Severity::Down => "down",
    }
}

fn severity(text: &str) -> Result<Severity> {
    let all = [
        Severity::Info,
        Severity::Maintenance,
        Severity::Degraded,
        Severity::Down,
    ];
    let found = all.into_iter().find(|severity| word(*severity) == text);
    found.ok_or(StoreError::Unreadable {
        resource: PostedNote::RESOURCE,
        column: "severity",
    })
}

fn told(kind: &'static str, note: &PostedNote) -> Happening {
    Happening {
        kind,
        app: note.app,
        subject: note.id.to_string(),
        details: json!({ "text": note.text, "severity": word(note.severity), "until": note.until }),
    }
}
