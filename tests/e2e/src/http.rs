//! Just enough HTTP: one request, one answer, nothing retried, so that every failure shows.

use std::{
    io::{BufRead, BufReader, Error, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// A read that takes longer counts as failed.
const TIMEOUT: Duration = Duration::from_mins(1);

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Status line and headers.
    pub head: String,
    /// Body.
    pub body: String,
}

/// `GET path` of `host` at `address`, on a connection of its own.
pub fn get(address: SocketAddr, host: &str, path: &str) -> std::io::Result<Answer> {
    send(
        address,
        &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"),
    )
}

/// The same with an id that is found in the router's log.
pub fn get_as(address: SocketAddr, host: &str, path: &str, id: &str) -> std::io::Result<Answer> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nX-Request-Id: {id}\r\nConnection: close\r\n\r\n"
    );
    send(address, &request)
}

/// Sends a whole request and reads the whole answer.
pub fn send(address: SocketAddr, request: &str) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    let ended = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    let cut = || format!("{} bytes and no more: {text:?}", bytes.len());
    if let Err(error) = ended {
        return Err(Error::new(error.kind(), format!("{error} after {}", cut())));
    }
    parse(&text).ok_or_else(|| Error::new(ErrorKind::InvalidData, cut()))
}

/// The same `GET` over and over, on one connection as long as that lasts.
#[derive(Debug)]
pub struct Kept {
    address: SocketAddr,
    request: String,
    stream: Option<BufReader<TcpStream>>,
}

impl Kept {
    /// `GET path` of `host` at `address`.
    pub fn new(address: SocketAddr, host: &str, path: &str) -> Self {
        Self {
            address,
            request: format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"),
            stream: None,
        }
    }

    /// Sends it once and reads the whole answer. A connection that was closed while it lay idle is
    /// replaced, as every careful client does.
    pub fn get(&mut self) -> std::io::Result<Answer> {
        let kept = self.stream.take().filter(|kept| is_open(kept.get_ref()));
        let mut stream = if let Some(stream) = kept {
            stream
        } else {
            let stream = TcpStream::connect(self.address)?;
            stream.set_read_timeout(Some(TIMEOUT))?;
            stream.set_nodelay(true)?;
            BufReader::new(stream)
        };
        stream.get_mut().write_all(self.request.as_bytes())?;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        let length = length_of(&head).ok_or(ErrorKind::InvalidData)?;
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        let answer = parse(&(head + &String::from_utf8_lossy(&body)))
            .ok_or(Error::from(ErrorKind::InvalidData))?;
        let is_last = answer
            .head
            .to_ascii_lowercase()
            .contains("connection: close");
        self.stream = (!is_last).then_some(stream);
        Ok(answer)
    }
}

/// Whether the other side has neither closed it nor sent what nobody asked for.
fn is_open(stream: &TcpStream) -> bool {
    let peek = || {
        stream.set_nonblocking(true)?;
        let peeked = stream.peek(&mut [0]);
        stream.set_nonblocking(false)?;
        peeked
    };
    peek().is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

fn length_of(head: &str) -> Option<usize> {
    head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse().ok())?
    })
}

fn parse(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let length = length_of(head);
    if length.is_some_and(|length| body.len() < length) {
        return None;
    }
    Some(Answer {
        status,
        head: head.to_owned(),
        body: body.to_owned(),
    })
}
