//! Everything the status page knows, and how it comes to know it: one sight after the other. Pure.
//!
//! It must not know sockets, files or threads. Read [`Model::observe`]; what people are shown of it
//! is made in [`super::report`].

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use api::{clock::Time, ids::AppId, status_notes::PostedNote};

use super::{
    days::day_of,
    history::History,
    incidents::Phase,
    judge::{self, AppSeen, Counts, RouterSeen, Verdict, WINDOW, WordSeen},
    record::{Record, Subject},
    window::Window,
};
use crate::wire::AppState;

/// Apps that are shown, the first by name.
pub(super) const SHOWN_APPS: usize = 200;
/// Between two sights that are further apart nobody watched: the machine slept.
pub(super) const PAUSE: Duration = Duration::from_mins(2);
/// Days are kept this often; a router that is killed loses no more of them.
pub(super) const KEEP_EVERY: Duration = Duration::from_mins(1);

/// What is seen at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Sight {
    pub(super) has_routes: bool,
    /// Of all apps, since the router started.
    pub(super) total: Counts,
    /// Those that want to be shown, by name.
    pub(super) apps: Vec<AppSight>,
    pub(super) notes: Vec<PostedNote>,
    /// Whether the server was heard of lately enough.
    pub(super) hears_server: bool,
    /// When it was last heard of by this process.
    pub(super) word: Option<Time>,
}

/// What is seen of an app.
#[derive(Clone, Debug)]
pub(super) struct AppSight {
    pub(super) id: AppId,
    pub(super) name: String,
    pub(super) state: AppState,
    /// Since the router started.
    pub(super) total: Counts,
}

/// All that is known.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) up_since: Time,
    pub(super) history: History,
    /// What is watched now.
    pub(super) watched: BTreeMap<Subject, Watched>,
    /// The apps among that, by name.
    pub(super) shown: Vec<(String, Subject)>,
    pub(super) notes: Vec<PostedNote>,
    /// When there was a sight, and how many there were.
    pub(super) observed_at: Time,
    pub(super) sights: u64,
    kept_at: Option<Time>,
    total: Window,
    /// Incidents that were going on when the router last watched.
    resumed: BTreeMap<Subject, Phase>,
}

/// Something while it is watched.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) verdict: Verdict,
    /// It stands so since then.
    pub(super) since: Time,
    pub(super) phase: Phase,
    window: Window,
    /// What an app's routes say, and since when.
    state: Option<(AppState, Time)>,
}

impl Model {
    /// Of a router that starts, with what was kept of the past.
    pub(super) fn new(mut history: History, now: Time) -> Self {
        history.forget(now);
        let resumed = history.resume().into_iter().collect();
        Self {
            up_since: now,
            history,
            watched: BTreeMap::new(),
            shown: Vec::new(),
            notes: Vec::new(),
            observed_at: now,
            sights: 0,
            kept_at: None,
            total: Window::default(),
            resumed,
        }
    }

    /// Takes what is seen now. Returns what is to be kept.
    pub(super) fn observe(&mut self, sight: Sight, now: Time) -> Vec<Record> {
        self.pass_time(now);
        self.total.take(sight.total, now);
        self.history.word = self.history.word.max(sight.word);
        let mut records = self.stop_watching(&sight, now);
        let router = judge::router(&RouterSeen {
            has_routes: sight.has_routes,
            up_since: self.up_since,
            counts: self.total.sum(),
            window: now.since(self.up_since).min(WINDOW),
        });
        let seen = WordSeen {
            is_fresh: sight.hears_server,
            last: self.history.word,
            up_since: self.up_since,
        };
        let control_plane = judge::control_plane(&seen, now);
        records.extend(self.see(Subject::Router, router, now));
        records.extend(self.see(Subject::ControlPlane, control_plane, now));
        for app in sight.apps.iter().take(SHOWN_APPS) {
            records.extend(self.see_app(app, now));
        }
        let shown = sight.apps.into_iter().take(SHOWN_APPS);
        self.shown = shown.map(|app| (app.name, Subject::App(app.id))).collect();
        self.notes = sight.notes;
        self.sights += 1;
        let is_due = |at: Time| now.since(at) >= KEEP_EVERY;
        if self.kept_at.is_none_or(is_due) {
            self.kept_at = Some(now);
            records.extend(self.days(now));
        }
        records
    }

