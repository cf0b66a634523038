//! A client's connection from its first byte to its last: heads are read here, one after the
//! other; between requests it holds next to nothing.
//!
//! What a request is answered with is [`super::carry`]. Read [`serve`].

use std::{
    future::poll_fn,
    io,
    mem::MaybeUninit,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    carry::{self, Ended},
    head::{self, Version},
    incoming::Incoming,
    malformed::Malformed,
    reply::{self, Manner},
    request::Request,
    response::Asked,
    stream::ClientStream,
};
use crate::{
    buffers::Buffer,
    lane::Lane,
    metrics::Unrouted,
    pages::{Accept, Page},
    proxy::{Peer, Refusal},
    timers::Timer,
};

/// How long a connection keeps its state after a request, for the next one.
const SETTLE: Duration = Duration::from_millis(250);
/// How long a client may go on sending what nobody reads, so that it gets to read our answer.
const LINGER: Duration = Duration::from_secs(2);
/// And how much.
const LINGER_BYTES: usize = 1024 * 1024;
/// Empty lines before a request, which some clients send (RFC 9112 §2.2).
const MAX_EMPTY_LINES: usize = 4;

/// One client's connection.
pub(crate) struct Connection {
    pub(crate) lane: Rc<Lane>,
    pub(crate) peer: Rc<Peer>,
    pub(crate) stream: ClientStream,
    /// What came and was not used yet.
    pub(crate) inbound: Option<Buffer>,
    pub(crate) timer: Timer,
    /// Whether it has sent a request of HTTP/1.x.
    is_known: bool,
}

/// What reading came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum More {
    Bytes,
    /// The client ended, or the deadline came.
    Nothing,
}

/// Why there is no request.
enum Headless {
    Refused(Malformed),
    Gone,
}

/// What becomes of the connection.
enum After {
    /// It waits for the next request.
    Idle,
    Close,
    /// Close it when the client has read our answer.
    Linger,
    /// The client speaks HTTP/2.
    Http2,
}

/// A client that speaks HTTP/2 without having been asked.
pub(crate) struct Http2Client {
    pub(crate) stream: ClientStream,
    /// What it has said so far.
    pub(crate) said: Buffer,
}

/// Serves it to its end; returned is one that speaks HTTP/2.
pub(crate) async fn serve(
    lane: Rc<Lane>,
    stream: ClientStream,
    peer: Rc<Peer>,
) -> Option<Box<Http2Client>> {
    let timer = lane.timers.timer();
    let mut connection = Connection {
        lane,
        peer,
        stream,
        inbound: None,
        timer,
        is_known: false,
    };
    let (first, next) = {
        let timeouts = &connection.lane.timeouts;
        (timeouts.header_read, timeouts.keep_alive)
    };
    connection.timer.set(first);
    while connection.idle().await == More::Bytes {
        // Boxed, so that those who are idle do not hold it.
        match Box::pin(connection.active()).await {
            After::Idle => connection.timer.set(next),
            After::Close => {
                Box::pin(connection.close()).await;
                return None;
            }
            After::Linger => {
                Box::pin(connection.linger()).await;
                return None;
            }
            After::Http2 => {
                let Connection {
                    stream, inbound, ..
                } = connection;
                return inbound.map(|said| Box::new(Http2Client { stream, said }));
            }
        }
    }
    None
}

impl Connection {
    /// Waits for the first byte of a request.
    async fn idle(&mut self) -> More {
        poll_fn(|context| {
            if self.inbound.is_some() {
                return Poll::Ready(More::Bytes);
            }
            let more = self.poll_more(context);
            if more.is_pending() && self.lane.closes_idle() {
                return Poll::Ready(More::Nothing);
            }
            more
        })
        .await
    }

