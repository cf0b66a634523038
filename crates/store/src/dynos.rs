//! Dynos: the runs of processes that exist or should stop existing. What became of each is kept
//! until its row is deleted.

use api::{
    clock::Time,
    ids::{AppId, DynoId, ReleaseId},
    names::{DynoName, ProcessType},
};
use serde_json::json;
use sqlx::query;

use crate::{
    Change, Release, Result, Store, StoreError,
    columns::{Columns, Record, list, required},
    words::words,
    write::{Happening, Write},
};

words! {
    /// Why a dyno exists.
    DynoKind {
        /// The formation asks for it.
        Formation = "formation",
        /// Someone ran a command.
        OneOff = "one_off",
        /// A release phase.
        Release = "release",
    }
}

words! {
    /// How a dyno is.
    DynoState {
        /// Not ready yet.
        Starting = "starting",
        /// Running.
        Up = "up",
        /// Asleep.
        Idle = "idle",
        /// Ended when it should not have.
        Crashed = "crashed",
        /// Ended.
        Down = "down",
    }
}

/// One run of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dyno {
    /// Its id; a restarted `web.1` has a new one.
    pub id: DynoId,
    /// Of which app.
    pub app: AppId,
    /// Runs which release.
    pub release: ReleaseId,
    /// That release's number.
    pub release_version: u64,
    /// Of which process type; `run` for one-off dynos.
    pub process_type: ProcessType,
    /// Its number within the type.
    pub number: u32,
    /// Type and number: `web.1`.
    pub name: DynoName,
    /// Why it exists.
    pub kind: DynoKind,
    /// How large it is.
    pub size: String,
    /// What it runs.
    pub command: String,
    /// Whether a terminal or pipe is attached.
    pub attach: bool,
    /// How it is.
    pub state: DynoState,
    /// Since when.
    pub state_changed_at: Time,
    /// Whether it is to be stopped.
    pub is_retired: bool,
    /// How its process ended.
    pub exit_status: Option<i32>,
    /// How often dynos of this name have crashed in a row.
    pub crash_count: u32,
    /// How many crashes that only its keeper saw are on record.
    pub restart_count: u64,
    /// What the platform ended it for: `R15`.
    pub error: Option<String>,
    /// When it was made.
    pub created_at: Time,
}

/// A dyno to make; it begins as starting.
#[derive(Clone, Debug)]
pub struct NewDyno {
    /// Of which app.
    pub app: AppId,
    /// Runs which release of that app.
    pub release: ReleaseId,
    /// Of which process type.
    pub process_type: ProcessType,
    /// Its number within the type.
    pub number: u32,
    /// Why it exists.
    pub kind: DynoKind,
    /// How large it is.
    pub size: String,
    /// What it runs.
    pub command: String,
    /// Whether a terminal or pipe is attached.
    pub attach: bool,
    /// Crashes in a row of the dynos it replaces.
    pub crash_count: u32,
}

/// How a dyno ended when it should not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crash {
    /// As a shell would give it.
    pub exit_status: i32,
    /// How often its slot has crashed in a row, this time included.
    pub crash_count: u32,
    /// What the platform ended it for: `R15`.
    pub error: Option<String>,
}

/// A crash that only a dyno's keeper saw, and the start after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnattendedRestart {
    /// Counts from 1 within the dyno.
    pub number: u64,
    /// How it ended.
    pub crash: Crash,
    /// When it ended.
    pub ended_at: Time,
    /// When it was started again.
    pub started_at: Time,
}

/// What becomes of a dyno.
struct Next {
    state: DynoState,
    exit_status: Option<i32>,
    crash_count: Option<u32>,
    error: Option<String>,
}

impl Record for Dyno {
    const RESOURCE: &'static str = "dyno";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        let process_type: ProcessType = columns.parsed("process_type")?;
        let number = columns.number("number")?;
        Ok(Self {
            id: columns.parsed("id")?,
            app: columns.parsed("app_id")?,
            release: columns.parsed("release_id")?,
            release_version: columns.number("release_version")?,
            name: DynoName::new(&process_type, number),
            process_type,
            number,
            kind: columns.parsed("kind")?,
            size: columns.text("size")?,
            command: columns.text("command")?,
            attach: columns.flag("is_attached")?,
            state: columns.parsed("state")?,
            state_changed_at: columns.time("state_changed_at")?,
            is_retired: columns.flag("is_retired")?,
            exit_status: columns.optional_number("exit_status")?,
            crash_count: columns.number("crash_count")?,
            restart_count: columns.number("restart_count")?,
            error: columns.optional_text("error")?,
            created_at: columns.time("created_at")?,
        })
    }
}

