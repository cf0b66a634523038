//! A dyno's standard input, output and error: pipes or a pseudo-terminal, made by the shim.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::{OpenOptionsExt, PermissionsExt, chown, fchown},
    },
    path::Path,
};

use shim::start::{Identity, Stdio};

use crate::{failure::pipe, sys};

/// The shim's ends.
#[derive(Debug)]
pub(crate) enum Outer {
    /// Where lines are read from.
    Logged {
        /// Standard output.
        output: OwnedFd,
        /// Standard error.
        error: OwnedFd,
    },
    /// What a client is connected to.
    Attachable {
        /// What the client writes goes here.
        input: OwnedFd,
        /// What the client reads comes from here.
        output: OwnedFd,
        /// Whether it is a terminal; then both are the same.
        is_terminal: bool,
    },
}

/// The dyno's ends.
#[derive(Debug)]
pub(crate) struct Inner {
    /// Standard input.
    pub(crate) input: OwnedFd,
    /// Standard output.
    pub(crate) output: OwnedFd,
    /// Standard error.
    pub(crate) error: OwnedFd,
    /// Whether they are a terminal.
    pub(crate) is_terminal: bool,
}

/// Makes both ends. `root` is the dyno's root directory with its `/dev` mounted.
pub(crate) fn make(stdio: Stdio, root: &Path, identity: Identity) -> io::Result<(Outer, Inner)> {
    // What an ordinary user makes is its own.
    let owner = (!identity.is_own()).then(|| identity.dyno());
    let (outer, inner) = match stdio {
        Stdio::Logged => {
            let (output, inner_output) = pipe()?;
            let (error, inner_error) = pipe()?;
            // `/dev/stdout` opens the pipe anew, which asks for its owner.
            fchown(&inner_output, owner, owner)?;
            fchown(&inner_error, owner, owner)?;
            let input = File::open(root.join("dev/null"))?.into();
            let inner = Inner {
                input,
                output: inner_output,
                error: inner_error,
                is_terminal: false,
            };
            (Outer::Logged { output, error }, inner)
        }
        Stdio::Pipes => {
            let (inner_input, input) = pipe()?;
            let (output, inner_output) = pipe()?;
            let error = inner_output.try_clone()?;
            fchown(&inner_input, owner, owner)?;
            fchown(&inner_output, owner, owner)?;
            let inner = Inner {
                input: inner_input,
                output: inner_output,
                error,
                is_terminal: false,
            };
            (
                Outer::Attachable {
                    input,
                    output,
                    is_terminal: false,
                },
                inner,
            )
        }
        Stdio::Terminal { columns, lines } => {
            let keeper = open_terminal(&root.join("dev/ptmx"))?;
            let number = sys::unlock_terminal(keeper.as_fd())?;
            sys::set_terminal_size(keeper.as_fd(), columns, lines)?;
            let path = root.join("dev/pts").join(number.to_string());
            fs::set_permissions(&path, Permissions::from_mode(0o620))?;
            chown(&path, owner, None)?;
            let terminal = open_terminal(&path)?;
            let outer = Outer::Attachable {
                input: keeper.try_clone()?,
                output: keeper,
                is_terminal: true,
            };
            let (input, output) = (terminal.try_clone()?, terminal.try_clone()?);
            (
                outer,
                Inner {
                    input,
                    output,
                    error: terminal,
                    is_terminal: true,
                },
            )
        }
    };
    outer.set_nonblocking()?;
    Ok((outer, inner))
}

impl Outer {
    fn set_nonblocking(&self) -> io::Result<()> {
        let (Self::Logged {
            output: one,
            error: two,
        }
        | Self::Attachable {
            output: one,
            input: two,
            ..
        }) = self;
        sys::set_nonblocking(one.as_fd())?;
        sys::set_nonblocking(two.as_fd())
    }
}

fn open_terminal(path: &Path) -> io::Result<OwnedFd> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOCTTY | libc::O_CLOEXEC)
        .open(path)?;
    Ok(file.into())
}
