//! Listening sockets as a process comes by them: made, given by its parent, activated by systemd, or
//! taken from the router that runs, so that no connection is lost when another program takes over.
//!
//! With `SO_REUSEPORT` each socket has a queue of its own: what is handed over is always all of
//! them, and every one is accepted from. Read [`Sockets`], then [`Former`].

use std::{
    io::{self, BufRead, BufReader, IoSlice, IoSliceMut, Read, Write},
    mem::MaybeUninit,
    net::{SocketAddr, TcpListener},
    num::NonZeroUsize,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::{Path, PathBuf},
    thread::available_parallelism,
    time::Duration,
};

use rustix::{
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, SocketFlags, SocketType, bind, listen, recvmsg, sendmsg,
        socket_with, sockopt,
    },
    process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open},
};

use crate::{config::ACCEPT_BACKLOG, error::RouterError, feed::Addresses};

/// The most sockets that one message carries (`SCM_MAX_FD` is 253).
const MAX_SOCKETS: usize = 252;
/// The first file that systemd passes.
const FIRST_ACTIVATED: i32 = 3;
/// How long the other router may take for each step.
const STEP_TIMEOUT: Duration = Duration::from_secs(5);
/// What the new router says first.
pub(crate) const TAKE_OVER: &str = "take over\n";
/// What it says when it accepts requests.
pub(crate) const READY: &str = "ready\n";

/// All listening sockets of a router.
#[derive(Debug)]
pub struct Sockets {
    http: Vec<TcpListener>,
    https: Vec<TcpListener>,
}

/// One thread's share of them.
#[derive(Debug)]
pub(crate) struct Share {
    pub(crate) http: Vec<TcpListener>,
    pub(crate) https: Vec<TcpListener>,
}

impl Sockets {
    /// Takes the addresses for this process, with a socket on each for every thread (one a core if
    /// `None`); port 0 finds a free one.
    pub fn claim(
        http: SocketAddr,
        https: SocketAddr,
        threads: Option<NonZeroUsize>,
    ) -> Result<Self, RouterError> {
        let cores = available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let count = threads.unwrap_or(cores).get().min(MAX_SOCKETS / 2);
        let claim =
            |address| claim(address, count).map_err(|source| RouterError::Bind { address, source });
        Ok(Self {
            http: claim(http)?,
            https: claim(https)?,
        })
    }

    /// Those that systemd passed, in the words of its `LISTEN_FDNAMES`: `http:https`, each as often
    /// as there are sockets of that name. They stay open in this process.
    pub fn activated(names: &str) -> io::Result<Self> {
        let process = pidfd_open(getpid(), PidfdFlags::empty())?;
        let mut sockets = Self {
            http: Vec::new(),
            https: Vec::new(),
        };
        for (file, name) in (FIRST_ACTIVATED..).zip(names.split(':')) {
            let socket = pidfd_getfd(&process, file, PidfdGetfdFlags::empty())?;
            match name {
                "http" => sockets.http.push(socket.into()),
                "https" => sockets.https.push(socket.into()),
                _ => tracing::warn!(
                    name,
                    "systemd passed a socket that is neither http nor https"
                ),
            }
        }
        sockets.checked()
    }

    /// Writes them to a unix socket.
    pub fn send(&self, to: impl AsFd) -> io::Result<()> {
        let files: Vec<BorrowedFd<'_>> = self.all().map(AsFd::as_fd).collect();
        let text = format!("sockets {} {}\n", self.http.len(), self.https.len());
        let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_SOCKETS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if files.len() > MAX_SOCKETS || !control.push(SendAncillaryMessage::ScmRights(&files)) {
            return Err(io::Error::other("there are too many sockets for a message"));
        }
        let text = [IoSlice::new(text.as_bytes())];
        sendmsg(to, &text, &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Reads them from a unix socket.
    pub fn receive(from: impl AsFd) -> io::Result<Self> {
        let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_SOCKETS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut bytes = [0; 64];
        let received = recvmsg(
            from,
            &mut [IoSliceMut::new(&mut bytes)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        )?;
        let mut files: Vec<OwnedFd> = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                files.extend(rights);
            }
        }
        let text = bytes.get(..received.bytes).unwrap_or_default();
        let http = std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.strip_prefix("sockets "))
            .and_then(|text| text.split_once(' ')?.0.parse().ok())
            .filter(|http| *http <= files.len())
            .ok_or_else(|| io::Error::other("that was no message with sockets"))?;
        let https = files.split_off(http);
        let listeners = |files: Vec<OwnedFd>| files.into_iter().map(TcpListener::from).collect();
        Self {
            http: listeners(files),
            https: listeners(https),
        }
        .checked()
    }

    fn checked(self) -> io::Result<Self> {
        if self.http.is_empty() || self.https.is_empty() {
            return Err(io::Error::other(
                "there must be sockets for http and for https",
            ));
        }
        Ok(self)
    }

    /// Where they listen.
    pub fn addresses(&self) -> io::Result<Addresses> {
        let first = |listeners: &[TcpListener]| match listeners.first() {
            Some(listener) => listener.local_addr(),
            None => Err(io::ErrorKind::NotFound.into()),
        };
        Ok(Addresses {
            http: first(&self.http)?,
            https: first(&self.https)?,
        })
    }

    /// What thread number `lane` of `lanes` accepts from: nobody's are left over, and if there are
    /// too few, threads share.
    pub(crate) fn share(&self, lane: usize, lanes: usize) -> io::Result<Share> {
        Ok(Share {
            http: share(&self.http, lane, lanes)?,
            https: share(&self.https, lane, lanes)?,
        })
    }

    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        let clone = |listeners: &[TcpListener]| {
            let clones = listeners.iter().map(TcpListener::try_clone);
            clones.collect::<io::Result<Vec<_>>>()
        };
        Ok(Self {
            http: clone(&self.http)?,
            https: clone(&self.https)?,
        })
    }

    fn all(&self) -> impl Iterator<Item = &TcpListener> {
        self.http.iter().chain(&self.https)
    }
}

