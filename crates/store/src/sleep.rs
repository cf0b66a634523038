//! Sleep: when an app's dynos may fall asleep, whether they do, and what woke them. What any of it
//! means is not known here.

use api::{clock::Time, ids::AppId};
use serde_json::json;
use sqlx::query;

use crate::{
    App, Change, Result, Store, StoreError,
    columns::{Columns, Record, optional, to_number},
    words::words,
    write::{Happening, Write},
};

words! {
    /// How an app is.
    SleepState {
        /// Its dynos run.
        Awake = "awake",
        /// They run, and may be frozen once no request is in flight.
        Resting = "resting",
        /// They are frozen.
        Frozen = "frozen",
        /// They were stopped for want of requests.
        Stopped = "stopped",
    }
}

/// An app's sleep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppSleep {
    /// Whose.
    pub app: AppId,
    /// Seconds without a request after which it falls asleep; 0 is never, none as its size says.
    pub idle_seconds: Option<u64>,
    /// Seconds asleep after which its dynos are stopped; 0 is never, none the default.
    pub stop_after_seconds: Option<u64>,
    /// How it is.
    pub state: SleepState,
    /// Since when.
    pub since: Time,
    /// Why it came to be so.
    pub cause: String,
    /// The number of its last sleep; it only rises.
    pub ticket: u64,
    /// When it woke last.
    pub woken_at: Option<Time>,
    /// What woke it then.
    pub wake_cause: Option<String>,
}

/// What to change of the policy; what is absent stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SleepPolicyUpdate {
    /// [`AppSleep::idle_seconds`]
    pub idle_seconds: Option<Option<u64>>,
    /// [`AppSleep::stop_after_seconds`]
    pub stop_after_seconds: Option<Option<u64>>,
}

/// A step of falling asleep or waking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SleepChange {
    /// The state and ticket it starts from.
    pub from: (SleepState, u64),
    /// The state and ticket after it.
    pub to: (SleepState, u64),
    /// Why.
    pub cause: String,
}

impl Record for AppSleep {
    const RESOURCE: &'static str = "app sleep";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        Ok(Self {
            app: columns.parsed("app_id")?,
            idle_seconds: columns.optional_number("idle_seconds")?,
            stop_after_seconds: columns.optional_number("stop_after_seconds")?,
            state: columns.parsed("state")?,
            since: columns.time("state_changed_at")?,
            cause: columns.text("cause")?,
            ticket: columns.number("ticket")?,
            woken_at: columns.optional_time("woken_at")?,
            wake_cause: columns.optional_text("wake_cause")?,
        })
    }
}

impl AppSleep {
    /// How an app is that has never slept.
    fn first(app: AppId, created_at: Time) -> Self {
        Self {
            app,
            idle_seconds: None,
            stop_after_seconds: None,
            state: SleepState::Awake,
            since: created_at,
            cause: "it was made".to_owned(),
            ticket: 0,
            woken_at: None,
            wake_cause: None,
        }
    }
}

impl Store {
    /// An app's sleep.
    pub async fn app_sleep(&self, app: &App) -> Result<AppSleep> {
        let statement = query("SELECT * FROM app_sleep WHERE app_id = $1").bind(app.id.to_string());
        let row = optional(self.backend.reader(), statement).await?;
        Ok(row.unwrap_or_else(|| AppSleep::first(app.id, app.created_at)))
    }

    /// Changes when an app may sleep.
    pub async fn update_sleep_policy(
        &self,
        change: &Change,
        app: &App,
        update: SleepPolicyUpdate,
    ) -> Result<AppSleep> {
        let mut write = self.write_app(change, app.id).await?;
        let mut sleep = locked(&mut write, app).await?;
        sleep.idle_seconds = update.idle_seconds.unwrap_or(sleep.idle_seconds);
        sleep.stop_after_seconds = update
            .stop_after_seconds
            .unwrap_or(sleep.stop_after_seconds);
        save(&mut write, &sleep).await?;
        let details = json!({ "idle_seconds": sleep.idle_seconds,
            "stop_after_seconds": sleep.stop_after_seconds });
        write
            .commit(happening("app-sleep.update", &sleep, details))
            .await?;
        Ok(sleep)
    }

    /// Takes a step of falling asleep or waking, or says why an app is awake.
    ///
    /// # Errors
    /// [`StoreError::Stale`] when the app is not where the step starts.
    pub async fn change_sleep(
        &self,
        change: &Change,
        app: &App,
        step: SleepChange,
    ) -> Result<AppSleep> {
        let mut write = self.write_app(change, app.id).await?;
        let mut sleep = locked(&mut write, app).await?;
        if (sleep.state, sleep.ticket) != step.from {
            return Err(StoreError::stale("app sleep", &app.id));
        }
        let former = sleep.state;
        (sleep.state, sleep.ticket) = step.to;
        let is_awake = sleep.state == SleepState::Awake;
        // Told again, an app that is awake only learns a better cause.
        if !(is_awake && former == SleepState::Awake) {
            sleep.since = write.now;
        }
        if is_awake {
            if matches!(former, SleepState::Frozen | SleepState::Stopped) {
                sleep.woken_at = Some(write.now);
            }
            if former != SleepState::Resting {
                sleep.wake_cause = Some(step.cause.clone());
            }
        }
        sleep.cause = step.cause;
        save(&mut write, &sleep).await?;
        let details = json!({ "from": former, "to": sleep.state, "ticket": sleep.ticket,
            "cause": sleep.cause });
        let kind = if is_awake { "app.wake" } else { "app.sleep" };
        write.commit(happening(kind, &sleep, details)).await?;
        Ok(sleep)
    }
}

async fn locked(write: &mut Write<'_>, app: &App) -> Result<AppSleep> {
    let statement = query("SELECT * FROM app_sleep WHERE app_id = $1").bind(app.id.to_string());
    let row = optional(write.connection(), statement).await?;
    Ok(row.unwrap_or_else(|| AppSleep::first(app.id, app.created_at)))
}

async fn save(write: &mut Write<'_>, sleep: &AppSleep) -> Result<()> {
    let seconds = |value: Option<u64>| {
        value
            .map(|value| to_number(value, "a number of seconds"))
            .transpose()
    };
    let statement = query(
        "INSERT INTO app_sleep (app_id, idle_seconds, stop_after_seconds, state, state_changed_at,
            cause, ticket, woken_at, wake_cause)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (app_id) DO UPDATE SET idle_seconds = excluded.idle_seconds,
            stop_after_seconds = excluded.stop_after_seconds, state = excluded.state,
            state_changed_at = excluded.state_changed_at, cause = excluded.cause,
            ticket = excluded.ticket, woken_at = excluded.woken_at,
            wake_cause = excluded.wake_cause",
    )
    .bind(sleep.app.to_string())
    .bind(seconds(sleep.idle_seconds)?)
    .bind(seconds(sleep.stop_after_seconds)?)
    .bind(sleep.state.as_str())
    .bind(sleep.since.as_micros())
    .bind(sleep.cause.clone())
    .bind(to_number(sleep.ticket, "a ticket")?)
    .bind(sleep.woken_at.map(Time::as_micros))
    .bind(sleep.wake_cause.clone());
    write.run(statement).await?;
    Ok(())
}

fn happening(kind: &'static str, sleep: &AppSleep, details: serde_json::Value) -> Happening {
    Happening {
        kind,
        app: Some(sleep.app),
        subject: sleep.app.to_string(),
        details,
    }
}
