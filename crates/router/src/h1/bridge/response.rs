//! A response as bytes of HTTP/1.x: head, pieces, end. Pure.

use http::{
    HeaderMap, HeaderValue,
    header::{CONTENT_LENGTH, DATE, TRAILER},
    response::Parts,
};
use hyper::ext::ReasonPhrase;

use crate::h1::{
    chunked,
    fields::{Kind, may_trail},
    framing::BodyLength,
    head::Version,
    incoming::Incoming,
    render::{write_connection, write_field, write_framing, write_status},
    response::Asked,
};

/// Writes one response.
pub(super) struct Writer {
    version: Version,
    length: BodyLength,
    /// What is told of a body that is not sent.
    told: Option<u64>,
    keeps: bool,
    passes_trailers: bool,
    is_over: bool,
}

impl Writer {
    /// For a response whose body has `bytes`, if that is known.
    pub(super) fn new(incoming: &Incoming, parts: &Parts, bytes: Option<u64>, keeps: bool) -> Self {
        let status = parts.status.as_u16();
        let is_bare = matches!(status, 100..=199 | 204);
        let is_head = incoming.asked == Asked::Head || status == 304;
        let told = parts.headers.get(CONTENT_LENGTH);
        let told = told.and_then(|told| told.to_str().ok()?.parse().ok());
        let length = match (bytes, incoming.version) {
            _ if is_bare || is_head => BodyLength::None,
            (Some(bytes), _) => BodyLength::Bytes(bytes),
            (None, Version::Http11) => BodyLength::Chunked,
            (None, Version::Http10) => BodyLength::UntilClose,
        };
        Self {
            version: incoming.version,
            length,
            told: told.filter(|_| is_head && !is_bare),
            keeps: keeps && length != BodyLength::UntilClose,
            passes_trailers: incoming.wants.trailers && length == BodyLength::Chunked,
            is_over: false,
        }
    }

    pub(super) fn write_head(&self, parts: &Parts, date: &[u8], out: &mut Vec<u8>) {
        let own = parts.extensions.get::<ReasonPhrase>();
        let own = own.and_then(|reason| std::str::from_utf8(reason.as_bytes()).ok());
        let reason = own.or(parts.status.canonical_reason());
        write_status(parts.status.as_u16(), reason.unwrap_or_default(), out);
        for (name, value) in &parts.headers {
            let stays = *name != TRAILER || self.passes_trailers;
            if stays && !Kind::of(name.as_str()).is_framing() {
                write_field(name.as_str(), value.as_bytes(), out);
            }
        }
        if !parts.headers.contains_key(DATE) {
            write_field("date", date, out);
        }
        let told = self.told.map(BodyLength::Bytes);
        write_framing(told.unwrap_or(self.length), out);
        write_connection(self.version, self.keeps, out);
        out.extend_from_slice(b"\r\n");
    }

    pub(super) fn write_piece(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        match &mut self.length {
            _ if piece.is_empty() => {}
            BodyLength::None => {}
            BodyLength::UntilClose => out.extend_from_slice(piece),
            BodyLength::Bytes(left) => {
                let count = piece
                    .len()
                    .min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= count as u64;
                out.extend_from_slice(piece.get(..count).unwrap_or_default());
            }
            BodyLength::Chunked => {
                chunked::write_size(piece.len(), out);
                out.extend_from_slice(piece);
                out.extend_from_slice(b"\r\n");
            }
        }
    }

    pub(super) fn write_end(
        &mut self,
        trailers: Option<&HeaderMap<HeaderValue>>,
        out: &mut Vec<u8>,
    ) {
        if self.length == BodyLength::Chunked {
            out.extend_from_slice(b"0\r\n");
            for (name, value) in trailers.into_iter().flatten() {
                if self.passes_trailers && may_trail(name.as_str()) {
                    write_field(name.as_str(), value.as_bytes(), out);
                }
            }
            out.extend_from_slice(b"\r\n");
        }
        // Behind a body that lacks bytes there is no telling where the next response begins.
        self.keeps &= !matches!(self.length, BodyLength::Bytes(1..));
        self.is_over = true;
    }

    /// Whether all of it is written.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Whether the client's connection goes on.
    pub(super) fn keeps(&self) -> bool {
        self.keeps
    }
}
