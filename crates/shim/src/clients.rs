//! Connections to the control socket: requests come in, watchers are told.

use std::{
    io::{self, Read, Write},
    os::unix::net::{UnixListener, UnixStream},
};

use shim::control::{Answer, MAX_REQUEST_BYTES, Request};

/// Most connections at once; more wait in the listener's queue.
const MAX_CLIENTS: usize = 32;

/// A connection.
#[derive(Debug)]
struct Client {
    stream: UnixStream,
    received: Vec<u8>,
    is_watching: bool,
    is_gone: bool,
}

/// A request and the connection it came on.
#[derive(Debug)]
pub(crate) struct Asked {
    /// What is asked.
    pub(crate) request: Request,
    stream: UnixStream,
}

impl Asked {
    /// Answers that it is done.
    pub(crate) fn done(self) {
        answer(&self.stream, Answer::Done);
    }

    /// Answers that it begins, and hands over the connection.
    pub(crate) fn into_done(self) -> UnixStream {
        answer(&self.stream, Answer::Done);
        self.stream
    }

    /// Answers that it cannot be.
    pub(crate) fn refused(self) {
        answer(&self.stream, Answer::Refused);
    }

    /// Answers something else.
    pub(crate) fn answer(self, with: Answer) {
        answer(&self.stream, with);
    }
}

/// Every connection there is.
#[derive(Debug)]
pub(crate) struct Clients {
    listener: UnixListener,
    clients: Vec<Client>,
}

impl Clients {
    /// Nobody yet. The listener must not block.
    pub(crate) fn new(listener: UnixListener) -> Self {
        Self {
            listener,
            clients: Vec::new(),
        }
    }

    /// What new connections come from, while there is room for one.
    pub(crate) fn listener(&self) -> Option<&UnixListener> {
        (self.clients.len() < MAX_CLIENTS).then_some(&self.listener)
    }

    /// The connections to poll for reading, with their numbers.
    pub(crate) fn streams(&self) -> impl Iterator<Item = (usize, &UnixStream)> {
        self.clients.iter().map(|client| &client.stream).enumerate()
    }

    /// Takes in new connections.
    pub(crate) fn accept(&mut self) {
        while self.clients.len() < MAX_CLIENTS
            && let Ok((stream, _)) = self.listener.accept()
        {
            if stream.set_nonblocking(true).is_ok() {
                self.clients.push(Client {
                    stream,
                    received: Vec::new(),
                    is_watching: false,
                    is_gone: false,
                });
            }
        }
    }

    /// Reads from a connection. A whole request takes the connection out of the list.
    pub(crate) fn read(&mut self, number: usize) -> Option<Asked> {
        let client = self.clients.get_mut(number)?;
        let mut byte = [0];
        // Byte by byte: what follows the request line belongs to whoever the connection goes to.
        loop {
            match client.stream.read(&mut byte) {
                Ok(1) if byte == *b"\n" && !client.is_watching => break,
                Ok(1) if client.received.len() < MAX_REQUEST_BYTES => {
                    client.received.extend_from_slice(&byte);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => {
                    client.is_gone = true;
                    return None;
                }
            }
        }
        client.is_gone = true;
        let stream = client.stream.try_clone().ok()?;
        let Ok(request) = serde_json::from_slice(&client.received) else {
            answer(&stream, Answer::Refused);
            return None;
        };
        Some(Asked { request, stream })
    }

    /// Drops the connections that have ended or gone to somebody else.
    pub(crate) fn forget_gone(&mut self) {
        self.clients.retain(|client| !client.is_gone);
    }

    /// Keeps a connection to tell it news.
    pub(crate) fn watch(&mut self, asked: Asked) {
        let stream = asked.into_done();
        self.clients.push(Client {
            stream,
            received: Vec::new(),
            is_watching: true,
            is_gone: false,
        });
    }

    /// Whether somebody watches, as far as is known.
    pub(crate) fn has_watcher(&self) -> bool {
        self.clients
            .iter()
            .any(|client| client.is_watching && !client.is_gone)
    }

    /// Sends one of the `NEWS_…` bytes.
    pub(crate) fn tell_watchers(&mut self, news: u8) {
        for client in self.clients.iter_mut().filter(|client| client.is_watching) {
            match client.stream.write(&[news]) {
                // A full connection has bytes enough to be woken by.
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => client.is_gone = true,
            }
        }
    }

    /// Ends every connection, and takes no more.
    pub(crate) fn dismiss(&mut self) {
        self.clients.clear();
    }
}

fn answer(mut stream: &UnixStream, answer: Answer) {
    if let Ok(mut line) = serde_json::to_vec(&answer) {
        line.push(b'\n');
        // One short line fits an empty socket; who has left needs no answer.
        drop(stream.write_all(&line));
    }
}
