//! The thin loop behind the status page: looks around, has the model take it, keeps what that says.
//!
//! It must not decide anything. Runs on the control plane's thread. Read [`Watcher::run`].

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use api::clock::{Clock, Time};
use tokio::{
    sync::{Mutex as AsyncMutex, Notify, OwnedMutexGuard},
    task::spawn_blocking,
    time::{Instant, MissedTickBehavior, interval},
};

use super::{
    Board,
    history::History,
    journal::Journal,
    judge::Counts,
    model::{AppSight, Model, Sight},
    record::Record,
};
use crate::{
    codes::Code,
    config::RouterConfig,
    feed::{PROTOCOL_WITH_WORD, SILENCE},
    metrics::{AppTotals, Ledger},
    table::Routes,
};

/// What is heard of the server.
#[derive(Debug)]
pub(crate) struct Ear {
    heard: Mutex<Heard>,
    /// See [`crate::Timeouts::word`].
    patience: Duration,
    clock: Clock,
    /// Told when it comes or goes.
    news: Notify,
}

#[derive(Debug, Default)]
struct Heard {
    /// What the connected server speaks.
    protocol: Option<u32>,
    last: Option<(Time, Instant)>,
}

/// Looks around.
#[derive(Debug)]
pub(crate) struct Watcher {
    board: Arc<Board>,
    ear: Ear,
    routes: Arc<Routes>,
    ledger: Arc<Ledger>,
    clock: Clock,
    /// See [`crate::Timeouts::look`].
    every: Duration,
    /// The history's file.
    file: Arc<AsyncMutex<File>>,
}

/// A hold on the file while another router may take it over.
#[derive(Debug)]
pub(crate) struct Held(OwnedMutexGuard<File>);

#[derive(Debug)]
struct File {
    path: PathBuf,
    /// None while it cannot be had.
    journal: Option<Journal>,
    /// It belongs to another router now.
    is_given: bool,
}

impl Ear {
    fn new(config: &RouterConfig) -> Self {
        Self {
            heard: Mutex::default(),
            patience: config.timeouts.word,
            clock: config.clock.clone(),
            news: Notify::new(),
        }
    }

    /// Which server is connected, and what it speaks.
    pub(crate) fn connected(&self, protocol: Option<u32>) {
        let former = std::mem::replace(&mut self.lock().protocol, protocol);
        if former != protocol {
            self.news.notify_one();
        }
    }

    /// It said something.
    pub(crate) fn hear(&self) {
        let now = (self.clock.now(), Instant::now());
        if self.lock().last.replace(now).is_none() {
            self.news.notify_one();
        }
    }