impl Store {
    /// Makes a dyno's row; starting it is the engine's task.
    pub async fn create_dyno(&self, change: &Change, new: &NewDyno) -> Result<Dyno> {
        let mut write = self.write_app(change, new.app).await?;
        let statement = query("SELECT * FROM releases WHERE app_id = $1 AND id = $2")
            .bind(new.app.to_string())
            .bind(new.release.to_string());
        let release: Release = required(write.connection(), statement, new.release).await?;
        let dyno = planned(new, release.version, write.now);
        insert(&mut write, &dyno).await?;
        let details = json!({ "name": dyno.name, "kind": dyno.kind, "size": dyno.size,
            "release_version": dyno.release_version });
        write
            .commit(happening("dyno.start", &dyno, details))
            .await?;
        Ok(dyno)
    }

    /// Records how a dyno is now; a crash is [`Store::crash_dyno`]'s to record. Saying the same
    /// again changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Stale`] when the dyno has ended: it does not get up again.
    pub async fn set_dyno_state(
        &self,
        change: &Change,
        id: DynoId,
        state: DynoState,
        exit_status: Option<i32>,
    ) -> Result<Dyno> {
        let next = Next {
            state,
            exit_status,
            crash_count: None,
            error: None,
        };
        self.change_dyno(change, id, next).await
    }

    /// Records that a dyno ended when it should not have, and how often its slot has now crashed
    /// in a row. Saying it again changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Stale`] when the dyno has ended in good order.
    pub async fn crash_dyno(&self, change: &Change, id: DynoId, crash: Crash) -> Result<Dyno> {
        let next = Next {
            state: DynoState::Crashed,
            exit_status: Some(crash.exit_status),
            crash_count: Some(crash.crash_count),
            error: crash.error,
        };
        self.change_dyno(change, id, next).await
    }

    /// Records crashes that only the dyno's keeper saw, an event each, and returns those that were
    /// not on record before.
    pub async fn record_restarts(
        &self,
        change: &Change,
        id: DynoId,
        restarts: &[UnattendedRestart],
    ) -> Result<Vec<UnattendedRestart>> {
        let mut write = self.write(change).await?;
        let dyno = locked_dyno(&mut write, id).await?;
        let mut new = restarts.to_vec();
        new.retain(|restart| restart.number > dyno.restart_count);
        let Some((last, earlier)) = new.split_last() else {
            return Ok(new);
        };
        let number = i64::try_from(last.number).unwrap_or(i64::MAX);
        let statement =
            query("UPDATE dynos SET restart_count = $2, crash_count = $3 WHERE id = $1")
                .bind(id.to_string())
                .bind(number)
                .bind(i64::from(last.crash.crash_count));
        write.run(statement).await?;
        for restart in earlier {
            write.tell(restarted(&dyno, restart)).await?;
        }
        write.commit(restarted(&dyno, last)).await?;
        Ok(new)
    }

    async fn change_dyno(&self, change: &Change, id: DynoId, next: Next) -> Result<Dyno> {
        let mut write = self.write(change).await?;
        let mut dyno = locked_dyno(&mut write, id).await?;
        let former = dyno.state;
        if former == next.state {
            return Ok(dyno);
        }
        if matches!(former, DynoState::Crashed | DynoState::Down) {
            return Err(StoreError::stale("dyno", &id));
        }
        dyno.state = next.state;
        dyno.state_changed_at = write.now;
        dyno.exit_status = next.exit_status.or(dyno.exit_status);
        dyno.crash_count = next.crash_count.unwrap_or(dyno.crash_count);
        dyno.error = next.error.or(dyno.error);
        let statement = query(
            "UPDATE dynos SET state = $2, state_changed_at = $3, exit_status = $4, crash_count = $5,
                              error = $6
             WHERE id = $1",
        )
        .bind(id.to_string())
        .bind(dyno.state.as_str())
        .bind(dyno.state_changed_at.as_micros())
        .bind(dyno.exit_status.map(i64::from))
        .bind(i64::from(dyno.crash_count))
        .bind(dyno.error.clone());
        write.run(statement).await?;
        let details = json!({ "name": dyno.name, "from": former, "to": dyno.state,
            "exit_status": dyno.exit_status, "crash_count": dyno.crash_count,
            "error": dyno.error });
        write
            .commit(happening("dyno.update", &dyno, details))
            .await?;
        Ok(dyno)
    }

