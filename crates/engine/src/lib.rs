//! The [`Engine`] trait: what runs dynos, in Heroku's words.
//!
//! It must not know about releases, formations or routes; it starts what a [`DynoSpec`] says,
//! keeps it confined, and reports. Read [`Engine`] first. `sim` is an engine without processes,
//! for tests; `conformance` is the suite that every engine passes.
#![warn(missing_docs)]

pub mod conformance;
pub mod error;
pub mod report;
pub mod sim;
pub mod spec;

use std::time::Duration;

use api::ids::DynoId;
use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};

pub use crate::{
    error::EngineError,
    report::{
        DynoExit, DynoReport, DynoRestart, DynoState, Freeze, HttpQuestion, LogBatch, LogRecord,
        LogStream, Probe, Question, Sleep, StartPhase,
    },
    spec::{Bind, DynoKind, DynoSpec, ExecSpec, ImageRoot, Limits, Stdio},
};

/// What to write to a [`Sleep::waker`] socket to wake the dyno: one line. The answer is one line
/// too, and comes when the dyno runs.
pub fn wake_line(ticket: u64) -> String {
    format!("{{\"thaw\":{{\"ticket\":{ticket}}}}}\n")
}

/// Both directions of an attached dyno's terminal or pipes.
pub trait AttachStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> AttachStream for T {}

/// Runs dynos. A dyno outlives the engine value and the process that holds it: after a restart
/// [`Engine::list`] shows every dyno that was started before.
///
/// All methods are safe to call concurrently and for any dyno. Unless said otherwise, dropping a
/// returned future leaves the dyno in a state that [`Engine::list`] tells truly.
#[async_trait]
pub trait Engine: Send + Sync + 'static {
    /// Starts a dyno and returns once its process runs; whether it answers is [`Engine::probe`]'s
    /// to say.
    ///
    /// # Errors
    /// `AlreadyExists` for an id in use, `UnknownStack`, `Start` when the host refuses.
    async fn start(&self, spec: DynoSpec) -> Result<(), EngineError>;

    /// Every dyno this engine holds: running, or ended and not yet removed.
    async fn list(&self) -> Result<Vec<DynoReport>, EngineError>;

    /// One dyno's report.
    ///
    /// # Errors
    /// `UnknownDyno`.
    async fn inspect(&self, id: DynoId) -> Result<DynoReport, EngineError>;

    /// Waits until the dyno has ended, at once if it has.
    ///
    /// # Errors
    /// `UnknownDyno`.
    async fn wait(&self, id: DynoId) -> Result<DynoExit, EngineError>;

    /// Asks the dyno to end (SIGTERM to all its processes), and kills it after `grace`.
    /// Returns how it ended; at once if it had.
    ///
    /// # Errors
    /// `UnknownDyno`.
    async fn stop(&self, id: DynoId, grace: Duration) -> Result<DynoExit, EngineError>;

    /// Forgets an ended dyno and everything the host still holds of it, its log spool included.
    /// Removing an unknown dyno succeeds.
    ///
    /// # Errors
    /// `StillRunning`.
    async fn remove(&self, id: DynoId) -> Result<(), EngineError>;

    /// Connects to the terminal or pipes of a dyno started with [`Stdio::Terminal`] or
    /// [`Stdio::Pipes`]. Output written before the first attach is kept (up to 64 KiB) and
    /// comes first. The stream ends when the dyno has ended and all its output was read; dropping
    /// the stream hangs the dyno up (SIGHUP). With pipes, shutting down the write half closes the
    /// dyno's standard input.
    ///
    /// # Errors
    /// `UnknownDyno`, `NotAttachable`.
    async fn attach(&self, id: DynoId) -> Result<Box<dyn AttachStream>, EngineError>;

    /// Log lines of a [`Stdio::Logged`] dyno with a sequence number above `after` (the first is 1).
    /// Waits until there is at least one; an empty batch with `ended` set means that the dyno has
    /// ended and all was read.
    ///
    /// # Errors
    /// `UnknownDyno`.
    async fn read_log(&self, id: DynoId, after: u64) -> Result<LogBatch, EngineError>;

    /// Looks whether the dyno serves on its port, now: one TCP connection and at most one HTTP
    /// request, at most `timeout`.
    ///
    /// # Errors
    /// `UnknownDyno`. A refused or silent port is an answer, not an error.
    async fn probe(
        &self,
        id: DynoId,
        question: &Question,
        timeout: Duration,
    ) -> Result<Probe, EngineError>;

    /// Addresses the dyno's processes listen on (TCP), to explain why a boot failed:
    /// `127.0.0.1:8000`, `[::]:5000`.
    ///
    /// # Errors
    /// `UnknownDyno`.
    async fn listening(&self, id: DynoId) -> Result<Vec<String>, EngineError>;

    /// Runs another command inside a running dyno: same files, network, limits and confinement.
    /// The stream is as that of [`Engine::attach`] and ends when the command has ended; dropping
    /// it hangs the command up. The command ends with the dyno. A dyno that sleeps is woken, and is
    /// not put to sleep ([`Freeze::WokenBefore`]) while a command runs inside.
    ///
    /// # Errors
    /// `UnknownDyno`, also for one that has ended; `Unsupported`.
    async fn exec(&self, id: DynoId, spec: ExecSpec) -> Result<Box<dyn AttachStream>, EngineError>;

    /// A TCP connection to a port that a dyno's process listens on, at its loopback address or
    /// its own.
    ///
    /// # Errors
    /// `UnknownDyno`, `NotListening`, `Unsupported`.
    async fn connect(&self, id: DynoId, port: u16) -> Result<Box<dyn AttachStream>, EngineError>;

    /// Puts a dyno to sleep: it keeps its memory and gets no processor time. Whoever holds the
    /// ticket can wake it through [`Sleep::waker`], also when nobody holds the engine: connect to
    /// that unix socket, write [`wake_line`], read one line. Tickets rise; a freeze whose ticket
    /// is not above that of an earlier wake is refused, so that a wake is never lost.
    ///
    /// # Errors
    /// `UnknownDyno`, also for one that has ended; `Unsupported`.
    async fn freeze(&self, id: DynoId, ticket: u64) -> Result<Freeze, EngineError>;

    /// Wakes a dyno, or makes sure that a freeze with this ticket comes too late.
    ///
    /// # Errors
    /// `UnknownDyno`, `Unsupported`.
    async fn thaw(&self, id: DynoId, ticket: u64) -> Result<(), EngineError>;

    /// Puts back what somebody took off the host, and removes what belongs to no dyno: control
    /// groups, networks, firewall, mounts, directories. Cheap when there is nothing to do.
    /// Returns what was done, a sentence each.
    ///
    /// # Errors
    /// `Host` for the first thing that could not be mended; all others are tried.
    async fn mend(&self) -> Result<Vec<String>, EngineError>;
}