    /// What changes by itself, to be kept: today, and yesterday while that may be new.
    pub(super) fn days(&self, now: Time) -> Vec<Record> {
        let today = day_of(now);
        let days = self.watched.keys().flat_map(|subject| {
            let days = self.history.days(*subject);
            [today - 1, today].into_iter().filter_map(move |day| {
                let cell = days?.cell(day)?;
                Some(Record::Day(*subject, day, cell))
            })
        });
        days.chain(self.history.word.map(Record::Word)).collect()
    }

    /// Between two sights everything was as the first one saw it.
    fn pass_time(&mut self, now: Time) {
        let before = std::mem::replace(&mut self.observed_at, now);
        if now.since(before) <= PAUSE {
            for (subject, watched) in &self.watched {
                let days = self.history.days_mut(*subject);
                days.add(watched.verdict.standing, (before, now));
            }
        }
        if day_of(before) != day_of(now) {
            self.history.forget(now);
        }
    }

    /// Lets go of apps that are no longer to be watched.
    fn stop_watching(&mut self, sight: &Sight, now: Time) -> Vec<Record> {
        if !sight.has_routes {
            // What is to be watched is not known yet.
            return Vec::new();
        }
        let wanted = sight.apps.iter().take(SHOWN_APPS);
        let wanted: BTreeSet<_> = wanted.map(|app| Subject::App(app.id)).collect();
        let is_gone =
            |subject: &Subject| matches!(subject, Subject::App(_)) && !wanted.contains(subject);
        let mut gone = Vec::new();
        self.watched.retain(|subject, watched| {
            if is_gone(subject) {
                gone.push((*subject, std::mem::take(&mut watched.phase)));
            }
            !is_gone(subject)
        });
        self.resumed.retain(|subject, phase| {
            if is_gone(subject) {
                gone.push((*subject, std::mem::take(phase)));
            }
            !is_gone(subject)
        });
        let ended = gone
            .into_iter()
            .filter_map(|(subject, mut phase)| self.history.hear(subject, phase.stop(now)));
        ended.collect()
    }

    fn see_app(&mut self, app: &AppSight, now: Time) -> Option<Record> {
        let subject = Subject::App(app.id);
        let watched = self.watched.get_mut(&subject);
        let mut window = watched.map_or_else(Window::default, |at| std::mem::take(&mut at.window));
        window.take(app.total, now);
        let before = self.watched.get(&subject).and_then(|at| at.state);
        let state = match before {
            Some((state, since)) if state == app.state => (state, since),
            _ => (app.state, now),
        };
        let verdict = judge::app(&AppSeen {
            state: app.state,
            lasted: now.since(state.1),
            counts: window.sum(),
        });
        let record = self.see(subject, verdict, now);
        if let Some(watched) = self.watched.get_mut(&subject) {
            watched.window = window;
            watched.state = Some(state);
        }
        record
    }

    fn see(&mut self, subject: Subject, verdict: Verdict, now: Time) -> Option<Record> {
        let resumed = &mut self.resumed;
        let watched = self.watched.entry(subject).or_insert_with(|| Watched {
            verdict: verdict.clone(),
            since: now,
            phase: resumed.remove(&subject).unwrap_or_default(),
            window: Window::default(),
            state: None,
        });
        if watched.verdict.standing != verdict.standing {
            watched.since = now;
        }
        let news = watched.phase.step(&verdict, now);
        watched.verdict = verdict;
        self.history.hear(subject, news)
    }
}