    /// Marks a dyno to be stopped. Marking it again changes nothing.
    pub async fn retire_dyno(&self, change: &Change, id: DynoId) -> Result<Dyno> {
        let mut write = self.write(change).await?;
        let mut dyno = locked_dyno(&mut write, id).await?;
        if dyno.is_retired {
            return Ok(dyno);
        }
        dyno.is_retired = true;
        write
            .run(query("UPDATE dynos SET is_retired = 1 WHERE id = $1").bind(id.to_string()))
            .await?;
        let details = json!({ "name": dyno.name, "kind": dyno.kind });
        write.commit(happening("dyno.stop", &dyno, details)).await?;
        Ok(dyno)
    }

    /// Removes a dyno's row, once nothing of it is left on its machine.
    pub async fn delete_dyno(&self, change: &Change, id: DynoId) -> Result<()> {
        let mut write = self.write(change).await?;
        let dyno = locked_dyno(&mut write, id).await?;
        write
            .run(query("DELETE FROM dynos WHERE id = $1").bind(id.to_string()))
            .await?;
        let details = json!({ "name": dyno.name, "kind": dyno.kind, "state": dyno.state,
            "exit_status": dyno.exit_status });
        write
            .commit(happening("dyno.destroy", &dyno, details))
            .await
    }

    /// The dyno with this id, of whichever app.
    pub async fn dyno(&self, id: DynoId) -> Result<Dyno> {
        let statement = query("SELECT * FROM dynos WHERE id = $1").bind(id.to_string());
        required(self.backend.reader(), statement, id).await
    }

    /// An app's dynos, oldest first, retired ones among them.
    pub async fn dynos(&self, app: AppId) -> Result<Vec<Dyno>> {
        let statement = query("SELECT * FROM dynos WHERE app_id = $1 ORDER BY created_at, id")
            .bind(app.to_string());
        list(self.backend.reader(), statement).await
    }

    /// The dynos of all apps, oldest first.
    pub async fn all_dynos(&self) -> Result<Vec<Dyno>> {
        list(
            self.backend.reader(),
            query("SELECT * FROM dynos ORDER BY created_at, id"),
        )
        .await
    }
}

fn planned(new: &NewDyno, release_version: u64, now: Time) -> Dyno {
    Dyno {
        id: DynoId::new(),
        app: new.app,
        release: new.release,
        release_version,
        name: DynoName::new(&new.process_type, new.number),
        process_type: new.process_type.clone(),
        number: new.number,
        kind: new.kind,
        size: new.size.clone(),
        command: new.command.clone(),
        attach: new.attach,
        state: DynoState::Starting,
        state_changed_at: now,
        is_retired: false,
        exit_status: None,
        crash_count: new.crash_count,
        restart_count: 0,
        error: None,
        created_at: now,
    }
}

async fn insert(write: &mut Write<'_>, dyno: &Dyno) -> Result<()> {
    let version = i64::try_from(dyno.release_version).unwrap_or(i64::MAX);
    let statement = query(
        "INSERT INTO dynos (id, app_id, release_id, release_version, process_type, number, kind,
            size, command, is_attached, state, state_changed_at, crash_count, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $12)",
    )
    .bind(dyno.id.to_string())
    .bind(dyno.app.to_string())
    .bind(dyno.release.to_string())
    .bind(version)
    .bind(dyno.process_type.to_string())
    .bind(i64::from(dyno.number))
    .bind(dyno.kind.as_str())
    .bind(dyno.size.clone())
    .bind(dyno.command.clone())
    .bind(i64::from(dyno.attach))
    .bind(dyno.state.as_str())
    .bind(dyno.created_at.as_micros())
    .bind(i64::from(dyno.crash_count));
    write.run(statement).await?;
    Ok(())
}

/// The dyno, with its app locked.
async fn locked_dyno(write: &mut Write<'_>, id: DynoId) -> Result<Dyno> {
    let app = dyno_row(write, id).await?.app;
    write.lock_app(app).await?;
    dyno_row(write, id).await
}

async fn dyno_row(write: &mut Write<'_>, id: DynoId) -> Result<Dyno> {
    let statement = query("SELECT * FROM dynos WHERE id = $1").bind(id.to_string());
    required(write.connection(), statement, id).await
}

fn restarted(dyno: &Dyno, restart: &UnattendedRestart) -> Happening {
    let details = json!({ "name": dyno.name, "number": restart.number,
        "exit_status": restart.crash.exit_status, "crash_count": restart.crash.crash_count,
        "error": restart.crash.error, "ended_at": restart.ended_at.to_rfc3339(),
        "started_at": restart.started_at.to_rfc3339() });
    happening("dyno.restart", dyno, details)
}

fn happening(kind: &'static str, dyno: &Dyno, details: serde_json::Value) -> Happening {
    Happening {
        kind,
        app: Some(dyno.app),
        subject: dyno.id.to_string(),
        details,
    }
}
