//! What to run: everything an engine needs to start one dyno.

use std::{collections::BTreeMap, path::PathBuf};

use api::{
    ids::{AppId, DynoId},
    names::{DynoName, StackName},
};
use serde::{Deserialize, Serialize};

/// One dyno to start.
#[derive(Clone, Debug)]
pub struct DynoSpec {
    /// The new dyno's id, chosen by the caller, so that a repeated start is noticed.
    pub id: DynoId,
    /// The app it belongs to.
    pub app: AppId,
    /// Its name within the app.
    pub name: DynoName,
    /// What it is for.
    pub kind: DynoKind,
    /// The root filesystem it sees, read-only.
    pub stack: StackName,
    /// Directories that make up `/app`, lowest first; none is ever written to.
    pub layers: Vec<PathBuf>,
    /// Has the layers make up the whole root filesystem instead, which is then the dyno's to write
    /// to as far as its owners let it, and vanishes with the dyno. The stack is not seen.
    pub image: Option<ImageRoot>,
    /// Build steps only: an empty directory that keeps what the dyno wrote below `/app`, usable
    /// as a layer later. Without it, writes to `/app` vanish with the dyno.
    pub capture: Option<PathBuf>,
    /// More host directories to show inside.
    pub binds: Vec<Bind>,
    /// Program and arguments; the program is looked up in the environment's `PATH`.
    pub command: Vec<String>,
    /// The complete environment, but for what the engine adds: `HOME=/app` (in an image only where
    /// unset), `PORT` (with `port`), `DYNO`, and the host's proxy and trust-store variables where unset.
    pub env: BTreeMap<String, String>,
    /// The port a web dyno must listen on.
    pub port: Option<u16>,
    /// What it may use.
    pub limits: Limits,
    /// Whether it is started again after a crash while nobody holds the engine, as when the
    /// server is away. While somebody does, its end is only reported.
    pub is_restarted_unattended: bool,
    /// Where its output goes.
    pub stdio: Stdio,
    /// Handed back unchanged in every report: the caller's notes for re-adoption.
    pub labels: BTreeMap<String, String>,
}

/// A root filesystem that comes from an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageRoot {
    /// Where the command starts, absolute; made if the image lacks it.
    pub working_directory: PathBuf,
}

/// What a dyno is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DynoKind {
    /// Part of a formation.
    Formation,
    /// `heroku run`.
    OneOff,
    /// The release phase.
    Release,
    /// A build step: yields to all others for CPU and input/output.
    Build,
}

/// A host directory or file shown inside a dyno.
#[derive(Clone, Debug)]
pub struct Bind {
    /// On the host.
    pub source: PathBuf,
    /// Inside, absolute; made if the stack lacks it, below `/app`, `/cache`, `/opt` or `/run`.
    pub target: PathBuf,
    /// Whether the dyno may write to it; files it makes belong to the layer owner on the host.
    pub is_writable: bool,
}

/// What a dyno may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Memory quota in bytes. The hard limit is twice this (Heroku's R14 and R15).
    pub memory_bytes: u64,
    /// Relative share of processor time, 1 to 10 000; 100 is a standard-1x dyno.
    pub cpu_weight: u16,
    /// Most processor time, in hundredths of one core; without it, what others leave.
    pub cpu_percent: Option<u32>,
    /// Most processes and threads at once.
    pub pids: u32,
    /// Most files one of its processes may hold open.
    pub open_files: u64,
    /// Most bytes that it may write below `/app` and, where that is on disk, `/tmp`; it is ended
    /// when it has written more.
    pub disk_bytes: Option<u64>,
    /// Log lines a second that are kept, over any ten seconds; more are dropped and counted
    /// (Heroku's L10).
    pub log_lines_per_second: u32,
}

impl Default for Limits {
    /// A standard-1x dyno's.
    fn default() -> Self {
        Self {
            memory_bytes: 512 << 20,
            cpu_weight: 100,
            cpu_percent: None,
            pids: 256,
            open_files: 10_000,
            disk_bytes: None,
            log_lines_per_second: 1_000,
        }
    }
}

/// A command to run inside a dyno that runs already.
#[derive(Clone, Debug)]
pub struct ExecSpec {
    /// Program and arguments; the program is looked up in the environment's `PATH`.
    pub command: Vec<String>,
    /// Laid over the dyno's own environment.
    pub env: BTreeMap<String, String>,
    /// A terminal or pipes; [`Stdio::Logged`] is refused.
    pub stdio: Stdio,
}

/// Where a dyno's standard input, output and error lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stdio {
    /// Output lines go to the log spool; input is empty.
    Logged,
    /// A pseudo-terminal of this size, for [`crate::Engine::attach`].
    Terminal {
        /// Width in characters.
        columns: u16,
        /// Height in lines.
        lines: u16,
    },
    /// Plain pipes, output and error joined, for [`crate::Engine::attach`].
    Pipes,
}
