//! Puts apps to sleep and wakes them: gathers a [`SleepView`], performs the planned [`SleepStep`].
//!
//! A step is first done to the dynos and then recorded (a stop: the other way round), so that a
//! step that is cut off leaves what the next pass recognises. Requests wait for none of this.

mod book;
mod listen;

use std::{collections::BTreeMap, time::Duration};

use api::{
    ids::DynoId,
    names::{DynoName, ProcessType},
};
use engine::{EngineError, Freeze};
use logs::LogSource;
use store::{App, AppSleep, Dyno, DynoKind, DynoState, SleepChange, SleepState, StoreError};

pub(crate) use self::{book::SleepBook, listen::listen};
use crate::{
    Platform,
    caller::system_change,
    error::Result,
    plan::{
        AppState, FormationView,
        sleep::{self, DynoSleep, SleepStep, SleepView},
    },
    sleep::{idle, stop_after},
};

/// A look that is due later than this is left to the sweep.
const SOON: Duration = Duration::from_mins(1);

/// What is known of the app's sleep.
pub(super) async fn view(
    platform: &Platform,
    app: &App,
    formation: &BTreeMap<ProcessType, FormationView>,
) -> Result<SleepView> {
    let row = platform.store.app_sleep(app).await?;
    let rows = platform.store.dynos(app.id).await?;
    let has_ended = |dyno: &Dyno| matches!(dyno.state, DynoState::Crashed | DynoState::Down);
    let mut one_offs = rows.iter().filter(|dyno| dyno.kind == DynoKind::OneOff);
    let is_visited = platform.sessions.open(app.id) > 0 || one_offs.any(|dyno| !has_ended(dyno));
    let web = formation.iter().find(|(kind, _)| kind.is_web());
    let idle = idle(
        &platform.settings,
        &row,
        web.map(|(_, web)| web.size.as_str()),
    );
    let is_asleep = row.state != SleepState::Awake;
    let may_be_frozen = is_asleep || rows.iter().any(|dyno| dyno.state == DynoState::Idle);
    let mut dynos = BTreeMap::new();
    // Where nothing sleeps or ever will, the engine need not be asked.
    if may_be_frozen || idle.is_some() {
        let formation = rows.iter().filter(|row| row.kind == DynoKind::Formation);
        for dyno in formation.filter(|dyno| !has_ended(dyno)) {
            match platform.engine.inspect(dyno.id).await {
                Ok(report) => {
                    let seen = DynoSleep {
                        is_frozen: report.sleep.is_frozen,
                        ticket: report.sleep.ticket,
                        waker: report.sleep.waker,
                        is_idle: dyno.state == DynoState::Idle,
                    };
                    dynos.insert(dyno.id, seen);
                }
                Err(EngineError::UnknownDyno(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(SleepView {
        idle,
        stop_after: stop_after(&row),
        heard: platform
            .sleep_book
            .heard(app.id, &platform.feed, platform.clock.now()),
        is_visited,
        dynos,
        row,
    })
}

/// Does the next step of falling asleep or waking, if there is one. Says whether it did.
pub(super) async fn tend(platform: &Platform, app: &App, state: &AppState) -> Result<bool> {
    let now = platform.clock.now();
    let (step, wake_at) = sleep::next(state, now);
    if state.sleep.row.state == SleepState::Awake {
        // Whoever wanted it awake has it so.
        platform.sleep_book.grant(app.id, &state.sleep.heard);
    }
    if let Some(wait) = wake_at.map(|at| at.since(now)).filter(|wait| *wait <= SOON) {
        platform.nudge_after(app.id, wait);
    }
    let is_waiting =
        step.is_none() && state.sleep.idle.is_some() && state.sleep.heard.in_flight > 0;
    platform.sleep_book.wait_for_quiet(app.id, is_waiting);
    let Some(step) = step else {
        return Ok(false);
    };
    tracing::debug!(app = %app.name, ?step, "step");
    Steps {
        platform,
        app,
        state,
    }
    .perform(step)
    .await?;
    platform.nudges.nudge(app.id);
    Ok(true)
}

struct Steps<'a> {
    platform: &'a Platform,
    app: &'a App,
    state: &'a AppState,
}

impl Steps<'_> {
    async fn perform(&self, step: SleepStep) -> Result<()> {
        let row = &self.state.sleep.row;
        match step {
            SleepStep::Rest { ticket, cause } => {
                self.platform.sleep_book.issue(self.app.id, ticket);
                self.record((SleepState::Resting, ticket), cause).await?;
                Ok(())
            }
            SleepStep::Freeze => self.freeze().await,
            SleepStep::Stop { cause } => {
                self.record((SleepState::Stopped, row.ticket), cause)
                    .await?;
                Ok(())
            }
            SleepStep::Wake { cause } => self.wake(cause).await,
            SleepStep::Thaw => self.thaw().await,
            SleepStep::Explain { cause } => {
                self.record((SleepState::Awake, row.ticket), cause).await?;
                Ok(())
            }
        }
    }

    /// Writes the step down; nothing if another was taken meanwhile.
    async fn record(&self, to: (SleepState, u64), cause: String) -> Result<Option<AppSleep>> {
        let row = &self.state.sleep.row;
        let change = system_change(cause.clone());
        let from = (row.state, row.ticket);
        let step = SleepChange { from, to, cause };
        match self
            .platform
            .store
            .change_sleep(&change, self.app, step)
            .await
        {
            Ok(after) => Ok(Some(after)),
            Err(StoreError::Stale { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn freeze(&self) -> Result<()> {
        let AppSleep { ticket, cause, .. } = &self.state.sleep.row;
        let dynos = self.formation().await?;
        let (web, others): (Vec<&Dyno>, Vec<&Dyno>) =
            dynos.iter().partition(|dyno| dyno.process_type.is_web());
        // Web dynos first: only they can refuse, and the others sleep only if these do.
        for dyno in web.into_iter().chain(others) {
            match self.platform.engine.freeze(dyno.id, *ticket).await {
                Ok(Freeze::Frozen) => {}
                Ok(Freeze::WokenBefore) => return self.wake(sleep::UNTOLD.to_owned()).await,
                Err(error) => {
                    tracing::warn!(app = %self.app.name, dyno = %dyno.name, error = &error as &dyn std::error::Error, "a dyno cannot sleep");
                    return self.wake(format!("{} cannot sleep", dyno.name)).await;
                }
            }
        }
        for dyno in &dynos {
            self.mark(dyno.id, DynoState::Idle, cause).await?;
        }
        if self
            .record((SleepState::Frozen, *ticket), cause.clone())
            .await?
            .is_some()
        {
            for dyno in &dynos {
                self.say(&dyno.name, "Idling").await;
                self.say(&dyno.name, "State changed from up to down").await;
            }
        }
        Ok(())
    }

    async fn wake(&self, cause: String) -> Result<()> {
        let former = self.state.sleep.row.state;
        let ticket = self.state.sleep.row.ticket;
        self.thaw().await?;
        let Some(_) = self
            .record((SleepState::Awake, ticket), cause.clone())
            .await?
        else {
            return Ok(());
        };
        let (names, after): (Vec<DynoName>, _) = match former {
            SleepState::Awake | SleepState::Resting => return Ok(()),
            SleepState::Frozen => {
                let dynos = self.formation().await?.into_iter();
                (dynos.map(|dyno| dyno.name).collect(), "up")
            }
            SleepState::Stopped => (self.state.slots(), "starting"),
        };
        for name in &names {
            self.say(name, &format!("Unidling: {cause}")).await;
            self.say(name, &format!("State changed from down to {after}"))
                .await;
        }
        Ok(())
    }

    /// Thaws every dyno that the engine has, and says so in its row.
    async fn thaw(&self) -> Result<()> {
        let sleep = &self.state.sleep;
        for (id, seen) in &sleep.dynos {
            // At no dyno a freeze that is still on its way may come after this.
            let ticket = sleep.row.ticket.max(seen.ticket);
            match self.platform.engine.thaw(*id, ticket).await {
                Ok(()) | Err(EngineError::UnknownDyno(_) | EngineError::Unsupported { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            if seen.is_idle {
                self.mark(*id, DynoState::Up, "it was woken").await?;
            }
        }
        Ok(())
    }

    async fn mark(&self, dyno: DynoId, state: DynoState, cause: &str) -> Result<()> {
        let change = system_change(cause);
        let marked = self
            .platform
            .store
            .set_dyno_state(&change, dyno, state, None)
            .await;
        match marked {
            // It has ended meanwhile, which the next pass sees.
            Ok(_) | Err(StoreError::Stale { .. } | StoreError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn formation(&self) -> Result<Vec<Dyno>> {
        let mut dynos = self.platform.store.dynos(self.app.id).await?;
        dynos.retain(|dyno| self.state.sleep.dynos.contains_key(&dyno.id));
        Ok(dynos)
    }

    async fn say(&self, name: &DynoName, text: &str) {
        let source = LogSource::Heroku;
        self.platform
            .say(self.app.id, source, name.as_str(), text)
            .await;
    }
}
