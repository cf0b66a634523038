//! A dyno as the engine holds it: its notes, and whether it has ended.
//!
//! The truth is in the dyno's directory; this follows it by a connection to the shim, which ends
//! when the dyno does. Read [`Dyno`] first.

use std::{
    fs::File,
    io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use api::{
    clock::{Clock, Time},
    ids::{AppId, DynoId},
    names::DynoName,
};
use engine::{DynoExit, DynoKind, DynoReport, DynoRestart, DynoState, Sleep, StartPhase};
use serde::{Deserialize, Serialize};
use shim::{
    VERSION,
    control::{Answer, NEWS_LINES, NEWS_RESTART, Request},
    files::{self, Exit, Restart, State},
    spool::Reader,
    start::Step,
};
use tokio::{
    io::AsyncReadExt,
    sync::{Notify, watch},
    task::AbortHandle,
};

use crate::{
    cgroup::{self, Cgroups},
    control,
    sleep::Wakers,
};

/// How long to wait before asking a shim again that lives but does not answer.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// What the engine keeps of a spec, in the dyno's `state` file. No secrets.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Notes {
    pub(crate) id: DynoId,
    pub(crate) app: AppId,
    pub(crate) name: DynoName,
    pub(crate) kind: DynoKind,
    pub(crate) labels: std::collections::BTreeMap<String, String>,
    pub(crate) port: Option<u16>,
    /// Which of the slot's networks and id ranges it has.
    pub(crate) index: u32,
    pub(crate) address: IpAddr,
    /// Whether its output goes to the log.
    pub(crate) is_logged: bool,
    /// Most bytes that it may have on disk.
    #[serde(default)]
    pub(crate) disk_limit: Option<u64>,
    /// Where what it writes below `/app` is kept, if that is not its own directory.
    #[serde(default)]
    pub(crate) capture: Option<PathBuf>,
    /// What the engine's own part of its start took.
    #[serde(default)]
    pub(crate) phases: Vec<StartPhase>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Dyno {
    pub(crate) directory: PathBuf,
    pub(crate) notes: Notes,
    pub(crate) capture_work: Option<PathBuf>,
    /// Whether its shim and its cgroup know how to sleep.
    pub(crate) can_sleep: bool,
    pub(crate) log: Mutex<Reader>,
    /// Told when the log has grown.
    pub(crate) log_grew: Notify,
    pub(crate) is_attached: AtomicBool,
    /// What it has on disk, as last looked at.
    pub(crate) disk_bytes: AtomicU64,
    live: Mutex<Live>,
    /// Held while its shim is asked how it is: an older answer must not replace a newer.
    asking: tokio::sync::Mutex<()>,
    end: watch::Sender<Option<DynoExit>>,
    watcher: Mutex<Option<AbortHandle>>,
}

/// What changes while it runs, as last heard of.
#[derive(Clone, Debug)]
struct Live {
    /// Its first process, on the host.
    process: i32,
    started_at: Time,
    start_trace: Vec<StartPhase>,
    restarts: Vec<DynoRestart>,
    sleep: Sleep,
    dropped_lines: u64,
    is_detached: bool,
}

impl Live {
    /// Takes over what the dyno's directory says.
    fn read(&mut self, directory: &Path, state: &State, notes: &Notes) {
        self.process = state.process;
        self.started_at = Time::from_micros(state.started_at_micros);
        let shim = state.trace.iter().map(|(step, micros)| StartPhase {
            name: step.describe().to_owned(),
            micros: *micros,
        });
        // The engine had no part in a later start. What starting the shim took is only known here.
        let own = notes.phases.iter().chain(
            self.start_trace
                .iter()
                .filter(|phase| phase.name == Step::Shim.describe()),
        );
        let own = own.filter(|_| state.restarts == 0).cloned();
        self.start_trace = own.chain(shim).collect();
        match files::read_restarts(directory) {
            Ok(restarts) => self.restarts = restarts.iter().map(restart).collect(),
            Err(error) => {
                tracing::warn!(dyno = %notes.id, %error, "its history cannot be read");
            }
        }
    }
}

/// Sent by shims of wire version 1 when there are new log lines.
const NEWS_LINES_1: u8 = b'\n';
/// The first wire version whose shims put dynos to sleep.
const SLEEP_VERSION: u8 = 2;

impl Dyno {
    /// The dyno of a directory with a `state`; `None` if it has none.
    pub(crate) fn load(directory: &Path, wakers: &Wakers) -> io::Result<Option<Self>> {
        let Some(state) = files::read_json::<State>(&directory.join(files::STATE))? else {
            return Ok(None);
        };
        let notes: Notes = serde_json::from_value(state.notes.clone())?;
        let can_sleep = state.version >= SLEEP_VERSION && state.cgroup.freeze.is_some();
        let mut live = Live {
            process: state.process,
            started_at: Time::from_micros(state.started_at_micros),
            start_trace: Vec::new(),
            restarts: Vec::new(),
            sleep: Sleep {
                waker: wakers.path(directory).filter(|_| can_sleep),
                ..Sleep::default()
            },
            dropped_lines: 0,
            is_detached: false,
        };
        live.read(directory, &state, &notes);
        Ok(Some(Self {
            directory: directory.to_owned(),
            notes,
            capture_work: state.capture_work,
            can_sleep,
            log: Mutex::new(Reader::new(&directory.join(files::LOG))),
            log_grew: Notify::new(),
            is_attached: AtomicBool::new(false),
            disk_bytes: AtomicU64::new(0),
            live: Mutex::new(live),
            asking: tokio::sync::Mutex::default(),
            end: watch::Sender::new(None),
            watcher: Mutex::new(None),
        }))
    }

    /// How it ended; `None` while it runs.
    pub(crate) fn ended(&self) -> Option<DynoExit> {
        self.end.borrow().clone()
    }

    /// Waits until it has ended.
    pub(crate) async fn wait(&self) -> DynoExit {
        let mut end = self.end.subscribe();
        loop {
            if let Some(exit) = end.borrow_and_update().clone() {
                return exit;
            }
            if end.changed().await.is_err() {
                // The sender is ours, so this cannot be; waiting on is the honest answer.
                std::future::pending::<()>().await;
            }
        }
    }

    /// As the engine reports it.
    pub(crate) fn report(&self, cgroups: &Cgroups) -> DynoReport {
        let ended = self.ended();
        let memory = || cgroups.memory_bytes(&self.notes.id.to_string());
        let live = self.live().clone();
        DynoReport {
            id: self.notes.id,
            app: self.notes.app,
            name: self.notes.name.clone(),
            kind: self.notes.kind,
            labels: self.notes.labels.clone(),
            started_at: live.started_at,
            address: Some(self.notes.address),
            port: self.notes.port,
            memory_bytes: if ended.is_none() { memory() } else { 0 },
            disk_bytes: self.disk_bytes.load(Ordering::Relaxed),
            dropped_lines: live.dropped_lines,
            sleep: if ended.is_none() {
                live.sleep
            } else {
                Sleep::default()
            },
            is_detached: live.is_detached && ended.is_none(),
            restarts: live.restarts,
            start_trace: live.start_trace,
            state: ended.map_or(DynoState::Running, DynoState::Ended),
        }
    }

    /// Its first process, on the host.
    pub(crate) fn process(&self) -> i32 {
        self.live().process
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks its shim how it is. One that does not answer is on its way out, and who follows it
    /// will tell.
    pub(crate) async fn refresh(&self) {
        let _turn = self.asking.lock().await;
        if let Ok((
            _,
            Answer::Status {
                dropped,
                is_frozen,
                ticket,
                is_detached,
                ..
            },
        )) = control::ask(&self.directory, Request::Status).await
        {
            let mut live = self.live();
            live.dropped_lines = dropped;
            live.sleep.is_frozen = is_frozen;
            live.sleep.ticket = ticket;
            live.is_detached = is_detached;
        }
    }

    /// Looks again what its shim has written of its last start and of those before.
    fn reload(&self) {
        match files::read_json::<State>(&self.directory.join(files::STATE)) {
            Ok(Some(state)) => self.live().read(&self.directory, &state, &self.notes),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(dyno = %self.notes.id, %error, "its state cannot be read");
            }
        }
    }

    /// Says what starting its shim took, all in all. Most of it is in the trace already.
    pub(crate) fn add_shim_phase(&self, taken: Duration) {
        let mut live = self.live();
        let own = self.notes.phases.len();
        let known: u64 = live.start_trace[own..]
            .iter()
            .map(|phase| phase.micros)
            .sum();
        let phase = phase(Step::Shim.describe(), taken, known);
        live.start_trace.insert(own, phase);
    }

    /// Follows the dyno in the background until it has ended.
    pub(crate) fn follow(self: &Arc<Self>, clock: &Clock) {
        let task = tokio::spawn(follow(Arc::clone(self), clock.clone()));
        let mut watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        *watcher = Some(task.abort_handle());
    }

    /// Stops following it; the dyno itself is not touched.
    pub(crate) fn let_go(&self) {
        let watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(watcher) = &*watcher {
            watcher.abort();
        }
    }
}

/// Whether a shim holds the dyno's directory.
pub(crate) fn is_kept(directory: &Path) -> bool {
    let Ok(lock) = File::open(directory.join(files::LOCK)) else {
        return false;
    };
    matches!(
        lock.try_lock_shared(),
        Err(std::fs::TryLockError::WouldBlock)
    )
}

async fn follow(dyno: Arc<Dyno>, clock: Clock) {
    let exit = loop {
        listen(&dyno).await;
        // Lock before exit record: a shim writes its record before it lets go.
        let is_kept = is_kept(&dyno.directory);
        match files::read_json::<Exit>(&dyno.directory.join(files::EXIT)) {
            Ok(Some(exit)) => break exit,
            Ok(None) if is_kept => {}
            Ok(None) => break lost(&dyno, &clock),
            Err(error) => {
                tracing::warn!(dyno = %dyno.notes.id, %error, "its exit record cannot be read");
                break lost(&dyno, &clock);
            }
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    };
    dyno.live().dropped_lines = exit.dropped_lines;
    dyno.end.send_replace(Some(ending(&exit)));
    dyno.log_grew.notify_waiters();
}

fn ending(exit: &Exit) -> DynoExit {
    DynoExit {
        code: exit.code,
        signal: exit.signal,
        is_out_of_memory: exit.is_out_of_memory,
        is_lost: exit.is_lost,
        is_over_disk: exit.is_over_disk,
        was_forced: exit.was_forced,
        at: Time::from_micros(exit.at_micros),
    }
}

fn restart(restart: &Restart) -> DynoRestart {
    DynoRestart {
        number: restart.number,
        exit: ending(&restart.exit),
        started_at: Time::from_micros(restart.started_at_micros),
    }
}

/// A part of a start that took so long, without the microseconds that other parts account for.
pub(crate) fn phase(name: &str, taken: Duration, known_micros: u64) -> StartPhase {
    let micros = u64::try_from(taken.as_micros()).unwrap_or(u64::MAX);
    StartPhase {
        name: name.to_owned(),
        micros: micros.saturating_sub(known_micros),
    }
}

/// Passes on what the shim tells, until it ends the connection.
async fn listen(dyno: &Dyno) {
    let Ok((mut stream, _)) = control::ask(&dyno.directory, Request::Watch).await else {
        return;
    };
    // News from before the shim knew of us.
    dyno.log_grew.notify_waiters();
    dyno.reload();
    dyno.refresh().await;
    let mut bytes = [0; 256];
    while let Ok(length @ 1..) = stream.read(&mut bytes).await {
        let is_line = |byte: &u8| [NEWS_LINES, NEWS_LINES_1].contains(byte);
        if bytes[..length].iter().any(is_line) {
            dyno.log_grew.notify_waiters();
        }
        if bytes[..length].contains(&NEWS_RESTART) {
            dyno.reload();
        }
        if !bytes[..length].iter().all(is_line) {
            dyno.refresh().await;
        }
    }
}

/// Nobody saw it end: makes sure that it has, and records that.
fn lost(dyno: &Dyno, clock: &Clock) -> Exit {
    let state = files::read_json::<State>(&dyno.directory.join(files::STATE));
    if let Ok(Some(state)) = state {
        for directory in &state.cgroup.directories {
            cgroup::kill(directory);
        }
    }
    let exit = Exit {
        version: VERSION,
        is_lost: true,
        at_micros: clock.now().as_micros(),
        ..Exit::default()
    };
    if let Err(error) = files::write_json(&dyno.directory.join(files::EXIT), &exit) {
        tracing::warn!(dyno = %dyno.notes.id, %error, "its loss could not be recorded");
    }
    exit
}
