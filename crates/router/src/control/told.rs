//! What the connected server has been told of sleep, so that it is told each thing once, and all of
//! it again on a new connection.
//!
//! It must not know sockets: [`Told`] compares and says what is new.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use api::{
    clock::Time,
    ids::{AppId, DynoId},
};

use crate::{
    table::{App, Backend, Standing, Table},
    wire::{AppActivity, FromRouter},
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
}

impl Told {
    /// Nothing. `started` is when the router started: the zero of [`App::activity`].
    pub(super) fn new(started: Time) -> Self {
        Self {
            started,
            tickets: HashMap::new(),
            calls: HashMap::new(),
            activity: HashMap::new(),
        }
    }

    /// What is new of tickets and calls. `is_draining` tells whether a request is in flight on a
    /// backend of this dyno that has left the table.
    ///
    /// The caller must be the thread that applies tables: see [`crate::table`].
    pub(super) fn news(
        &mut self,
        table: &Table,
        is_draining: impl Fn(DynoId) -> bool,
    ) -> Vec<FromRouter> {
        let mut news = Vec::new();
        let mut tickets = HashMap::with_capacity(table.sleepers.len());
        for backend in &table.sleepers {
            let before = self.tickets.get(&backend.dyno).copied();
            let (now, message) = ticket_news(backend, &is_draining, before);
            tickets.extend(now.map(|now| (backend.dyno, now)));
            news.extend(message);
        }
        self.tickets = tickets;
        let mut calls = HashMap::new();
        for app in &table.asleep {
            let Some(call) = app.queue.current_call() else {
                continue;
            };
            calls.insert(app.id, call.number);
            if self.calls.get(&app.id) != Some(&call.number) {
                news.push(FromRouter::WakeApp {
                    app: app.id,
                    cause: call.cause,
                });
            }
        }
        self.calls = calls;
        news
    }

    /// What the apps had to do since this was last asked. `draining` counts what is in flight on
    /// backends that have left the table.
    pub(super) fn activity(
        &mut self,
        table: &Table,
        draining: &HashMap<AppId, u64>,
    ) -> Option<FromRouter> {
        let mut seen = HashSet::new();
        let mut apps = Vec::new();
        for app in table.apps() {
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
