//! What was heard about sleep since this server listens: kept in memory, because all of it can be
//! asked for again.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use api::{
    clock::Time,
    ids::{AppId, DynoId},
};
use router::{Feed, wire::AppActivity};

use crate::plan::sleep::Heard;

/// Heard words by app.
#[derive(Debug)]
pub(crate) struct SleepBook(Mutex<Book>);

#[derive(Debug)]
struct Book {
    /// Since when no word was missed.
    since: Time,
    /// [`Feed::connections`] then.
    connections: u64,
    wishes: u64,
    apps: HashMap<AppId, Page>,
}

#[derive(Debug, Default)]
struct Page {
    heard: Heard,
    /// The app would sleep if it had no request.
    waits_for_quiet: bool,
}

impl SleepBook {
    /// A book for a server that starts to listen now.
    pub(crate) fn new(now: Time) -> Self {
        Self(Mutex::new(Book {
            since: now,
            connections: 0,
            wishes: 0,
            apps: HashMap::new(),
        }))
    }

    /// What is known of the app.
    pub(super) fn heard(&self, app: AppId, feed: &Feed, now: Time) -> Heard {
        let mut book = self.lock();
        book.notice(feed, now);
        let page = book.apps.get(&app);
        Heard {
            is_router_connected: feed.is_connected(),
            since: book.since,
            ..page.map(|page| page.heard.clone()).unwrap_or_default()
        }
    }

    /// Words were missed, or the router is another one: what it said may be outdated.
    pub(super) fn lose(&self, now: Time) {
        self.lock().lose(now);
    }

    /// Looks whether the router is still the same before its words are taken in.
    pub(super) fn notice(&self, feed: &Feed, now: Time) {
        self.lock().notice(feed, now);
    }

    /// From now on the router is told this ticket.
    pub(crate) fn issue(&self, app: AppId, ticket: u64) {
        self.change(app, |page| {
            page.heard.ticket = ticket;
            page.heard.resting.clear();
        });
    }

    pub(super) fn rests(&self, app: AppId, dyno: DynoId, ticket: u64) {
        self.change(app, |page| {
            page.heard.resting.insert(dyno, ticket);
        });
    }

    pub(super) fn woke(&self, app: AppId, ticket: u64, cause: String) {
        self.change(app, |page| {
            let woken = &mut page.heard.woken;
            // The first request is the one that woke it.
            if woken.as_ref().is_none_or(|(former, _)| *former < ticket) {
                *woken = Some((ticket, cause));
            }
        });
    }

    /// Somebody wants the app awake.
    pub(crate) fn wish(&self, app: AppId, cause: String) {
        let mut book = self.lock();
        book.wishes += 1;
        let wish = (book.wishes, cause);
        book.apps
            .entry(app)
            .or_default()
            .heard
            .wish
            .get_or_insert(wish);
    }

    /// The wish that was heard has come true; a later one stays.
    pub(super) fn grant(&self, app: AppId, heard: &Heard) {
        if let Some(page) = self.lock().apps.get_mut(&app)
            && page.heard.wish == heard.wish
        {
            page.heard.wish = None;
        }
    }

    pub(super) fn wait_for_quiet(&self, app: AppId, waits: bool) {
        let mut book = self.lock();
        match book.apps.get_mut(&app) {
            Some(page) => page.waits_for_quiet = waits,
            None if waits => book.apps.entry(app).or_default().waits_for_quiet = true,
            None => {}
        }
    }

    /// Takes in how busy the app is; says whether somebody waits for just that.
    pub(super) fn activity(&self, activity: &AppActivity) -> bool {
        self.change(activity.app, |page| {
            page.heard.last_request_at = page
                .heard
                .last_request_at
                .max(Some(activity.last_request_at));
            page.heard.in_flight = activity.in_flight;
            activity.in_flight == 0 && std::mem::take(&mut page.waits_for_quiet)
        })
    }

    /// For when the app is gone.
    pub(crate) fn forget(&self, app: AppId) {
        self.lock().apps.remove(&app);
    }

    fn change<T>(&self, app: AppId, change: impl FnOnce(&mut Page) -> T) -> T {
        change(self.lock().apps.entry(app).or_default())
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn notice(&mut self, feed: &Feed, now: Time) {
        let connections = feed.connections();
        if connections != self.connections {
            self.connections = connections;
            self.lose(now);
        }
    }

    fn lose(&mut self, now: Time) {
        self.since = now;
        for page in self.apps.values_mut() {
            page.heard.ticket = 0;
            page.heard.resting.clear();
            page.heard.in_flight = 0;
        }
    }
}