fn share(all: &[TcpListener], lane: usize, lanes: usize) -> io::Result<Vec<TcpListener>> {
    let own = |(index, _): &(usize, &TcpListener)| {
        index % lanes == lane || (all.len() < lanes && *index == lane % all.len())
    };
    let own = all.iter().enumerate().filter(own);
    own.map(|(_, listener)| {
        listener.set_nonblocking(true)?;
        listener.try_clone()
    })
    .collect()
}

fn claim(address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    // With `SO_REUSEPORT` a second router would silently take half of the connections: find out
    // whether anybody listens there before using it.
    if address.port() != 0 {
        bind(&socket(address)?, &address)?;
    }
    let first = shared_listener(address)?;
    let address = first.local_addr()?;
    let others = (1..count).map(|_| shared_listener(address));
    std::iter::once(Ok(first)).chain(others).collect()
}

fn socket(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    Ok(socket)
}

/// A socket on an address that another process of this user may listen on, too.
pub(crate) fn shared_listener(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(address)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    bind(&socket, &address)?;
    listen(&socket, ACCEPT_BACKLOG)?;
    Ok(socket.into())
}

/// Where a router can be taken over from.
pub(crate) fn path(control_socket: &Path) -> PathBuf {
    control_socket.with_extension("handover")
}

/// A router that runs and lets this one take its place: it takes no routes any more, its access log
/// is free, and it serves on until [`Former::dismiss`]; if this is dropped, for good.
#[derive(Debug)]
pub(crate) struct Former {
    stream: BufReader<UnixStream>,
    pub(crate) sockets: Sockets,
}

impl Former {
    /// Asks the router at this control socket, if there is one.
    pub(crate) fn ask(control_socket: &Path) -> Option<Self> {
        let stream = UnixStream::connect(path(control_socket)).ok()?;
        let asked = || -> io::Result<Sockets> {
            stream.set_read_timeout(Some(STEP_TIMEOUT))?;
            stream.set_write_timeout(Some(STEP_TIMEOUT))?;
            (&stream).write_all(TAKE_OVER.as_bytes())?;
            Sockets::receive(&stream)
        };
        match asked() {
            Ok(sockets) => Some(Self {
                stream: BufReader::new(stream),
                sockets,
            }),
            Err(error) => {
                tracing::warn!(%error, "the router that runs does not hand over");
                None
            }
        }
    }

    /// Tells it to accept no more and to end when its last request has. What it has left to say, its
    /// access lines, can be read until then.
    pub(crate) fn dismiss(mut self) -> io::Result<Lines> {
        self.stream.get_mut().write_all(READY.as_bytes())?;
        Ok(Lines(self.stream))
    }
}

/// The access lines of a router that is ending: as it batches them, each after its length.
pub(crate) struct Lines(BufReader<UnixStream>);

impl Lines {
    /// The next record, with its length before it; `None` after the last one. Waits no longer than
    /// `limit` at a time, and asks then whether to go on.
    pub(crate) fn next(
        &mut self,
        limit: Duration,
        goes_on: impl Fn() -> bool,
    ) -> io::Result<Option<Vec<u8>>> {
        self.0.get_ref().set_read_timeout(Some(limit))?;
        while let Err(error) = self.0.fill_buf() {
            let is_late = matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
            );
            if !is_late || !goes_on() {
                return Err(error);
            }
        }
        if self.0.fill_buf()?.is_empty() {
            return Ok(None);
        }
        self.0.get_ref().set_read_timeout(Some(STEP_TIMEOUT))?;
        let mut record = vec![0; 4];
        self.0.read_exact(&mut record)?;
        let length = record
            .first_chunk()
            .map_or(0, |head| u32::from_le_bytes(*head));
        if u64::from(length) > logs::spool::MAX_RECORD_BYTES as u64 {
            return Err(io::Error::other("a record is too long"));
        }
        let length = u64::from(length);
        let read = (&mut self.0).take(length).read_to_end(&mut record)?;
        if read as u64 != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Some(record))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claimed(count: usize) -> Sockets {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Sockets::claim(any, any, NonZeroUsize::new(count)).unwrap()
    }

    #[test]
    fn sockets_travel_over_a_unix_socket() {
        let sockets = claimed(3);
        let (one, two) = UnixStream::pair().unwrap();
        sockets.send(&one).unwrap();
        let received = Sockets::receive(&two).unwrap();
        assert_eq!((received.http.len(), received.https.len()), (3, 3));
        let addresses = sockets.addresses().unwrap();
        assert_eq!(received.addresses().unwrap(), addresses);
        drop(sockets);
        assert!(
            std::net::TcpStream::connect(addresses.http).is_ok(),
            "it lives on"
        );
        (&one).write_all(b"nonsense").unwrap();
        assert!(Sockets::receive(&two).is_err());
        drop(one);
        assert!(Sockets::receive(&two).is_err());
    }

    #[test]
    fn every_socket_is_somebodys_and_nobody_is_without() {
        for (sockets, lanes) in [(1, 1), (1, 4), (3, 2), (2, 3), (4, 4), (5, 2)] {
            let all = claimed(sockets);
            let mut count = 0;
            for lane in 0..lanes {
                let share = all.share(lane, lanes).unwrap();
                assert!(!share.http.is_empty() && !share.https.is_empty());
                count += share.http.len();
            }
            assert_eq!(
                count,
                sockets.max(lanes),
                "{sockets} sockets, {lanes} threads"
            );
        }
    }
}
