//! One app's log in memory: its segments while in use, and the channel to those who follow it.

use std::{
    fs, mem,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use api::ids::DynoId;
use tokio::sync::broadcast;

use crate::{
    error::{DiskContext, LogError},
    line::LogLine,
    segment::{self, SegmentFile, SegmentLimits, Segments},
};

/// Lines a follower may lag behind before it loses some.
const FOLLOW_LINES: usize = 1024;
/// Files are closed after this many ticks without use.
const IDLE_TICKS: u32 = 60;

/// All methods block on the disk: call them where that is allowed.
#[derive(Debug)]
pub(crate) struct AppLog {
    dir: PathBuf,
    limits: SegmentLimits,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    segments: Option<Segments>,
    followers: Option<broadcast::Sender<Arc<LogLine>>>,
    idle_ticks: u32,
    is_removed: bool,
}

/// What a tail begins with: where the backlog is, and everything appended after it.
pub(crate) struct Snapshot {
    pub(crate) segments: Vec<SegmentFile>,
    pub(crate) following: Option<broadcast::Receiver<Arc<LogLine>>>,
}

impl AppLog {
    pub(crate) fn new(dir: PathBuf, limits: SegmentLimits) -> Self {
        Self {
            dir,
            limits,
            state: Mutex::default(),
        }
    }

    /// Appends lines, in order, and shows them to followers. Lines for a removed app are dropped.
    pub(crate) fn append(&self, lines: Vec<LogLine>) -> Result<(), LogError> {
        let mut state = self.lock();
        if state.is_removed {
            return Ok(());
        }
        let mut kept = Vec::new();
        let outcome = state.open(&self.dir, self.limits)?.append(lines, &mut kept);
        if outcome.is_err() {
            // Opening again cuts what was half written and recounts the cursors.
            state.segments = None;
        }
        if let Some(followers) = &state.followers {
            for line in kept {
                // Nobody listening any more is fine.
                drop(followers.send(line));
            }
        }
        outcome
    }

    /// Highest sequence number kept of `stream`; 0 if none.
    pub(crate) fn highest(&self, stream: DynoId) -> Result<u64, LogError> {
        let mut state = self.lock();
        if state.is_removed || (state.segments.is_none() && !self.dir.exists()) {
            return Ok(0);
        }
        Ok(state.open(&self.dir, self.limits)?.highest(stream))
    }

    /// Everything kept so far and, if asked, a channel of all that comes after.
    pub(crate) fn snapshot(&self, follow: bool) -> Result<Snapshot, LogError> {
        let mut state = self.lock();
        let segments = segment::list(&self.dir)?;
        let following = (follow && !state.is_removed).then(|| {
            state
                .followers
                .get_or_insert_with(|| broadcast::channel(FOLLOW_LINES).0)
                .subscribe()
        });
        Ok(Snapshot {
            segments,
            following,
        })
    }

    /// Syncs what was appended since the last tick and closes what is not used; true if nothing is
    /// held open any more.
    pub(crate) fn tick(&self) -> Result<bool, LogError> {
        let mut state = self.lock();
        if state
            .followers
            .as_ref()
            .is_some_and(|followers| followers.receiver_count() == 0)
        {
            state.followers = None;
        }
        state.idle_ticks += 1;
        let is_idle = state.idle_ticks > IDLE_TICKS;
        if let Some(segments) = &mut state.segments {
            segments.sync()?;
        }
        if is_idle {
            state.segments = None;
        }
        Ok(state.segments.is_none() && state.followers.is_none())
    }

    /// Deletes the app's log and ends every tail of it.
    pub(crate) fn remove(&self) -> Result<(), LogError> {
        let mut state = self.lock();
        drop(mem::replace(
            &mut *state,
            State {
                is_removed: true,
                ..State::default()
            },
        ));
        match fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            outcome => outcome.on("remove", &self.dir),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn open(&mut self, dir: &Path, limits: SegmentLimits) -> Result<&mut Segments, LogError> {
        self.idle_ticks = 0;
        if self.segments.is_none() {
            self.segments = Some(Segments::open(dir, limits)?);
        }
        Ok(self.segments.as_mut().expect("just opened"))
    }
}
