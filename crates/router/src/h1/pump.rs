//! A body on its way from one side to the other: decoded, framed anew, with back-pressure.
//!
//! [`Pump`] never reads while anything waits to be written, so what it holds is bounded. What it
//! reads lies in one buffer and is written from there; only small pieces are copied, so that they
//! leave in one write with the head or the framing before them.

use std::{
    io::IoSlice,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    chunked::{self, Decoder, Step},
    framing::BodyLength,
};
use crate::buffers::{Buffer, Buffers, SMALL_BYTES, Text};

/// Up to here copying is cheaper than a further slice to write.
const COPY_BYTES: usize = 4 * 1024;
/// The same for chunks, which would need two further slices.
const COPY_CHUNK_BYTES: usize = 16 * 1024;

/// One body, from one side to the other.
#[derive(Debug)]
pub(crate) struct Pump {
    decode: Decode,
    encode: Encode,
    /// What is to be written first; `sent` of it are.
    out: Text,
    sent: usize,
    /// How much of the lead is written.
    lead_sent: usize,
    /// How much of the buffer is to be written next,
    direct: usize,
    /// and how much of a line end behind that.
    tail: usize,
    /// Bytes of the body itself so far.
    pub(crate) counted: u64,
    /// Something moved since this was last taken back.
    pub(crate) moved: bool,
    /// More than the lead was written.
    pub(crate) has_begun: bool,
    pub(crate) waits_for: Side,
}

/// Whom a pump waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Source,
    Sink,
}

/// Why a body did not come through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broke {
    /// The source ended or failed.
    Source,
    /// The source's framing is broken.
    Malformed,
    /// The sink takes nothing more.
    Sink,
}

/// What is still to come.
#[derive(Debug)]
enum Decode {
    Over,
    Bytes(u64),
    Chunked(Decoder),
    UntilClose,
}

/// How the sink is told where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encode {
    /// By its length, or the end of the connection.
    Plain,
    Chunks,
    ChunksAndTrailers,
}

/// Both ends of a pump and what lies between them.
pub(crate) struct Ends<'a, S, T> {
    pub(crate) source: &'a mut S,
    pub(crate) sink: &'a mut T,
    /// What was read from the source.
    pub(crate) buffer: &'a mut Option<Buffer>,
    /// Is written before everything else, and kept.
    pub(crate) lead: &'a [u8],
    pub(crate) buffers: &'a Rc<Buffers>,
}

impl Pump {
    /// A body that is delimited like `from` at its source and like `to` at its sink, behind what
    /// is in `out`, of which `sent` bytes are written already.
    pub(crate) fn new(from: BodyLength, to: BodyLength, (out, sent): (Text, usize)) -> Self {
        Self {
            decode: match from {
                BodyLength::None => Decode::Over,
                BodyLength::Bytes(bytes) => Decode::Bytes(bytes),
                BodyLength::Chunked => Decode::Chunked(Decoder::new()),
                BodyLength::UntilClose => Decode::UntilClose,
            },
            encode: if to == BodyLength::Chunked {
                Encode::Chunks
            } else {
                Encode::Plain
            },
            out,
            sent,
            lead_sent: 0,
            direct: 0,
            tail: 0,
            counted: 0,
            moved: false,
            has_begun: false,
            waits_for: Side::Source,
        }
    }

    pub(crate) fn passing_trailers(mut self, passes: bool) -> Self {
        if passes && self.encode == Encode::Chunks {
            self.encode = Encode::ChunksAndTrailers;
        }
        self
    }

    /// Begins again at another sink. Only for one that has not begun.
    pub(crate) fn rewind(&mut self) {
        self.lead_sent = 0;
    }

    /// Whether this much of the lead is written.
    pub(crate) fn has_led(&self, lead: &[u8]) -> bool {
        self.lead_sent >= lead.len()
    }

    /// Whether the whole body has been read.
    pub(crate) fn has_all(&self) -> bool {
        matches!(self.decode, Decode::Over)
    }

    /// Carries on until all is written. Never loses anything when it is not polled again.
    pub(crate) fn poll<S, T>(
        &mut self,
        context: &mut Context<'_>,
        ends: &mut Ends<'_, S, T>,
    ) -> Poll<Result<(), Broke>>
    where
        S: AsyncRead + Unpin,
        T: AsyncWrite + Unpin,
    {
        loop {
            while self.takes_more() && self.take(ends.buffer)? {}
            if self.has_pending(ends.lead) {
                self.waits_for = Side::Sink;
                ready!(self.poll_send(context, ends))?;
                continue;
            }
            // TLS keeps back what it could not write.
            let flushed = Pin::new(&mut *ends.sink).poll_flush(context);
            if let Poll::Ready(Err(_)) = flushed {
                return Poll::Ready(Err(Broke::Sink));
            }
            if self.has_all() {
                self.waits_for = Side::Sink;
                return flushed.map(|_| Ok(()));
            }
            self.waits_for = Side::Source;
            ready!(self.poll_receive(context, ends))?;
        }
    }

    fn takes_more(&self) -> bool {
        self.direct == 0 && self.tail == 0 && self.out.len() - self.sent < COPY_CHUNK_BYTES
    }

