//! How a dyno is asked for: one request on the shim's standard input, one answer on its output.
//!
//! The request holds config vars, so it never touches a disk. Its shape is one version byte, a length
//! and as much JSON. The shim begins, but waits for [`GO_ON`] before it needs the dyno's cgroup, which
//! may be made meanwhile; end of file instead means that there will be none. The answer is one line
//! of JSON.

use std::{
    collections::BTreeMap,
    io::{self, Read},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

use crate::VERSION;

/// The argument that makes the program a nest: it starts nothing itself, but for each connection to
/// the listening socket that is its standard input becomes a shim, which takes its request from
/// there and answers there. It ends when nobody reads its standard output any more.
pub const NEST: &str = "nest";
/// What such a process is called (`/proc/<pid>/comm`) until it is a shim.
pub const NEST_NAME: &str = "landfall-nest";

/// Follows the request as soon as the dyno's cgroup is there.
pub const GO_ON: u8 = b'g';
/// The most bytes of JSON in a request.
const MAX_BYTES: usize = 64 << 20;

/// Everything the shim must know to start one dyno.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StartRequest {
    /// The dyno's own directory on the host: state, control socket, log, exit record.
    pub directory: PathBuf,
    /// Its host name inside.
    pub hostname: String,
    /// Program and arguments; the program is looked up in the environment's `PATH`.
    pub command: Vec<String>,
    /// The complete environment.
    pub environment: BTreeMap<String, String>,
    /// Where the program starts, inside; without it, in `/app`.
    #[serde(default)]
    pub working_directory: Option<PathBuf>,
    /// Which host ids it runs under.
    pub identity: Identity,
    /// What it sees as its file system.
    pub root: Root,
    /// The cgroup it runs in.
    pub cgroup: Place,
    /// The cgroup the shim itself moves to, out of the server's.
    pub shim_cgroup: Place,
    /// The network namespace to join; without one it has a network of its own with nothing in it.
    pub netns: Option<PathBuf>,
    /// Whether it stays in the host's network instead.
    #[serde(default)]
    pub shares_network: bool,
    /// Where input and output lead.
    pub stdio: Stdio,
    /// How it ranks among others when the host is short of something.
    pub rank: Rank,
    /// The most files it may hold open.
    pub open_files: u64,
    /// The most bytes a file it writes may have.
    #[serde(default)]
    pub file_bytes: Option<u64>,
    /// Log lines a second that are kept, over any ten seconds.
    #[serde(default)]
    pub log_lines_per_second: Option<u32>,
    /// Whether the shim starts it again after a crash that nobody watched.
    #[serde(default)]
    pub is_restarted_unattended: bool,
    /// The seccomp filter: classic BPF instructions, each packed as
    /// `code << 48 | jt << 40 | jf << 32 | k`.
    pub seccomp: Vec<u64>,
    /// The caller's notes, copied into [`crate::files::State`]: JSON as text, which is the least that
    /// can be kept of it for all of a dyno's life.
    pub notes: String,
}

/// User and group ids. Inside, ids 0 to `count - 2` and 65534 exist; the program runs as 1000.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Identity {
    /// The host id that 0 inside stands for.
    pub base: u32,
    /// How many host ids belong to the dyno; the last one is 65534 inside.
    pub count: u32,
    /// The id that files of layers have on disk; inside they belong to 1000.
    pub layer_owner: u32,
}

/// The id that a dyno's program runs as, inside.
pub const DYNO_ID: u32 = 1000;

impl Identity {
    /// That of an ordinary user's dyno: 1000 inside is the user, and there is no other id. Its
    /// keeper has no power over the host.
    pub const fn own() -> Self {
        Self {
            base: DYNO_ID,
            count: 1,
            layer_owner: DYNO_ID,
        }
    }

    /// Whether this is [`Identity::own`].
    pub const fn is_own(self) -> bool {
        self.count == 1
    }

    /// The id, where the mounts are made, of what belongs to the system.
    pub const fn system(self) -> u32 {
        self.base
    }

    /// The id, where the mounts are made, of what belongs to the dyno.
    pub const fn dyno(self) -> u32 {
        if self.is_own() {
            DYNO_ID
        } else {
            self.base + DYNO_ID
        }
    }
}

/// A dyno's file system.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Root {
    /// The root directory, shown read-only.
    pub stack: PathBuf,
    /// Whether that is the host's own, of which only the system's programs are shown.
    #[serde(default)]
    pub is_host: bool,
    /// The directory of what is the same for all dynos, see [`crate::fixtures`]; without it the
    /// dyno has devices of its own.
    #[serde(default)]
    pub fixtures: Option<PathBuf>,
    /// Directories that make up `/app`, lowest first.
    pub layers: Vec<PathBuf>,
    /// Whether they make up the whole root directory instead, which may be written to; the stack is
    /// not shown then.
    #[serde(default)]
    pub is_image: bool,
    /// The directory that keeps what is written below `/app`; otherwise that is thrown away.
    pub capture: Option<PathBuf>,
    /// More of the host's directories and files.
    pub binds: Vec<Bind>,
    /// Small files laid over `/etc`: name → content.
    pub etc: BTreeMap<String, String>,
    /// Where `/tmp` lives.
    pub tmp: Tmp,
    /// Most bytes in `/dev/shm`.
    pub shared_memory_bytes: u64,
}

/// A host directory or file shown inside.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Bind {
    /// On the host.
    pub source: PathBuf,
    /// Inside, absolute.
    pub target: PathBuf,
    /// What may be done with it.
    pub access: Access,
}

/// What a dyno may do with a bind, and how its owners are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Read and write, as the owner of layers.
    ReadWrite,
    /// Read, as the owner of layers.
    ReadOnly,
    /// Read a file system that cannot map ids, such as cgroups.
    Unmapped,
}

