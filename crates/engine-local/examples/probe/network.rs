//! What the probe reaches over the network, and which kinds of socket it gets.
#![expect(
    unsafe_code,
    reason = "sockets that the standard library does not make"
)]

use std::{
    io::{self, Read},
    net::{SocketAddr, TcpStream, UdpSocket},
    os::{
        fd::{FromRawFd, OwnedFd},
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr as UnixAddress, UnixStream},
    },
    time::Duration,
};

use crate::{outcome::Outcome, tell};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// Numbers that netlink protocols have had.
const NETLINK_PROTOCOLS: std::ops::Range<libc::c_int> = 0..32;

pub(crate) fn tell_all() {
    tell("netlink protocols", &netlink());
}

/// Numbers of the netlink protocols it gets a socket for.
fn netlink() -> Outcome {
    let open = NETLINK_PROTOCOLS.filter(|protocol| socket(libc::AF_NETLINK, *protocol).is_ok());
    let open: Vec<String> = open.map(|protocol| protocol.to_string()).collect();
    Outcome::Told(open.join(" "))
}

fn socket(family: libc::c_int, protocol: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: takes numbers; the descriptor is new and nobody else's.
    unsafe {
        let socket = libc::socket(family, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, protocol);
        if socket == -1 {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedFd::from_raw_fd(socket))
    }
}

pub(crate) fn connect(address: &str) -> Outcome {
    match address.parse::<SocketAddr>() {
        Ok(address) => TcpStream::connect_timeout(&address, PATIENCE).into(),
        Err(error) => Outcome::Told(error.to_string()),
    }
}

pub(crate) fn connect_abstract(name: &str) -> Outcome {
    let address = UnixAddress::from_abstract_name(name.as_bytes());
    address
        .and_then(|address| UnixStream::connect_addr(&address))
        .into()
}

/// Sends a datagram and waits for anything that comes back, be it a refusal by the port.
pub(crate) fn send(address: &str) -> Outcome {
    let exchange = || {
        let any = if address.starts_with('[') {
            "[::]:0"
        } else {
            "0.0.0.0:0"
        };
        let socket = UdpSocket::bind(any)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.connect(address)?;
        socket.send(b"probe")?;
        socket.recv(&mut [0; 16])
    };
    in_time(exchange())
}

/// Sends an echo request and waits for the reply.
pub(crate) fn ping(address: &str) -> Outcome {
    /// Type 8, code 0, a checksum that the kernel makes, an identifier that it sets, number 1.
    const ECHO: [u8; 8] = [8, 0, 0, 0, 0, 0, 0, 1];
    let exchange = || {
        let socket = UdpSocket::from(socket(libc::AF_INET, libc::IPPROTO_ICMP)?);
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.connect((address, 0))?;
        socket.send(&ECHO)?;
        socket.recv(&mut [0; 64])
    };
    in_time(exchange())
}

/// Over a socket without a timeout of its own, running out of time looks like having to wait.
fn in_time(result: io::Result<usize>) -> Outcome {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Outcome::Refused(libc::ETIMEDOUT)
        }
        other => other.into(),
    }
}

/// What an HTTP server says first, if one answers.
pub(crate) fn greet(address: &str) -> Outcome {
    let exchange = || {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        io::Write::write_all(&mut stream, b"GET / HTTP/1.0\r\n\r\n")?;
        stream.read(&mut [0; 16])
    };
    in_time(exchange())
}
