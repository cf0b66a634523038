//! One transaction that changes rows. It can only be committed by telling the event.

use api::{
    clock::Time,
    ids::{AppId, EventId},
};
use serde_json::Value;
use sqlx::{Any, AnyConnection, Row, Transaction};

use crate::{
    Change, Result, Store, StoreError,
    backend::Backend,
    columns::{Record, Statement, optional},
};

/// What an event says besides the story in its [`Change`].
pub(crate) struct Happening {
    pub(crate) kind: &'static str,
    pub(crate) app: Option<AppId>,
    pub(crate) subject: String,
    /// Must not hold config values or tokens.
    pub(crate) details: Value,
}

/// An open transaction. Dropping it undoes everything.
pub(crate) struct Write<'c> {
    transaction: Transaction<'static, Any>,
    change: &'c Change,
    /// The moment of the change, the same in every row it touches.
    pub(crate) now: Time,
}

impl Store {
    pub(crate) async fn write<'c>(&self, change: &'c Change) -> Result<Write<'c>> {
        let transaction = self.backend.begin().await?;
        Ok(Write {
            transaction,
            change,
            now: self.clock.now(),
        })
    }

    /// A transaction that holds the app's lock: changes to one app happen one after another.
    pub(crate) async fn write_app<'c>(&self, change: &'c Change, app: AppId) -> Result<Write<'c>> {
        let mut write = self.write(change).await?;
        write.lock_app(app).await?;
        Ok(write)
    }
}

impl Write<'_> {
    /// For queries inside the transaction.
    pub(crate) fn connection(&mut self) -> &mut AnyConnection {
        &mut self.transaction
    }

    /// Runs a statement and returns how many rows it touched.
    pub(crate) async fn run(&mut self, statement: Statement<'_>) -> Result<u64> {
        Ok(statement
            .execute(&mut *self.transaction)
            .await?
            .rows_affected())
    }

    pub(crate) async fn find<R: Record>(&mut self, statement: Statement<'_>) -> Result<Option<R>> {
        optional(&mut *self.transaction, statement).await
    }

    /// Touches the app's row, because SQLite has no `FOR UPDATE`.
    pub(crate) async fn lock_app(&mut self, app: AppId) -> Result<()> {
        let lock = sqlx::query("UPDATE apps SET updated_at = updated_at WHERE id = $1");
        match self.run(lock.bind(app.to_string())).await? {
            0 => Err(StoreError::not_found("app", &app)),
            _ => Ok(()),
        }
    }

    /// Writes an event. Comes after every other statement: its counter is one row that all
    /// writers share, which makes the order of events the order of commits.
    pub(crate) async fn tell(&mut self, happening: Happening) -> Result<()> {
        let counter = sqlx::query(
            "UPDATE event_counter SET last_sequence = last_sequence + 1 WHERE id = 1
             RETURNING last_sequence",
        );
        let sequence: i64 = counter
            .fetch_one(&mut *self.transaction)
            .await?
            .try_get(0)?;
        let statement = sqlx::query(
            "INSERT INTO events (sequence, id, at, app_id, actor, origin, cause, request_id, kind,
                                 subject, details)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(sequence)
        .bind(EventId::new().to_string())
        .bind(self.now.as_micros())
        .bind(happening.app.map(|app| app.to_string()))
        .bind(self.change.actor.to_string())
        .bind(self.change.origin.clone())
        .bind(self.change.cause.clone())
        .bind(self.change.request_id.clone())
        .bind(happening.kind)
        .bind(happening.subject)
        .bind(happening.details.to_string());
        self.run(statement).await?;
        Ok(())
    }

    /// Tells the event and commits.
    pub(crate) async fn commit(mut self, happening: Happening) -> Result<()> {
        self.tell(happening).await?;
        Backend::commit(self.transaction).await
    }
}
