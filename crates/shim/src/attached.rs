//! A dyno's terminal or pipes, and the one client that may be connected to them.
//!
//! Output written before a client comes is kept up to [`KEPT_BYTES`]; then the dyno waits, as it
//! would on any full pipe. Once a client has left, output goes nowhere.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
};

use crate::stdio::Outer;

/// How much is held in each direction.
pub(crate) const KEPT_BYTES: usize = 64 << 10;
/// The most that a pipe of an ordinary user holds (`fs.pipe-max-size`).
const MOST_HELD_BYTES: usize = 1 << 20;
/// What a terminal takes for the end of input.
const END_OF_INPUT: u8 = 4;

/// Who is connected.
#[derive(Debug)]
enum Client {
    Expected,
    Connected(UnixStream),
    Gone,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Attached {
    /// To the dyno; closed when the client has closed its half.
    input: Option<File>,
    /// From the dyno; closed when it has ended.
    output: Option<File>,
    is_terminal: bool,
    client: Client,
    /// Whether the client may still write.
    is_client_writing: bool,
    to_client: Vec<u8>,
    to_dyno: Vec<u8>,
}

/// What a poll should look for, and did find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The dyno's output.
    Output,
    /// The dyno's input.
    Input,
    /// The client.
    Client,
}

impl Attached {
    /// Takes the shim's ends, unless they are a log's.
    pub(crate) fn new(outer: Outer) -> Result<Self, Outer> {
        match outer {
            Outer::Attachable {
                input,
                output,
                is_terminal,
            } => Ok(Self {
                input: Some(input.into()),
                output: Some(output.into()),
                is_terminal,
                client: Client::Expected,
                is_client_writing: true,
                to_client: Vec::new(),
                to_dyno: Vec::new(),
            }),
            logged @ Outer::Logged { .. } => Err(logged),
        }
    }

    /// Whether no client has come yet.
    pub(crate) fn is_free(&self) -> bool {
        matches!(self.client, Client::Expected)
    }

    /// Whether the client has come and gone.
    pub(crate) fn is_left(&self) -> bool {
        matches!(self.client, Client::Gone)
    }

    /// Connects the one client.
    pub(crate) fn connect(&mut self, client: UnixStream) {
        self.client = Client::Connected(client);
    }

    /// What to poll for.
    pub(crate) fn wanted(&self) -> Vec<(End, BorrowedFd<'_>, i16)> {
        let mut wanted = Vec::new();
        if let Some(output) = &self.output
            && self.to_client.len() < KEPT_BYTES
        {
            wanted.push((End::Output, output.as_fd(), libc::POLLIN));
        }
        if let Some(input) = &self.input
            && !self.to_dyno.is_empty()
        {
            wanted.push((End::Input, input.as_fd(), libc::POLLOUT));
        }
        if let Client::Connected(client) = &self.client {
            let reads = self.is_client_writing && self.to_dyno.len() < KEPT_BYTES;
            let writes = !self.to_client.is_empty();
            let events =
                if reads { libc::POLLIN } else { 0 } | if writes { libc::POLLOUT } else { 0 };
            wanted.push((End::Client, client.as_fd(), events));
        }
        wanted
    }

    /// Does what a poll found to be possible. Returns whether the client has just left.
    pub(crate) fn advance(&mut self, end: End, found: i16) -> bool {
        match end {
            End::Output => {
                self.read_output();
            }
            End::Input => self.write_input(),
            End::Client => {
                if found & libc::POLLIN != 0 {
                    self.read_client();
                }
                // Both directions are closed: nobody is there. What it wrote is still to be read.
                let has_left = found & (libc::POLLHUP | libc::POLLERR) != 0
                    && (!self.is_client_writing || found & libc::POLLIN == 0);
                if has_left {
                    return self.disconnect();
                }
            }
        }
        self.write_input();
        self.write_client()
    }

    /// Reads everything the ended dyno has left.
    pub(crate) fn drain(&mut self) {
        while self.read_output() {}
        self.output = None;
        self.input = None;
    }

    /// Reads what the ended command has left, but no more than its pipe or terminal holds: others
    /// may still write to that.
    pub(crate) fn drain_held(&mut self) {
        let most = self.to_client.len() + MOST_HELD_BYTES;
        while self.to_client.len() < most && self.read_output() {}
        self.output = None;
        self.input = None;
    }

    /// Whether a client still waits for bytes.
    pub(crate) fn is_waited_for(&self) -> bool {
        matches!(self.client, Client::Connected(_)) && !self.to_client.is_empty()
    }

    /// What was kept for a client that never came.
    pub(crate) fn unclaimed(&self) -> Option<&[u8]> {
        matches!(self.client, Client::Expected).then_some(&self.to_client)
    }

    fn disconnect(&mut self) -> bool {
        self.client = Client::Gone;
        self.to_client.clear();
        // The terminal stays open for the hang-up signal to be what ends the dyno.
        if !self.is_terminal {
            self.input = None;
        }
        true
    }

    /// Returns whether there may be more.
    fn read_output(&mut self) -> bool {
        let Some(output) = &mut self.output else {
            return false;
        };
        let mut buffer = [0; 16 << 10];
        match output.read(&mut buffer) {
            Ok(length) if length > 0 => {
                if !matches!(self.client, Client::Gone) {
                    self.to_client.extend_from_slice(&buffer[..length]);
                }
                true
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            // A terminal that every process has closed says EIO; one may still open it again, but
            // only as long as the dyno runs, and then there is nothing to read either.
            Ok(_) | Err(_) => {
                self.output = None;
                false
            }
        }
    }

    fn read_client(&mut self) {
        let Client::Connected(client) = &mut self.client else {
            return;
        };
        let mut buffer = [0; 16 << 10];
        match client.read(&mut buffer) {
            Ok(length) if length > 0 => self.to_dyno.extend_from_slice(&buffer[..length]),
            Err(error) if is_momentary(&error) => {}
            Ok(_) | Err(_) => {
                self.is_client_writing = false;
                if self.is_terminal {
                    self.to_dyno.push(END_OF_INPUT);
                }
            }
        }
    }

    fn write_input(&mut self) {
        if let Some(input) = &mut self.input
            && !write_some(input, &mut self.to_dyno)
        {
            self.input = None;
        }
        if self.input.is_none() {
            self.to_dyno.clear();
        }
        if !self.is_client_writing && !self.is_terminal && self.to_dyno.is_empty() {
            self.input = None;
        }
    }

    fn write_client(&mut self) -> bool {
        if let Client::Connected(client) = &mut self.client
            && !write_some(client, &mut self.to_client)
        {
            return self.disconnect();
        }
        false
    }
}

fn is_momentary(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
    )
}

/// Writes what can be without waiting. Returns whether the other side is still there.
fn write_some(mut target: impl Write, bytes: &mut Vec<u8>) -> bool {
    while !bytes.is_empty() {
        match target.write(bytes) {
            Ok(length) => drop(bytes.drain(..length)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
    true
}