    fn has_pending(&self, lead: &[u8]) -> bool {
        self.direct > 0 || self.tail > 0 || self.sent < self.out.len() || !self.has_led(lead)
    }

    /// Takes a piece from the buffer. Returns whether there was one.
    fn take(&mut self, buffer: &mut Option<Buffer>) -> Result<bool, Broke> {
        let Some(buffer) = buffer else {
            return Ok(false);
        };
        let available = buffer.filled().len();
        let count = match &mut self.decode {
            Decode::Over => 0,
            Decode::UntilClose => available,
            Decode::Bytes(rest) => {
                let count = available.min(usize::try_from(*rest).unwrap_or(usize::MAX));
                *rest -= count as u64;
                if *rest == 0 {
                    self.decode = Decode::Over;
                }
                count
            }
            Decode::Chunked(decoder) => {
                let (consumed, step) = decoder
                    .step(buffer.filled())
                    .map_err(|_| Broke::Malformed)?;
                buffer.consume(consumed);
                match step {
                    Step::More => 0,
                    Step::Data(count) => {
                        decoder.took(count);
                        count
                    }
                    Step::End => {
                        let trailers = decoder.trailers().map_err(|_| Broke::Malformed)?;
                        self.end(&trailers);
                        return Ok(true);
                    }
                }
            }
        };
        if count > 0 {
            self.emit(count, buffer);
        }
        Ok(count > 0)
    }

    /// Has the first bytes of the buffer written.
    fn emit(&mut self, count: usize, buffer: &mut Buffer) {
        self.counted += count as u64;
        let is_chunk = self.encode != Encode::Plain;
        let limit = if is_chunk {
            chunked::write_size(count, &mut self.out);
            COPY_CHUNK_BYTES
        } else {
            COPY_BYTES
        };
        if count > limit {
            self.direct = count;
            self.tail = if is_chunk { 2 } else { 0 };
            return;
        }
        let piece = buffer.filled().get(..count).unwrap_or_default();
        self.out.extend_from_slice(piece);
        if is_chunk {
            self.out.extend_from_slice(b"\r\n");
        }
        buffer.consume(count);
    }

    fn end(&mut self, trailers: &[u8]) {
        self.decode = Decode::Over;
        if self.encode == Encode::Plain {
            return;
        }
        self.out.extend_from_slice(b"0\r\n");
        if self.encode == Encode::ChunksAndTrailers {
            self.out.extend_from_slice(trailers);
        }
        self.out.extend_from_slice(b"\r\n");
    }

    fn poll_send<S, T: AsyncWrite + Unpin>(
        &mut self,
        context: &mut Context<'_>,
        ends: &mut Ends<'_, S, T>,
    ) -> Poll<Result<(), Broke>> {
        let lead = ends.lead.get(self.lead_sent..).unwrap_or_default();
        let out = self.out.get(self.sent..).unwrap_or_default();
        let filled = ends.buffer.as_ref().map_or(&[][..], Buffer::filled);
        let direct = filled.get(..self.direct).unwrap_or_default();
        let tail = b"\r\n".get(2 - self.tail..).unwrap_or_default();
        let parts = [lead, out, direct, tail];
        let mut full = parts.iter().filter(|part| !part.is_empty());
        let sink = Pin::new(&mut *ends.sink);
        let written = match (full.next(), full.next()) {
            (Some(only), None) => sink.poll_write(context, only),
            _ => sink.poll_write_vectored(context, &parts.map(IoSlice::new)),
        };
        let Ok(mut written @ 1..) = ready!(written) else {
            return Poll::Ready(Err(Broke::Sink));
        };
        let mut part = |limit: usize| {
            let count = written.min(limit);
            written -= count;
            count
        };
        let (lead, out, direct) = (part(lead.len()), part(out.len()), part(direct.len()));
        self.lead_sent += lead;
        self.sent += out;
        self.direct -= direct;
        self.tail -= part(self.tail);
        self.has_begun |= out + direct > 0;
        self.moved = true;
        if let Some(buffer) = ends.buffer {
            buffer.consume(direct);
        }
        if self.sent == self.out.len() {
            self.out.clear();
            self.sent = 0;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_receive<S: AsyncRead + Unpin, T>(
        &mut self,
        context: &mut Context<'_>,
        ends: &mut Ends<'_, S, T>,
    ) -> Poll<Result<(), Broke>> {
        let is_short = matches!(self.decode, Decode::Bytes(rest) if rest <= SMALL_BYTES as u64);
        let kept = ends.buffer.take();
        let kept = kept.filter(|buffer| !buffer.is_empty() || !buffer.is_small() || is_short);
        let mut buffer = kept.unwrap_or_else(|| {
            if is_short {
                ends.buffers.small()
            } else {
                ends.buffers.large()
            }
        });
        match buffer.poll_fill(context, ends.source) {
            Poll::Pending => {
                // Whoever waits needs no buffer.
                *ends.buffer = Some(buffer).filter(|buffer| !buffer.is_empty());
                return Poll::Pending;
            }
            Poll::Ready(Ok(1..)) => {
                self.moved = true;
                *ends.buffer = Some(buffer);
            }
            Poll::Ready(Ok(0)) if matches!(self.decode, Decode::UntilClose) => self.end(&[]),
            Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(Broke::Source)),
        }
        Poll::Ready(Ok(()))
    }
}
