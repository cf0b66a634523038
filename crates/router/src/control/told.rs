//! What the connected server has been told of sleep, so that it is told each thing once, and all of
//! it again on a new connection.
//!
//! It must not know sockets: [`Told`] compares and says what is new.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use api::{
    clock::Time,
    ids::{AppId, DynoId},
};

use crate::{
    metrics::Distribution,
    table::{App, Backend, Keeper, Standing, Subject},
    wire::{AppActivity, AppState, FromRouter},
};

/// Of one connection.
#[derive(Debug)]
pub(super) struct Told {
    /// When the router started, by the clock of the connection's beginning.
    started: Time,
    /// The ticket last spoken of, and whether it was to say that it is used up.
    tickets: HashMap<DynoId, (u64, bool)>,
    /// The number of the last call.
    calls: HashMap<AppId, u64>,
    /// When the last request was, in milliseconds after the router's start, and what was in flight.
    activity: HashMap<AppId, (u64, u64)>,
    /// How many requests it was told the times of.
    timed: u64,
}

impl Told {
    /// Nothing. `started` is when the router started: the zero of [`App::activity`].
    pub(super) fn new(started: Time) -> Self {
        Self {
            started,
            tickets: HashMap::new(),
            calls: HashMap::new(),
            activity: HashMap::new(),
            timed: 0,
        }
    }

    /// What is new of tickets and calls of `subjects`. `is_draining` tells whether a request is in
    /// flight on a backend of this dyno that has left the table.
    ///
    /// The caller must be the thread that applies tables: see [`crate::table`].
    pub(super) fn news(
        &mut self,
        keeper: &Keeper,
        subjects: Vec<Subject>,
        is_draining: impl Fn(DynoId) -> bool,
    ) -> Vec<FromRouter> {
        let mut seen = HashSet::new();
        let mut news = Vec::new();
        for subject in subjects.into_iter().filter(|subject| seen.insert(*subject)) {
            news.extend(match subject {
                Subject::Dyno(app, dyno) => self.ticket_news(keeper, (app, dyno), &is_draining),
                Subject::App(app) => self.call_news(keeper, app),
            });
        }
        news
    }

    fn ticket_news(
        &mut self,
        keeper: &Keeper,
        (app, dyno): (AppId, DynoId),
        is_draining: impl Fn(DynoId) -> bool,
    ) -> Option<FromRouter> {
        let before = self.tickets.remove(&dyno);
        let backend = keeper.app(app)?.backend_of(dyno)?;
        let (now, message) = ticket_news(backend, is_draining, before);
        self.tickets.extend(now.map(|now| (dyno, now)));
        message
    }

    fn call_news(&mut self, keeper: &Keeper, app: AppId) -> Option<FromRouter> {
        let before = self.calls.remove(&app);
        let asleep = keeper
            .app(app)
            .filter(|app| app.state == AppState::Asleep)?;
        let call = asleep.queue.current_call()?;
        self.calls.insert(app, call.number);
        (before != Some(call.number)).then_some(FromRouter::WakeApp {
            app,
            cause: call.cause,
        })
    }

    /// What the apps had to do since this was last asked. `draining` counts what is in flight on
    /// backends that have left the table.
    pub(super) fn activity(
        &mut self,
        keeper: &Keeper,
        draining: &HashMap<AppId, u64>,
    ) -> Option<FromRouter> {
        let mut seen = HashSet::new();
        let mut apps = Vec::new();
        for app in keeper.apps() {
            let Some((last_ms, in_flight)) = look(app, draining) else {
                continue;
            };
            seen.insert(app.id);
            if self.activity.insert(app.id, (last_ms, in_flight)) != Some((last_ms, in_flight)) {
                apps.push(AppActivity {
                    app: app.id,
                    last_request_at: self.started.after(Duration::from_millis(last_ms)),
                    in_flight,
                });
            }
        }
        self.activity.retain(|app, _| seen.contains(app));
        (!apps.is_empty()).then_some(FromRouter::Activity { apps })
    }

    /// How long requests took, if others have ended since this was last asked.
    pub(super) fn service_times(&mut self, times: &Distribution) -> Option<FromRouter> {
        let before = std::mem::replace(&mut self.timed, times.count());
        (before != self.timed).then(|| FromRouter::ServiceTimes {
            counts: times.buckets.to_vec(),
        })
    }
}

/// Everything that there may be news of, for a server that knows nothing.
pub(super) fn all_subjects(keeper: &Keeper) -> Vec<Subject> {
    let of_app = |app: &Arc<App>| {
        let id = app.id;
        let dynos = app
            .sleepers()
            .iter()
            .map(move |at| Subject::Dyno(id, at.dyno));
        let asleep = (app.state == AppState::Asleep).then_some(Subject::App(id));
        dynos.chain(asleep).collect::<Vec<_>>()
    };
    keeper.apps().flat_map(of_app).collect()
}

/// What the server knows of a backend's ticket from now on, and the message that tells it.
fn ticket_news(
    backend: &Backend,
    is_draining: impl Fn(DynoId) -> bool,
    before: Option<(u64, bool)>,
) -> (Option<(u64, bool)>, Option<FromRouter>) {
    let dyno = backend.dyno;
    // First the count, then the ticket: see `table::rest`.
    let is_busy = backend.in_flight() > 0 || is_draining(dyno);
    let (now, message) = match backend.rest.standing() {
        None => return (None, None),
        Some(Standing::Due { .. }) if is_busy => return (before, None),
        Some(Standing::Due { ticket }) => ((ticket, false), FromRouter::Resting { dyno, ticket }),
        Some(Standing::Woken { ticket, cause }) => {
            let message = FromRouter::Woken {
                dyno,
                ticket,
                cause,
            };
            ((ticket, true), message)
        }
    };
    (Some(now), (before != Some(now)).then_some(message))
}

/// When an app's last request was and what is in flight; `None` before its first request.
fn look(app: &App, draining: &HashMap<AppId, u64>) -> Option<(u64, u64)> {
    // First the count: the end of a request is written before it is counted out.
    let in_flight = app.in_flight() as u64 + draining.get(&app.id).copied().unwrap_or_default();
    Some((app.activity.last_ms()?, in_flight))
}
