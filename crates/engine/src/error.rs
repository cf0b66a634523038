//! What an engine may refuse, and why.

use api::{ids::DynoId, names::StackName};
use thiserror::Error;

/// An engine's errors; each names the dyno or thing it is about.
#[derive(Debug, Error)]
pub enum EngineError {
    /// No dyno of this id is known, running or ended.
    #[error("no dyno {0} is known")]
    UnknownDyno(DynoId),
    /// A dyno of this id was started before.
    #[error("dyno {0} exists already")]
    AlreadyExists(DynoId),
    /// Only an ended dyno can be removed.
    #[error("dyno {0} still runs")]
    StillRunning(DynoId),
    /// The dyno was not started with a terminal or pipes, or has been attached before.
    #[error("dyno {0} cannot be attached to")]
    NotAttachable(DynoId),
    /// This engine, or the keeper that an older release gave the dyno, cannot do it.
    #[error("dyno {dyno} does not support this: {what}")]
    Unsupported {
        /// The dyno.
        dyno: DynoId,
        /// What was asked: "run a command inside it".
        what: &'static str,
    },
    /// Nothing accepts connections on that port inside the dyno.
    #[error("nothing listens on port {port} of dyno {dyno}")]
    NotListening {
        /// The dyno.
        dyno: DynoId,
        /// The port.
        port: u16,
    },
    /// The stack's root filesystem is not on this machine.
    #[error("stack {0} is not installed (hint: run `landfall stacks:build`)")]
    UnknownStack(StackName),
    /// The host refused a step of starting a dyno.
    #[error("could not start dyno {dyno}: {step}")]
    Start {
        /// The dyno.
        dyno: DynoId,
        /// What was being done: "create its cgroup", "mount /app".
        step: &'static str,
        /// The host's answer.
        #[source]
        source: std::io::Error,
    },
    /// The host refused something else.
    #[error("{step}")]
    Host {
        /// What was being done.
        step: &'static str,
        /// The host's answer.
        #[source]
        source: std::io::Error,
    },
}
