//! What an engine tells about its dynos.

use std::{collections::BTreeMap, net::IpAddr};

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
    /// Memory in use, bytes; zero when ended or unknown.
    pub memory_bytes: u64,
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
pub struct DynoExit {
    /// Exit status 0 to 255, unless a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Whether the kernel killed a process of it for lack of memory.
    pub is_out_of_memory: bool,
    /// Set when nobody saw it end: its keeper died with it, or the host restarted.
    pub is_lost: bool,
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

/// What a dyno's port said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Nothing listens there.
    Refused,
    /// It accepted a connection and then said nothing in time.
    Silent,
    /// It answered; `status` is absent if the answer was not HTTP.
    Answered {
        /// The HTTP status.
        status: Option<u16>,
    },
}
