//! A run of the dyno's program: its first process, and what it writes and reads.

use std::{
    fs::File,
    io::{self, Read},
    os::fd::{AsFd, OwnedFd},
};

use crate::{
    attached::Attached,
    launch::Launched,
    lines::LineReader,
    log::Log,
    stdio::Outer,
    sys::{self, Ended},
};

/// See the module.
#[derive(Debug)]
pub(crate) struct Program {
    /// Its first process.
    pub(crate) process: i32,
    /// A handle to that.
    pub(crate) pidfd: OwnedFd,
    /// Where that says how the program ended.
    status: OwnedFd,
    /// What it writes and reads.
    pub(crate) output: Output,
    started_ms: i64,
}

/// What the dyno writes and reads.
#[derive(Debug)]
pub(crate) enum Output {
    /// Lines, of standard output and standard error.
    Logged(Box<[LineReader; 2]>),
    /// A terminal or pipes.
    Attached(Box<Attached>),
}

/// How it ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    /// The wait status of the program; of the first process, if that was killed before it could
    /// tell.
    pub(crate) status: Option<i32>,
    /// Whether the first process lived to tell.
    pub(crate) is_told: bool,
    /// What the kernel knows of the first process.
    pub(crate) ended: Option<Ended>,
}

impl Program {
    /// One that has just been launched.
    pub(crate) fn new(launched: Launched) -> Self {
        Self {
            process: launched.process,
            pidfd: launched.pidfd,
            status: launched.status,
            output: Output::new(launched.outer),
            started_ms: sys::steady_millis(),
        }
    }

    /// How long it has been up.
    pub(crate) fn up_ms(&self) -> i64 {
        sys::steady_millis() - self.started_ms
    }

    /// Sends a signal to every process, through the first.
    pub(crate) fn signal(&self, signal: i32) {
        // An error means that it has just ended, which the next poll sees.
        drop(sys::signal_process(self.pidfd.as_fd(), signal));
    }

    /// Waits for its end, and that of every process of the dyno.
    pub(crate) fn wait(&self) -> io::Result<Outcome> {
        let ended = sys::wait(self.process, true)?;
        let told = self.told();
        Ok(Outcome {
            status: told.or(ended.map(|ended| ended.status)),
            is_told: told.is_some(),
            ended,
        })
    }

    fn told(&self) -> Option<i32> {
        let mut bytes = [0; 4];
        let mut pipe = File::from(self.status.try_clone().ok()?);
        pipe.read_exact(&mut bytes).ok()?;
        Some(i32::from_le_bytes(bytes))
    }
}

impl Output {
    fn new(outer: Outer) -> Self {
        match Attached::new(outer) {
            Ok(attached) => Self::Attached(Box::new(attached)),
            Err(
                Outer::Logged { output, error }
                | Outer::Attachable {
                    input: error,
                    output,
                    ..
                },
            ) => Self::Logged(Box::new([
                LineReader::new(output, 1),
                LineReader::new(error, 2),
            ])),
        }
    }

    /// Takes in what the ended dyno wrote last.
    pub(crate) fn drain(&mut self, log: &mut Log) {
        match self {
            Self::Logged(readers) => {
                for reader in readers.iter_mut() {
                    while reader.read(log) {
                        log.flush();
                    }
                    reader.end(log);
                }
                log.flush();
            }
            Self::Attached(attached) => attached.drain(),
        }
    }

    /// What was written for a client that never came.
    pub(crate) fn unclaimed(&self) -> Option<&[u8]> {
        match self {
            Self::Attached(attached) => attached.unclaimed(),
            Self::Logged(_) => None,
        }
    }

    /// Whether the client has come and gone.
    pub(crate) fn is_left(&self) -> bool {
        matches!(self, Self::Attached(attached) if attached.is_left())
    }
}