    /// Answers requests as long as they come one after the other.
    async fn active(&mut self) -> After {
        loop {
            let mut incoming = match self.next().await {
                Ok(incoming) => incoming,
                Err(Headless::Gone) => return After::Close,
                Err(Headless::Refused(_)) if self.speaks_http2() => return After::Http2,
                Err(Headless::Refused(malformed)) => return self.refuse(malformed).await,
            };
            self.is_known = true;
            match carry::carry(self, &mut incoming).await {
                Ended::Next => {}
                Ended::Close => return After::Close,
                Ended::Linger => return After::Linger,
            }
            drop(incoming);
            if self.lane.closes_idle() && self.inbound.is_none() {
                return After::Close;
            }
            self.timer.set(SETTLE);
            let began = poll_fn(|context| {
                if self.inbound.is_some() {
                    return Poll::Ready(true);
                }
                let is_due = self.timer.poll_due(context);
                match self.poll_read(context) {
                    Poll::Ready(more) => Poll::Ready(more == More::Bytes),
                    Poll::Pending if is_due || self.lane.closes_idle() => Poll::Ready(false),
                    Poll::Pending => Poll::Pending,
                }
            });
            if !began.await {
                // If the client has gone, reading once more tells.
                return After::Idle;
            }
        }
    }

    /// The next request.
    async fn next(&mut self) -> Result<Incoming, Headless> {
        self.timer.set(self.lane.timeouts.header_read);
        let mut parsed_bytes = 0;
        let mut empty_lines = 0;
        loop {
            while let Some(buffer) = &mut self.inbound
                && buffer.filled().starts_with(b"\r\n")
            {
                buffer.consume(2);
                empty_lines += 1;
                if empty_lines > MAX_EMPTY_LINES {
                    return Err(Headless::Refused(Malformed::Line));
                }
            }
            let bytes = self.inbound.as_ref().map_or(&[][..], Buffer::filled);
            let new = bytes.get(parsed_bytes..).unwrap_or_default();
            // Only a whole line can change anything, or too many bytes without one.
            if memchr::memchr(b'\n', new).is_some() || bytes.len() >= head::MAX_LINE_BYTES {
                parsed_bytes = bytes.len();
                if let Some(incoming) = self.parse().map_err(Headless::Refused)? {
                    return Ok(incoming);
                }
            }
            if poll_fn(|context| self.poll_more(context)).await == More::Nothing {
                return Err(Headless::Gone);
            }
        }
    }

    fn parse(&mut self) -> Result<Option<Incoming>, Malformed> {
        let Some(buffer) = &mut self.inbound else {
            return Ok(None);
        };
        let mut slots = head::slots();
        let Some(head) = head::request(buffer.filled(), &mut slots)? else {
            return Ok(None);
        };
        let request = Request::read(&head)?;
        let incoming = Incoming::new(&request, head.fields, &self.lane, &self.peer);
        let bytes = head.bytes;
        buffer.consume(bytes);
        if buffer.is_empty() {
            self.inbound = None;
        }
        Ok(Some(incoming))
    }

    /// Whether what it said is the beginning of HTTP/2 (RFC 9113 §3.3). Over TLS that is agreed upon
    /// before.
    fn speaks_http2(&self) -> bool {
        const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        let is_plain = matches!(self.stream, ClientStream::Plain(_));
        let said = self.inbound.as_ref().map_or(&[][..], Buffer::filled);
        // Its end may still be on its way.
        let is_preface = said.starts_with(PREFACE) || PREFACE.starts_with(said);
        is_plain && !self.is_known && is_preface
    }

    async fn refuse(&mut self, malformed: Malformed) -> After {
        tracing::debug!(%malformed, client = ?self.peer.ip, "refused a request");
        self.lane.counts.unrouted(Unrouted::Malformed);
        self.answer_refusal(malformed, Version::Http11).await
    }

    async fn answer_refusal(&mut self, malformed: Malformed, version: Version) -> After {
        let refusal = match malformed {
            Malformed::Host => Refusal::Host,
            Malformed::Connect => Refusal::Method,
            Malformed::TargetTooLong => Refusal::TargetTooLong,
            Malformed::HeadTooLong | Malformed::TooManyFields => Refusal::HeadTooLong,
            _ => Refusal::Malformed,
        };
        let mut out = self.lane.buffers.text();
        let date = self.lane.dates.at(self.lane.clock.now());
        let manner = Manner {
            version,
            keeps: false,
            asked: Asked::Other,
            date: &date,
            hsts: None,
        };
        let page = Page::Refused(refusal);
        reply::page(page, Accept::Html, None, &manner, &mut out);
        match self.write(&out).await {
            Ok(()) => After::Linger,
            Err(_) => After::Close,
        }
    }

