//! Sleep as people see and steer it: when an app falls asleep, whether it sleeps, and what woke
//! it. [`crate::plan::sleep`] decides, `reconcile::sleep` performs.

use std::time::Duration;

use api::{
    ids::{AppId, DynoId, ReleaseId},
    names::{DynoName, ProcessType},
    references::lasting_id,
    sleep::SleepUpdate,
};
use store::{
    App, AppSleep, Dyno, DynoKind, DynoState, SleepChange, SleepPolicyUpdate, SleepState,
    StoreError,
};

use crate::{
    Caller, Platform, Settings,
    error::{Error, Result},
    plan::sleep::next_ticket,
    sizes::DEFAULT_SIZE,
};

/// Without a request for this long, an app of a size that sleeps falls asleep (Heroku's eco).
const IDLE: Duration = Duration::from_mins(30);
/// Asleep for this long, an app's dynos are stopped, which gives back their memory.
const STOP_AFTER: Duration = Duration::from_hours(4);
/// The longest time that may be set, in seconds: a year.
const LONGEST_SECONDS: u64 = 366 * 24 * 3600;
/// How long one waits to see an app fall asleep or wake.
const PATIENCE: Duration = Duration::from_secs(10);

/// An app's sleep, and what its policy comes to.
#[derive(Clone, Debug)]
pub struct Sleep {
    /// As recorded.
    pub row: AppSleep,
    /// How long without a request until it falls asleep, if ever.
    pub idle: Option<Duration>,
    /// How long asleep until its dynos are stopped, if ever.
    pub stop_after: Option<Duration>,
}

/// When an app falls asleep; `size` is its web dynos'.
pub(crate) fn idle(settings: &Settings, row: &AppSleep, size: Option<&str>) -> Option<Duration> {
    match row.idle_seconds {
        Some(0) => None,
        Some(seconds) => Some(Duration::from_secs(seconds)),
        None => {
            let size = settings.sizes.find(size.unwrap_or(DEFAULT_SIZE));
            size.is_some_and(|size| size.sleeps).then_some(IDLE)
        }
    }
}

/// When an app that sleeps is stopped.
pub(crate) fn stop_after(row: &AppSleep) -> Option<Duration> {
    match row.stop_after_seconds {
        Some(0) => None,
        Some(seconds) => Some(Duration::from_secs(seconds)),
        None => Some(STOP_AFTER),
    }
}

impl Platform {
    /// An app's sleep.
    pub async fn sleep(&self, app: &App) -> Result<Sleep> {
        let row = self.store.app_sleep(app).await?;
        let formation = self.store.formation(app.id).await?;
        let web = formation.iter().find(|row| row.process_type.is_web());
        Ok(Sleep {
            idle: idle(&self.settings, &row, web.map(|row| row.size.as_str())),
            stop_after: stop_after(&row),
            row,
        })
    }

    /// Changes when an app sleeps. One that may no longer sleep is woken.
    ///
    /// # Errors
    /// `Invalid` for a time longer than a year.
    pub async fn update_sleep(
        &self,
        caller: &Caller,
        app: &App,
        update: SleepUpdate,
    ) -> Result<Sleep> {
        let times = [update.idle_seconds, update.stop_after_seconds];
        if times
            .into_iter()
            .flatten()
            .flatten()
            .any(|seconds| seconds > LONGEST_SECONDS)
        {
            return Err(Error::Invalid {
                message: "A time of sleep must not be longer than a year.".to_owned(),
            });
        }
        let update = SleepPolicyUpdate {
            idle_seconds: update.idle_seconds,
            stop_after_seconds: update.stop_after_seconds,
        };
        self.store
            .update_sleep_policy(&caller.change(), app, update)
            .await?;
        let sleep = self.sleep(app).await?;
        if sleep.idle.is_none() && update.idle_seconds.is_some() {
            self.call_awake(app.id, format!("{} let it sleep no more", caller.email));
        }
        self.nudges.nudge(app.id);
        Ok(sleep)
    }