/// Where `/tmp` lives.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tmp {
    /// In memory, which counts as the dyno's; at most this many bytes.
    Memory(u64),
    /// On disk, beside the dyno's state.
    Disk,
}

/// A cgroup, by the ways to join and watch it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Place {
    /// A version 2 directory, to be born into.
    pub into: Option<PathBuf>,
    /// Version 1 `tasks` files, to move into.
    pub tasks: Vec<PathBuf>,
    /// A file with an `oom_kill N` line.
    pub memory_events: Option<PathBuf>,
    /// Every directory of it, to be removed when the dyno has ended.
    pub directories: Vec<PathBuf>,
    /// The file that freezes it with `1` and thaws it with `0` (version 2), or with `FROZEN` and
    /// `THAWED` (version 1, named `freezer.state`).
    #[serde(default)]
    pub freeze: Option<PathBuf>,
}

/// How a dyno ranks when the host is short of something.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Rank {
    /// 0 to 19; higher yields processor time and input/output.
    pub nice: i32,
    /// 0 to 1000; higher is killed first when the host runs out of memory.
    pub oom_score: i32,
}

/// Where standard input, output and error lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stdio {
    /// Lines to the log spool; empty input.
    Logged,
    /// A pseudo-terminal.
    Terminal {
        /// Width in characters.
        columns: u16,
        /// Height in lines.
        lines: u16,
    },
    /// Pipes, output and error joined.
    Pipes,
}

/// The shim's one answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartAnswer {
    /// The program runs, and the dyno's directory says so.
    Started,
    /// It does not, and nothing of it is left but what the caller made.
    Failed {
        /// What was being done.
        step: Step,
        /// The host's answer.
        errno: i32,
    },
}

/// The steps of a start that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Reading the request.
    Request,
    /// Leaving the server's session and cgroup.
    Detach,
    /// Files in the dyno's directory.
    Directory,
    /// User namespaces for id-mapped mounts.
    Identity,
    /// The stack.
    Stack,
    /// The layers.
    Layers,
    /// `/app`.
    App,
    /// `/dev`, `/tmp`, `/run` and `/etc`.
    SystemMounts,
    /// Binds.
    Binds,
    /// The network namespace.
    Network,
    /// Pipes or a terminal.
    Stdio,
    /// Namespaces and the first process.
    Namespaces,
    /// The cgroup.
    Cgroup,
    /// Entering the new root.
    Root,
    /// `/proc`.
    Proc,
    /// Limits, ids and capabilities.
    Privileges,
    /// The system call filter.
    Seccomp,
    /// Running the program.
    Command,
    /// The shim ended without an answer.
    Shim,
}

impl Step {
    const ALL: [Self; 19] = [
        Self::Request,
        Self::Detach,
        Self::Directory,
        Self::Identity,
        Self::Stack,
        Self::Layers,
        Self::App,
        Self::SystemMounts,
        Self::Binds,
        Self::Network,
        Self::Stdio,
        Self::Namespaces,
        Self::Cgroup,
        Self::Root,
        Self::Proc,
        Self::Privileges,
        Self::Seccomp,
        Self::Command,
        Self::Shim,
    ];

    /// What was being done, for a person.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Request => "read the start request",
            Self::Detach => "leave the server's session",
            Self::Directory => "write to the dyno's directory",
            Self::Identity => "map user ids",
            Self::Stack => "mount the stack",
            Self::Layers => "mount the layers",
            Self::App => "mount /app",
            Self::SystemMounts => "mount /dev, /tmp, /run and /etc",
            Self::Binds => "bind host directories",
            Self::Network => "join its network namespace",
            Self::Stdio => "make its pipes or terminal",
            Self::Namespaces => "make its namespaces",
            Self::Cgroup => "join its cgroup",
            Self::Root => "enter its root directory",
            Self::Proc => "mount /proc",
            Self::Privileges => "drop privileges",
            Self::Seccomp => "install the system call filter",
            Self::Command => "run its command",
            Self::Shim => "run the shim",
        }
    }

    /// The step as one byte.
    pub fn to_byte(self) -> u8 {
        let position = Self::ALL.iter().position(|step| *step == self);
        position
            .and_then(|position| u8::try_from(position).ok())
            .unwrap_or(u8::MAX)
    }

    /// The step of a byte made by [`Step::to_byte`].
    pub fn from_byte(byte: u8) -> Self {
        Self::ALL
            .get(usize::from(byte))
            .copied()
            .unwrap_or(Self::Shim)
    }
}

impl StartRequest {
    /// As it goes over the connection.
    ///
    /// # Errors
    /// `InvalidInput` if it is too long.
    pub fn encode(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![VERSION, 0, 0, 0, 0];
        serde_json::to_writer(&mut bytes, self)?;
        let (head, json) = bytes.split_at_mut(1 + size_of::<u32>());
        let length = u32::try_from(json.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        head[1..].copy_from_slice(&length.to_le_bytes());
        Ok(bytes)
    }

    /// Reads one, and nothing of what follows.
    ///
    /// # Errors
    /// `InvalidData` for another version or a malformed request.
    pub fn read(mut input: impl Read) -> io::Result<Self> {
        let mut head = [0; 1 + size_of::<u32>()];
        input.read_exact(&mut head)?;
        let [VERSION, length @ ..] = head else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let length = u32::from_le_bytes(length) as usize;
        if length > MAX_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut json = vec![0; length];
        input.read_exact(&mut json)?;
        Ok(serde_json::from_slice(&json)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_survives_being_a_byte() {
        for step in Step::ALL {
            assert_eq!(Step::from_byte(step.to_byte()), step);
        }
        assert_eq!(Step::from_byte(200), Step::Shim);
    }
}
