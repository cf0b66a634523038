//! Kinds of bad neighbours: what they run, and what they may use.

use std::collections::BTreeMap;

use api::ids::{AppId, DynoId};
use engine::{DynoKind, DynoSpec, Limits, Stdio};
use engine_local::stacks::DEFAULT_STACK;

/// A bad neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// A program for `python3`.
    pub(crate) program: &'static str,
}

/// All of them. `cargo xtask bench noise` runs the same beside a neighbour on the whole platform.
pub(crate) const KINDS: [Kind; 5] = [
    Kind {
        name: "forks",
        program: include_str!("../../../../tests/apps/bad-neighbours/forks.py"),
    },
    Kind {
        name: "memory",
        program: include_str!("../../../../tests/apps/bad-neighbours/memory.py"),
    },
    Kind {
        name: "disk",
        program: include_str!("../../../../tests/apps/bad-neighbours/disk.py"),
    },
    Kind {
        name: "logs",
        program: include_str!("../../../../tests/apps/bad-neighbours/logs.py"),
    },
    Kind {
        name: "sockets",
        program: include_str!("../../../../tests/apps/bad-neighbours/sockets.py"),
    },
];

/// Most bytes on disk of a bad neighbour.
pub(crate) const DISK_BYTES: u64 = 256 << 20;
/// Most log lines a second of one.
pub(crate) const LOG_LINES: u32 = 100;

/// A dyno that runs a command.
pub(crate) fn spec(name: &str, command: &[&str]) -> DynoSpec {
    DynoSpec {
        id: DynoId::new(),
        app: AppId::new(),
        name: name.parse().expect("a dyno's name"),
        kind: DynoKind::Formation,
        stack: DEFAULT_STACK.parse().expect("a stack's name"),
        layers: Vec::new(),
        image: None,
        capture: None,
        binds: Vec::new(),
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        env: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]),
        port: None,
        limits: Limits {
            memory_bytes: 256 << 20,
            disk_bytes: Some(DISK_BYTES),
            open_files: 2_000,
            log_lines_per_second: LOG_LINES,
            ..Limits::default()
        },
        stdio: Stdio::Logged,
        is_restarted_unattended: false,
        labels: BTreeMap::new(),
    }
}

impl Kind {
    /// It, as a dyno.
    pub(crate) fn spec(self) -> DynoSpec {
        spec("worker.1", &["python3", "-c", self.program])
    }
}
