//! The control socket of a running dyno: `ctl.sock` in its directory.
//!
//! A connection carries one [`Request`] line and gets one [`Answer`] line. After
//! [`Request::Attach`] the connection carries the dyno's terminal or pipes, byte for byte. After
//! [`Request::Watch`] the shim sends a byte when there are new log lines, and ends the connection
//! once the exit record is written.

use serde::{Deserialize, Serialize};

/// The longest request line.
pub const MAX_REQUEST_BYTES: usize = 4096;

/// What the server asks of a shim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
}

/// What a shim answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It is done, or begins.
    Done,
    /// It cannot be: a second attach, an attach to a logged dyno, an unknown request.
    Refused,
    /// To [`Request::Status`].
    Status {
        /// The wire version the shim speaks.
        version: u8,
        /// Log lines written so far.
        lines: u64,
        /// Log lines that could not be written.
        dropped: u64,
    },
}