    /// Whether it was heard of lately enough, and when.
    fn listen(&self) -> (bool, Option<Time>) {
        let mut heard = self.lock();
        // One that does not know of this speaks only when something changes.
        let is_quiet = |protocol: u32| (2..PROTOCOL_WITH_WORD).contains(&protocol);
        if heard.protocol.is_some_and(is_quiet) {
            heard.last = Some((self.clock.now(), Instant::now()));
        }
        let Some((at, when)) = heard.last else {
            return (false, None);
        };
        // One that is connected may be stuck all the same.
        let patience = match heard.protocol {
            Some(_) => SILENCE,
            None => self.patience,
        };
        (when.elapsed() < patience, Some(at))
    }

    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watcher {
    /// Opens the history. A router whose file cannot be had watches all the same.
    pub(crate) fn open(config: &RouterConfig, routes: Arc<Routes>, ledger: Arc<Ledger>) -> Self {
        let mut history = History::default();
        let path = config.status.history.clone();
        let journal = Journal::open(&path, |record| history.take(record))
            .inspect_err(|error| tracing::error!(%error, path = %path.display(), "cannot read the status page's history"))
            .ok();
        let model = Model::new(history, config.clock.now());
        let file = File {
            path,
            journal,
            is_given: false,
        };
        Self {
            board: Arc::new(Board::new(&config.status, model)),
            ear: Ear::new(config),
            routes,
            ledger,
            clock: config.clock.clone(),
            every: config.timeouts.look,
            file: Arc::new(AsyncMutex::new(file)),
        }
    }

    pub(crate) fn board(&self) -> Arc<Board> {
        Arc::clone(&self.board)
    }

    /// Who hears the server tells this.
    pub(crate) fn ear(&self) -> &Ear {
        &self.ear
    }

    /// Looks around for ever. Safe to drop; then [`Watcher::hold`] keeps the last of it.
    pub(crate) async fn run(&self) {
        let mut ticks = interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.routes.wait_status_news() => {}
                () = self.ear.news.notified() => {}
            }
            let mut file = self.lock().await;
            if file.is_given {
                return;
            }
            let records = self.board.observe(self.look(), self.clock.now());
            if !records.is_empty() {
                file = self.keep(file, records).await;
            }
            drop(file);
        }
    }

    /// Keeps what was seen last, and touches the file no more as long as the hold lasts: for the end,
    /// and while another router may take it over.
    pub(crate) async fn hold(&self) -> Held {
        let file = self.lock().await;
        if file.is_given {
            return Held(file);
        }
        let now = self.clock.now();
        let records = self.board.observe(self.look(), now);
        let days = self.board.lock().model.days(now);
        Held(self.keep(file, [records, days].concat()).await)
    }

    async fn lock(&self) -> OwnedMutexGuard<File> {
        Arc::clone(&self.file).lock_owned().await
    }

    fn look(&self) -> Sight {
        let (hears_server, word) = self.ear.listen();
        let totals = self.ledger.apps();
        let total = totals
            .iter()
            .map(counts)
            .fold(Counts::default(), Counts::and);
        let has_routes = self.routes.current().version > 0;
        let keeper = self.routes.keeper();
        let mut apps: Vec<AppSight> = keeper
            .shown()
            .map(|app| {
                let mine = totals.iter().find(|at| at.app == Some(app.id));
                AppSight {
                    id: app.id,
                    name: app.name().to_owned(),
                    state: app.state,
                    total: mine.map(counts).unwrap_or_default(),
                }
            })
            .collect();
        apps.sort_by(|one, other| one.name.cmp(&other.name));
        Sight {
            has_routes,
            total,
            apps,
            notes: keeper.notes().cloned().collect(),
            hears_server,
            word,
        }
    }

    /// Writes to the file, off this thread. What cannot be written is written with all the rest as
    /// soon as the file can be had.
    async fn keep(
        &self,
        mut file: OwnedMutexGuard<File>,
        records: Vec<Record>,
    ) -> OwnedMutexGuard<File> {
        let is_anew = file.journal.as_ref().is_none_or(Journal::is_stale);
        let all: Vec<Record> = if is_anew {
            self.board.lock().model.history.records().collect()
        } else {
            Vec::new()
        };
        let (journal, path) = (file.journal.take(), file.path.clone());
        let written = spawn_blocking(move || {
            let mut journal = match journal {
                Some(journal) => journal,
                None => Journal::open(&path, drop)?,
            };
            if is_anew {
                journal.replace(all.into_iter())?;
            } else {
                journal.append(&records)?;
            }
            Ok::<_, std::io::Error>(journal)
        });
        match written.await.map_err(std::io::Error::other).flatten() {
            Ok(journal) => file.journal = Some(journal),
            Err(error) => {
                tracing::error!(%error, path = %file.path.display(), "cannot keep the status page's history");
            }
        }
        file
    }
}

impl Held {
    /// It belongs to another router from now on.
    pub(crate) fn give(mut self) {
        self.0.is_given = true;
        self.0.journal = None;
    }
}

/// What an app's totals mean here.
fn counts(totals: &AppTotals) -> Counts {
    let of = |code: Code| totals.codes.get(code as usize).copied().unwrap_or(0);
    // What the client, or somebody who works on the app, brought about says nothing of the app.
    let excused = |status: u16| -> u64 {
        let codes = [
            Code::H26,
            Code::H27,
            Code::H28,
            Code::H31,
            Code::H80,
            Code::H81,
        ];
        let same = codes.into_iter();
        same.filter(|code| code.meaning().status.as_u16() / 100 == status)
            .map(of)
            .sum()
    };
    let classes = |from: usize| totals.classes.iter().skip(from).sum::<u64>();
    let unanswered = [
        Code::H10,
        Code::H14,
        Code::H19,
        Code::H20,
        Code::H21,
        Code::H99,
    ];
    // The last class is 5xx.
    let failed = classes(totals.classes.len() - 1);
    Counts {
        requests: classes(0).saturating_sub(excused(4) + excused(5)),
        failed: failed.saturating_sub(excused(5)),
        unanswered: unanswered.into_iter().map(of).sum(),
        by_platform: of(Code::H99),
    }
}