    /// Lets an app fall asleep as soon as none of its requests is in flight, whatever its policy.
    /// Waits a few seconds for that; safe to drop.
    ///
    /// # Errors
    /// `Conflict` if it stays awake, with the reason.
    pub async fn put_to_sleep(&self, caller: &Caller, app: &App) -> Result<Sleep> {
        let row = self.store.app_sleep(app).await?;
        if row.state == SleepState::Awake {
            let ticket = next_ticket(row.ticket, self.clock.now());
            let step = SleepChange {
                from: (row.state, row.ticket),
                to: (SleepState::Resting, ticket),
                cause: format!("put to sleep by {}", caller.email),
            };
            self.sleep_book.issue(app.id, ticket);
            match self.store.change_sleep(&caller.change(), app, step).await {
                Ok(_) | Err(StoreError::Stale { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let fell = self.await_sleep(app, |state| state != SleepState::Resting);
        let sleep = fell.await?;
        if sleep.row.state == SleepState::Awake {
            return Err(Error::Conflict {
                message: format!("{} stays awake: {}.", app.name, sleep.row.cause),
            });
        }
        Ok(sleep)
    }

    /// Wakes an app, and waits until its dynos are thawed or are being started; safe to drop.
    pub async fn wake(&self, caller: &Caller, app: &App) -> Result<Sleep> {
        self.call_awake(app.id, format!("woken by {}", caller.email));
        self.await_sleep(app, |state| state == SleepState::Awake)
            .await
    }

    /// Wants an app awake, for a reason that people are told. Does nothing to one that is.
    pub(crate) fn call_awake(&self, app: AppId, cause: String) {
        self.sleep_book.wish(app, cause);
        self.nudges.nudge(app);
    }

    /// The app's sleep once it is as wanted, or as it is when patience ends.
    async fn await_sleep(&self, app: &App, wanted: impl Fn(SleepState) -> bool) -> Result<Sleep> {
        let mut changes = self.nudges.changes();
        self.nudges.nudge(app.id);
        let until_wanted = async {
            loop {
                changes.mark_unchanged();
                let sleep = self.sleep(app).await?;
                if wanted(sleep.row.state) || changes.changed().await.is_err() {
                    return Ok(sleep);
                }
            }
        };
        match tokio::time::timeout(PATIENCE, until_wanted).await {
            Ok(sleep) => sleep,
            Err(_) => self.sleep(app).await,
        }
    }

    /// The dynos that a request would start, if the app was stopped for want of requests; `present`
    /// are those on record.
    pub(crate) async fn sleeping_dynos(&self, app: AppId, present: &[Dyno]) -> Result<Vec<Dyno>> {
        let app = self.store.app(app).await?;
        let sleep = self.store.app_sleep(&app).await?;
        if sleep.state != SleepState::Stopped {
            return Ok(Vec::new());
        }
        let Some(release) = self.store.current_release(app.id).await? else {
            return Ok(Vec::new());
        };
        let Some(slug) = release.slug else {
            return Ok(Vec::new());
        };
        let slug = self.store.slug(slug).await?;
        let slot = Slot {
            app: &app,
            release: (release.id, release.version),
            sleep: &sleep,
        };
        let mut dynos = Vec::new();
        for row in self.store.formation(app.id).await? {
            let Some(command) = slug.process_types.get(&row.process_type) else {
                continue;
            };
            for number in 1..=row.quantity {
                let dyno = slot.dyno(&row.process_type, number, (&row.size, command));
                if !present.iter().any(|other| other.name == dyno.name) {
                    dynos.push(dyno);
                }
            }
        }
        Ok(dynos)
    }
}

struct Slot<'a> {
    app: &'a App,
    release: (ReleaseId, u64),
    sleep: &'a AppSleep,
}

impl Slot<'_> {
    fn dyno(&self, process_type: &ProcessType, number: u32, run: (&str, &str)) -> Dyno {
        let name = DynoName::new(process_type, number);
        let (size, command) = run;
        let (release, release_version) = self.release;
        let key = format!("{}/{name}", self.app.id);
        Dyno {
            id: DynoId::from(lasting_id("sleeping-dyno", &key)),
            app: self.app.id,
            release,
            release_version,
            process_type: process_type.clone(),
            number,
            name,
            kind: DynoKind::Formation,
            size: size.to_owned(),
            command: command.to_owned(),
            attach: false,
            state: DynoState::Idle,
            state_changed_at: self.sleep.since,
            is_retired: false,
            exit_status: None,
            crash_count: 0,
            error: None,
            restart_count: 0,
            created_at: self.sleep.since,
        }
    }
}
