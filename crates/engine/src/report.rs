//! What an engine tells about its dynos.

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf};

use api::{
    clock::Time,
    ids::{AppId, DynoId},
    names::DynoName,
};
use serde::{Deserialize, Serialize};

use crate::spec::DynoKind;

/// One dyno as the engine sees it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DynoReport {
    /// Its id.
    pub id: DynoId,
    /// The app it belongs to.
    pub app: AppId,
    /// Its name within the app.
    pub name: DynoName,
    /// What it is for.
    pub kind: DynoKind,
    /// As given in the spec.
    pub labels: BTreeMap<String, String>,
    /// Running, or how it ended.
    pub state: DynoState,
    /// When its process was started.
    pub started_at: Time,
    /// Where the router reaches it.
    pub address: Option<IpAddr>,
    /// The port it was told to listen on.
    pub port: Option<u16>,
    /// Memory in use, bytes, without what the kernel could take back at once (page cache); zero
    /// when ended or unknown.
    pub memory_bytes: u64,
    /// Written below `/app` and on-disk `/tmp`, bytes, when last looked at.
    pub disk_bytes: u64,
    /// Log lines that could not be kept so far.
    pub dropped_lines: u64,
    /// Whether it sleeps, or may be put to sleep.
    pub sleep: Sleep,
    /// Whether its client has left it (SIGHUP), and it runs on: one that stays so is Heroku's R16.
    pub is_detached: bool,
    /// How often it crashed and was started again while nobody held the engine, oldest first; at
    /// most [`RESTARTS_KEPT`].
    pub restarts: Vec<DynoRestart>,
    /// What its (last) start took, in order.
    pub start_trace: Vec<StartPhase>,
}

/// The most restarts that are remembered of one dyno; the oldest are forgotten first.
pub const RESTARTS_KEPT: usize = 1_000;

/// A crash that nobody but the dyno's keeper saw, and the start after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DynoRestart {
    /// Counts from 1 within the dyno, also over forgotten ones.
    pub number: u64,
    /// How it ended.
    pub exit: DynoExit,
    /// When it was started again.
    pub started_at: Time,
}

/// One part of a start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartPhase {
    /// What was done: `mount the layers`.
    pub name: String,
    /// How long it took, microseconds.
    pub micros: u64,
}

/// A dyno's sleep.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sleep {
    /// Whether it is frozen now.
    pub is_frozen: bool,
    /// The ticket of its last freeze or thaw; zero before the first.
    pub ticket: u64,
    /// How anybody on this host wakes it, if it can sleep at all.
    pub waker: Option<PathBuf>,
}

/// What became of a wish to freeze a dyno.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freeze {
    /// It sleeps.
    Frozen,
    /// It was woken with this ticket or a later one already, and stays awake.
    WokenBefore,
}

/// Running or ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DynoState {
    /// Its first process runs.
    Running,
    /// It has ended.
    Ended(DynoExit),
}

/// How a dyno ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a record of facts that do not exclude each other"
)]
pub struct DynoExit {
    /// Exit status 0 to 255, unless a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Whether the kernel killed a process of it for lack of memory.
    pub is_out_of_memory: bool,
    /// Set when nobody saw it end: its keeper died with it, or the host restarted.
    pub is_lost: bool,
    /// It was ended for having written more than its limit to disk.
    #[serde(default)]
    pub is_over_disk: bool,
    /// It was asked to end and did not within the grace, so it was killed (Heroku's R12).
    #[serde(default)]
    pub was_forced: bool,
    /// When.
    pub at: Time,
}

impl DynoExit {
    /// Whether the command ended well.
    pub fn is_success(&self) -> bool {
        self.code == Some(0)
    }

    /// The status as a shell would give it: the code, or 128 + signal.
    pub fn status(&self) -> i32 {
        self.code.unwrap_or_else(|| 128 + self.signal.unwrap_or(9))
    }
}

/// A line that a dyno wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    /// Counts from 1 within the dyno; a gap means dropped lines.
    pub sequence: u64,
    /// When the line was read from the dyno.
    pub at: Time,
    /// Which output.
    pub stream: LogStream,
    /// The line without its end, at most 10 000 bytes; a longer one continues in the next record.
    pub text: String,
}

/// Which output a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Some lines, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogBatch {
    /// The lines.
    pub records: Vec<LogRecord>,
    /// The dyno has ended and nothing follows these records.
    pub ended: bool,
}

/// What to ask a dyno's port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Which port; the one it was told to listen on if absent.
    pub port: Option<u16>,
    /// The request to make; without one, accepting a connection is answer enough.
    pub http: Option<HttpQuestion>,
}

/// One GET request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpQuestion {
    /// Path and query: `/health`.
    pub path: String,
    /// Headers beside those every request has; one of these by the same name goes before it.
    pub headers: BTreeMap<String, String>,
}

impl Default for Question {
    /// `GET /` on the port it was told to listen on.
    fn default() -> Self {
        Self {
            port: None,
            http: Some(HttpQuestion {
                path: "/".to_owned(),
                headers: BTreeMap::new(),
            }),
        }
    }
}

/// What a dyno's port said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Nothing listens there.
    Refused,
    /// It accepted a connection and then said nothing in time.
    Silent,
    /// It answered; `status` is absent if the answer was not HTTP, or none was asked for.
    Answered {
        /// The HTTP status.
        status: Option<u16>,
    },
}
