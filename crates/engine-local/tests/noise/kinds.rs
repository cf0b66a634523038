//! Kinds of bad neighbours: what they run, and what they may use. Shared by the test, which looks
//! at what becomes of them, and by `examples/noise`, which measures what their neighbours feel.

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

/// All of them.
pub(crate) const KINDS: [Kind; 5] = [
    Kind {
        name: "forks",
        program: "
import os
print('begun', flush=True)
while True:
    try:
        os.fork()
    except OSError:
        pass
",
    },
    Kind {
        name: "memory",
        program: "
print('begun', flush=True)
held = []
while True:
    held.append(b'x' * (16 << 20))
",
    },
    Kind {
        name: "disk",
        program: "
print('begun', flush=True)
block = b'x' * (1 << 20)
number = 0
while True:
    number += 1
    with open(f'/app/file{number}', 'wb') as file:
        for _ in range(64):
            file.write(block)
",
    },
    Kind {
        name: "logs",
        program: "
import os
os.write(1, b'begun\\n')
lines = (b'x' * 100 + b'\\n') * 600
while True:
    os.write(1, lines)
",
    },
    Kind {
        name: "sockets",
        program: "
import socket, time
print('begun', flush=True)
held = []
listener = socket.create_server(('127.0.0.1', 9000), backlog=4096)
try:
    while True:
        one = socket.create_connection(('127.0.0.1', 9000))
        one.setblocking(False)
        held += [one, listener.accept()[0]]
        try:
            while True:
                one.send(b'x' * 65536)
        except BlockingIOError:
            pass
except OSError as error:
    print('at', len(held), error, flush=True)
while True:
    time.sleep(0.01)
    try:
        held.append(socket.socket())
    except OSError:
        pass
",
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
