//! Log lines: intake into append-only segments per app, tail, and a spool between two processes.
//!
//! It must not know where lines come from or who reads them. Read [`Logs`] and [`LogLine`] first;
//! [`spool`] stands alone and is what another process (the router) writes its lines to.
#![warn(clippy::indexing_slicing, clippy::string_slice)]

mod app_log;
mod cursors;
mod error;
mod frame;
mod line;
mod logs;
mod segment;
pub mod spool;
mod tail;

pub use crate::{
    error::LogError,
    line::{LogLine, LogSource},
    logs::{Logs, LogsConfig},
    tail::{Filter, Tail},
};
