//! Why a start failed: the step and the host's answer.

use std::{
    io::{self, Read, Write},
    os::fd::OwnedFd,
};

use shim::start::{StartAnswer, Step};

use crate::trace::{self, Trace};

/// What is sent before the program is run; no step has this byte.
const READY: u8 = u8::MAX;

/// A step that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Which.
    pub(crate) step: Step,
    /// The host's answer.
    pub(crate) errno: i32,
}

/// Names the step that an error belongs to.
pub(crate) trait At<T> {
    /// The error as a [`Failure`] of `step`.
    fn at(self, step: Step) -> Result<T, Failure>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, step: Step) -> Result<T, Failure> {
        self.map_err(|error| Failure {
            step,
            errno: error.raw_os_error().unwrap_or(libc::EIO),
        })
    }
}

impl Failure {
    /// As the shim answers it.
    pub(crate) fn answer(&self) -> StartAnswer {
        StartAnswer::Failed {
            step: self.step,
            errno: self.errno,
        }
    }

    /// Sends it from the dyno's first process to the shim.
    pub(crate) fn send(&self, mut pipe: impl Write) {
        let [a, b, c, d] = self.errno.to_le_bytes();
        // The shim also takes a closed pipe for an answer, so there is nobody left to tell.
        drop(pipe.write_all(&[self.step.to_byte(), a, b, c, d]));
    }

    /// Says that the program is about to run, and what has been done for it.
    pub(crate) fn send_ready(mut pipe: impl Write, trace: &Trace) {
        drop(pipe.write_all(&[READY]).and_then(|()| trace.send(pipe)));
    }

    /// Waits until the other side has sent a failure, or has closed the pipe by running the
    /// program. Returns what has been done for that.
    pub(crate) fn receive(mut pipe: impl Read) -> Result<Vec<(Step, u64)>, Self> {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).at(Step::Shim)?;
        let mut rest = bytes.as_slice();
        let mut steps = None;
        if let Some(sent) = rest.strip_prefix(&[READY]) {
            rest = sent;
            steps = Some(trace::receive(&mut rest).at(Step::Shim)?);
        }
        match rest {
            [] if let Some(steps) = steps => Ok(steps),
            [step, errno @ ..] => {
                let errno = errno
                    .first_chunk()
                    .map_or(libc::EIO, |four| i32::from_le_bytes(*four));
                Err(Self {
                    step: Step::from_byte(*step),
                    errno,
                })
            }
            // It was killed before it got anywhere.
            [] => Err(Self {
                step: Step::Namespaces,
                errno: libc::ECHILD,
            }),
        }
    }
}

/// A pipe's two ends, neither passed on to programs.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = io::pipe()?;
    Ok((reader.into(), writer.into()))
}