    /// Writes all of it.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.timer.set(self.lane.timeouts.rolling);
        let mut rest = bytes;
        poll_fn(|context| {
            let is_late = self.timer.poll_due(context);
            while !rest.is_empty() {
                match Pin::new(&mut self.stream).poll_write(context, rest)? {
                    Poll::Ready(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Poll::Ready(count) => rest = rest.get(count..).unwrap_or_default(),
                    Poll::Pending if is_late => {
                        return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                    }
                    Poll::Pending => return Poll::Pending,
                }
            }
            Pin::new(&mut self.stream).poll_flush(context)
        })
        .await
    }

    /// Reads more of a head, or sees that there will be none.
    fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<More> {
        let is_due = self.timer.poll_due(context);
        match self.poll_read(context) {
            Poll::Pending if is_due => Poll::Ready(More::Nothing),
            other => other,
        }
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<More> {
        let buffers = &self.lane.buffers;
        let mut buffer = self.inbound.take().unwrap_or_else(|| buffers.small());
        if !buffer.has_room(1) {
            let mut larger = buffers.large();
            larger.append(buffer.filled());
            buffer = larger;
        }
        match buffer.poll_fill(context, &mut self.stream) {
            Poll::Pending => {
                self.inbound = Some(buffer).filter(|buffer| !buffer.is_empty());
                Poll::Pending
            }
            Poll::Ready(Ok(1..)) => {
                self.inbound = Some(buffer);
                Poll::Ready(More::Bytes)
            }
            Poll::Ready(Ok(0) | Err(_)) => Poll::Ready(More::Nothing),
        }
    }

    /// Ready when the client has gone. What it sends meanwhile is kept, as far as there is room.
    pub(crate) fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<()> {
        const PIECE: usize = 512;
        loop {
            if self
                .inbound
                .as_ref()
                .is_some_and(|buffer| !buffer.has_room(PIECE))
            {
                // It has sent much ahead, so it will wait for us.
                return Poll::Pending;
            }
            let mut bytes = [const { MaybeUninit::uninit() }; PIECE];
            let mut piece = ReadBuf::uninit(&mut bytes);
            let read = Pin::new(&mut self.stream).poll_read(context, &mut piece);
            if ready!(read).is_err() || piece.filled().is_empty() {
                return Poll::Ready(());
            }
            let inbound = &mut self.inbound;
            inbound
                .get_or_insert_with(|| self.lane.buffers.small())
                .append(piece.filled());
        }
    }

    /// Tells the client that nothing more comes, as far as that goes without waiting.
    async fn close(mut self) {
        if !self.peer.is_secure {
            // Dropping the socket tells as much.
            return;
        }
        poll_fn(|context| {
            drop(Pin::new(&mut self.stream).poll_shutdown(context));
            Poll::Ready(())
        })
        .await;
    }

    /// Closes in a way that lets the client read our answer though it is still sending: with unread
    /// bytes the kernel would reset the connection.
    async fn linger(mut self) {
        self.timer.set(LINGER);
        self.inbound = None;
        let mut buffer = self.lane.buffers.small();
        let mut left = LINGER_BYTES;
        let mut is_shut = false;
        poll_fn(|context| {
            if !is_shut && Pin::new(&mut self.stream).poll_shutdown(context).is_ready() {
                is_shut = true;
            }
            loop {
                match buffer.poll_fill(context, &mut self.stream) {
                    Poll::Ready(Ok(count @ 1..)) if count < left => left -= count,
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending if self.timer.poll_due(context) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
                buffer.clear();
            }
        })
        .await;
    }
}
