//! The control socket of a running dyno: `ctl.sock` in its directory.
//!
//! A connection carries one [`Request`] line and gets one [`Answer`] line. After
//! [`Request::Attach`] the connection carries the dyno's terminal or pipes, byte for byte. After
//! [`Request::Watch`] the shim sends bytes ([`NEWS_LINES`] and the like) when something happens,
//! and ends the connection once the exit record is written. After [`Request::Exec`] it carries the
//! command's terminal or pipes.
//!
//! As long as a connection watches, somebody drives the dyno; without one, the shim may start it
//! again by itself ([`crate::start::StartRequest::is_restarted_unattended`]).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::start::{Stdio, Step};

/// The longest request line.
pub const MAX_REQUEST_BYTES: usize = 256 << 10;

/// Sent to watchers when there are new log lines.
pub const NEWS_LINES: u8 = b'.';
/// Sent to watchers when the dyno fell asleep or woke.
pub const NEWS_SLEEP: u8 = b's';
/// Sent to watchers when the dyno was started again.
pub const NEWS_RESTART: u8 = b'r';

/// Sent to watchers when log lines were dropped, once a second at most.
pub const NEWS_DROPPED: u8 = b'd';
/// Sent to watchers when the client of an attached dyno has left.
pub const NEWS_DETACHED: u8 = b'h';

/// What the server asks of a shim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Say when log lines were written, and when the dyno has ended.
    Watch,
    /// Connect to the terminal or pipes; once per dyno.
    Attach,
    /// Send a signal to every process of the dyno.
    Signal {
        /// Its number.
        signal: i32,
    },
    /// SIGTERM to every process, SIGKILL after the grace.
    Stop {
        /// In milliseconds.
        grace_ms: u64,
    },
    /// Say whether it still runs.
    Status,
    /// Freeze its cgroup, unless a thaw with this ticket or a later one came before: then
    /// [`Answer::Refused`]. Since version 2.
    Freeze {
        /// Rises.
        ticket: u64,
    },
    /// Thaw its cgroup, and refuse freezes up to this ticket from now on. Since version 2.
    Thaw {
        /// As in the freeze.
        ticket: u64,
    },
    /// Kill it because it wrote more than it may. Since version 2.
    EndOverDisk,
    /// Run another command inside. Since version 2.
    Exec(Exec),
}

/// A command to run inside the dyno, confined as its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exec {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Laid over the dyno's environment.
    pub environment: BTreeMap<String, String>,
    /// A terminal or pipes.
    pub stdio: Stdio,
}

/// What a shim answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It is done, or begins.
    Done,
    /// It cannot be: a second attach, an attach to a logged dyno, an unknown request.
    Refused,
    /// To [`Request::Exec`]: the command does not run. Since version 2.
    NotRun {
        /// What was being done.
        step: Step,
        /// The host's answer.
        errno: i32,
    },
    /// To [`Request::Status`].
    Status {
        /// The wire version the shim speaks.
        version: u8,
        /// Log lines written so far.
        lines: u64,
        /// Log lines that were not kept.
        dropped: u64,
        /// Whether it is frozen.
        #[serde(default)]
        is_frozen: bool,
        /// The ticket of its last freeze or thaw.
        #[serde(default)]
        ticket: u64,
        /// Whether its client has left it, and it runs on.
        #[serde(default)]
        is_detached: bool,
    },
}
