//! A body that is compressed on its way: pieces go in, frames come out.

use std::io;

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::Frame;

use crate::compression::{Coding, Encoder, Seats};

/// As much is compressed before others have their turn.
const PIECE_BYTES: usize = 32 * 1024;

/// A body between dyno and client.
pub(crate) struct Packing {
    encoder: Encoder,
    /// What did not go in yet.
    rest: Bytes,
    /// Whether the client shall read what came so far whenever the dyno pauses: for streams.
    flushes: bool,
    end: End,
}

/// How far the body is.
enum End {
    /// More may go in.
    Open,
    /// All of it went in, and these follow it.
    Near(Option<HeaderMap>),
    /// Only these are left.
    Trailers(HeaderMap),
    Over,
}

impl Packing {
    pub(crate) fn new(coding: Coding, flushes: bool, seats: &Seats) -> Self {
        Self {
            encoder: Encoder::new(coding, seats),
            rest: Bytes::new(),
            flushes,
            end: End::Open,
        }
    }

    /// Takes the next piece; there must be nothing left of the one before.
    pub(crate) fn put(&mut self, piece: Bytes) {
        self.rest = piece;
    }

    /// That was all.
    pub(crate) fn end(&mut self, trailers: Option<HeaderMap>) {
        self.end = End::Near(trailers);
    }

    /// What comes out; `None` if something has to go in first, or when it is over.
    pub(crate) fn take(&mut self) -> io::Result<Option<Frame<Bytes>>> {
        while !self.rest.is_empty() {
            let piece = self.rest.split_to(self.rest.len().min(PIECE_BYTES));
            let packed = self.encoder.push(&piece)?;
            if !packed.is_empty() {
                return Ok(Some(Frame::data(packed)));
            }
        }
        match std::mem::replace(&mut self.end, End::Over) {
            End::Open => {
                self.end = End::Open;
                Ok(None)
            }
            End::Near(trailers) => {
                self.end = trailers.map_or(End::Over, End::Trailers);
                Ok(Some(Frame::data(self.encoder.finish()?)))
            }
            End::Trailers(trailers) => Ok(Some(Frame::trailers(trailers))),
            End::Over => Ok(None),
        }
    }

    /// What the client may read meanwhile, if the dyno pauses.
    pub(crate) fn pause(&mut self) -> io::Result<Option<Frame<Bytes>>> {
        if !self.flushes {
            return Ok(None);
        }
        let packed = self.encoder.flush()?;
        Ok((!packed.is_empty()).then(|| Frame::data(packed)))
    }

    /// Whether nothing more comes out.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.end, End::Over)
    }
}
