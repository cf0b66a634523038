//! [`Logs`]: every app's log, by app.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use api::{
    clock::Clock,
    ids::{AppId, DynoId},
};

use crate::{
    app_log::AppLog,
    error::{DiskContext, LogError},
    line::LogLine,
    segment::SegmentLimits,
    tail::{self, Filter, Tail},
};

/// How often appended lines are synced to the disk and idle files looked at.
const TICK: Duration = Duration::from_secs(1);

/// Where logs are kept and how much of them.
#[derive(Clone, Debug)]
pub struct LogsConfig {
    /// Holds one directory per app, named by its id.
    pub dir: PathBuf,
    /// An app's segments together; the oldest goes first. At least two segments.
    pub max_bytes_per_app: u64,
    /// One segment; also about what opening an app's log has to read.
    pub segment_bytes: u64,
    /// For the lines this room itself writes.
    pub clock: Clock,
}

impl LogsConfig {
    /// 16 MiB per app in segments of 1 MiB.
    pub fn new(dir: impl Into<PathBuf>, clock: Clock) -> Self {
        Self {
            dir: dir.into(),
            max_bytes_per_app: 16 << 20,
            segment_bytes: 1 << 20,
            clock,
        }
    }
}

/// Every app's log. Clones share it.
///
/// A line is safe from a killed process when [`Logs::append`] returns, and from a power cut within
/// a second. Files are opened on use and closed after a minute without.
#[derive(Clone, Debug)]
pub struct Logs {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: LogsConfig,
    apps: Mutex<HashMap<AppId, Arc<AppLog>>>,
}

impl Logs {
    /// Makes the directory if absent. Must be called within a Tokio runtime.
    pub fn open(config: LogsConfig) -> Result<Self, LogError> {
        std::fs::create_dir_all(&config.dir).on("create", &config.dir)?;
        let shared = Arc::new(Shared {
            config,
            apps: Mutex::default(),
        });
        tokio::spawn(keep_house(Arc::downgrade(&shared)));
        Ok(Self { shared })
    }

    /// Appends lines in order; a line whose cursor number is not above the highest kept of its
    /// stream is skipped, so that appending the same batch again does no harm.
    ///
    /// *Errors*: the disk's. Lines without a cursor may then have been kept in part.
    /// *Cancellation*: once polled, the batch is appended even if the future is dropped.
    pub async fn append(&self, app: AppId, lines: Vec<LogLine>) -> Result<(), LogError> {
        if lines.is_empty() {
            return Ok(());
        }
        let log = self.shared.app(app);
        blocking(move || log.append(lines)).await
    }

    /// The highest sequence number kept of one of the app's numbered streams; 0 if none. Survives
    /// restarts: read on from here.
    pub async fn cursor(&self, app: AppId, stream: DynoId) -> Result<u64, LogError> {
        let log = self.shared.app(app);
        blocking(move || log.highest(stream)).await
    }

    /// The last lines that pass `filter`, oldest first, then, if it follows, each new one. An app
    /// without a log has an empty one.
    pub async fn tail(&self, app: AppId, filter: Filter) -> Result<Tail, LogError> {
        let log = self.shared.app(app);
        let clock = self.shared.config.clock.clone();
        blocking(move || tail::start(&log, filter, clock)).await
    }

    /// Deletes an app's log; its tails end. Without one, nothing happens.
    pub async fn remove(&self, app: AppId) -> Result<(), LogError> {
        let log = self.shared.app(app);
        let removed = blocking(move || log.remove()).await;
        self.shared.lock().remove(&app);
        removed
    }

    /// Brings everything appended so far to the disk itself, as every second does.
    pub async fn sync(&self) -> Result<(), LogError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || shared.tick()).await
    }
}

impl Shared {
    fn app(&self, app: AppId) -> Arc<AppLog> {
        let mut apps = self.lock();
        let log = apps.entry(app).or_insert_with(|| {
            let limits = SegmentLimits {
                segment_bytes: self.config.segment_bytes,
                total_bytes: self.config.max_bytes_per_app,
            };
            Arc::new(AppLog::new(self.config.dir.join(app.to_string()), limits))
        });
        Arc::clone(log)
    }

    /// Ticks every app's log; returns the last error.
    fn tick(&self) -> Result<(), LogError> {
        let logs: Vec<_> = self
            .lock()
            .iter()
            .map(|(app, log)| (*app, Arc::clone(log)))
            .collect();
        let mut outcome = Ok(());
        for (app, log) in logs {
            match log.tick() {
                Ok(true) => self.forget_unused(app, &log),
                Ok(false) => {}
                Err(error) => outcome = Err(error),
            }
        }
        outcome
    }

    fn forget_unused(&self, app: AppId, log: &Arc<AppLog>) {
        let mut apps = self.lock();
        // The map's, and the one in hand: nobody else can get hold of it while the map is locked.
        if Arc::strong_count(log) == 2 {
            apps.remove(&app);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AppId, Arc<AppLog>>> {
        self.apps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ticks until every [`Logs`] has gone.
async fn keep_house(shared: Weak<Shared>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(shared) = shared.upgrade() else {
            return;
        };
        if let Err(error) = blocking(move || shared.tick()).await {
            tracing::warn!(%error, "cannot sync logs");
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LogError> + Send + 'static,
) -> Result<T, LogError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or(Err(LogError::Stopped))
}
