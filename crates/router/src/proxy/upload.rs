//! A request's body on its way to a dyno, and how far it got.
//!
//! [`RequestBody`] can be given to a second connection as long as nothing of it was read, or what was
//! is kept.

use std::{
    cell::{Cell, RefCell},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use thiserror::Error;
use tokio::time::Instant;

use crate::{codes::Code, config::Timeouts, h1::Outlet};

/// Where a client's body comes from.
pub(crate) enum Upload {
    /// hyper reads it.
    Http2(Incoming),
    /// Our own HTTP/1.1 does.
    Http1(Outlet),
}

/// Why a client's body does not come to its end.
#[derive(Debug, Error)]
pub(crate) enum UploadError {
    /// Its stream broke.
    #[error("the client broke off its request")]
    Stream(#[source] hyper::Error),
    /// Its connection ended, or it is not wanted.
    #[error("the request's body ends early: {0:?}")]
    Ended(Spoilt),
}

/// What is wrong with a client's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoilt {
    /// The client left.
    Left,
    /// Its framing is broken.
    Malformed,
    /// It is longer than the app takes.
    TooLong,
}

/// A request's body and how far it got. Connections read it through [`RequestBody`].
pub(crate) struct RequestSource {
    upload: RefCell<Upload>,
    has_body: bool,
    /// As many bytes as the app takes of it; none where they are counted before they come here.
    most_bytes: Option<u64>,
    has_begun: Cell<bool>,
    has_ended: Cell<bool>,
    spoilt: Cell<Option<Spoilt>>,
    sent: RefCell<Sent>,
    /// How many connections it was given to: only the last one reads it.
    views: Cell<u32>,
    /// How much of it came.
    bytes: Cell<u64>,
    /// When its last piece came, or it was first asked for.
    progress: Cell<Instant>,
}

/// What a connection has read of a body, as long as another may have to read it again.
#[derive(Default)]
struct Sent {
    pieces: Vec<Bytes>,
    bytes: usize,
    /// More was read than is kept.
    is_cut: bool,
}

/// One connection's view of a [`RequestSource`].
pub(crate) struct RequestBody {
    source: Rc<RequestSource>,
    view: u32,
    /// How many of the pieces that were sent before it has read.
    place: usize,
}

/// As much of a body is kept to be sent again: most calls are shorter.
const MAX_SENT_BYTES: usize = 64 * 1024;

/// What is waited for while no response has come.
pub(crate) enum Awaited {
    /// The client's next piece.
    Client,
    /// The dyno's first byte.
    Dyno,
}

impl RequestSource {
    pub(crate) fn new(upload: Upload, most_bytes: Option<u64>) -> Self {
        let has_body = !upload.is_end_stream();
        Self {
            upload: RefCell::new(upload),
            has_body,
            most_bytes,
            has_begun: Cell::new(false),
            has_ended: Cell::new(!has_body),
            spoilt: Cell::new(None),
            sent: RefCell::default(),
            views: Cell::new(0),
            bytes: Cell::new(0),
            progress: Cell::new(Instant::now()),
        }
    }

    /// For a connection; with `keeps`, as much is kept as another one may need.
    pub(crate) fn body(self: &Rc<Self>, keeps: bool) -> RequestBody {
        self.progress.set(Instant::now());
        self.views.set(self.views.get() + 1);
        self.sent.borrow_mut().is_cut |= !keeps;
        RequestBody {
            source: Rc::clone(self),
            view: self.views.get(),
            place: 0,
        }
    }

    /// Whether another connection can be given all of it.
    pub(crate) fn can_be_sent_again(&self) -> bool {
        let is_whole = !self.has_begun() || !self.sent.borrow().is_cut;
        is_whole && self.spoilt().is_none()
    }

    /// It will not be sent again.
    pub(crate) fn forget_sent(&self) {
        self.sent.borrow_mut().cut();
    }

    /// How much of it came.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// Whether more of it came than the app takes.
    fn is_too_long(&self) -> bool {
        self.most_bytes.is_some_and(|most| self.bytes() > most)
    }

    pub(crate) fn has_body(&self) -> bool {
        self.has_body
    }

    /// Whether a piece of it has gone to a dyno.
    pub(crate) fn has_begun(&self) -> bool {
        self.has_begun.get()
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended.get()
    }

    /// What is wrong with it, if it cannot be sent to its end.
    pub(crate) fn spoilt(&self) -> Option<Spoilt> {
        self.spoilt.get()
    }

    /// When its last piece came.
    pub(crate) fn progress(&self) -> Instant {
        self.progress.get()
    }

    /// Until when to wait, and for whom.
    pub(crate) fn deadline(&self, timeouts: &Timeouts) -> (Instant, Awaited) {
        if self.has_ended.get() {
            (self.progress.get() + timeouts.first_byte, Awaited::Dyno)
        } else {
            (self.progress.get() + timeouts.rolling, Awaited::Client)
        }
    }
}

impl Sent {
    fn keep(&mut self, frame: &Frame<Bytes>) {
        match frame.data_ref() {
            _ if self.is_cut => {}
            Some(piece) if self.bytes + piece.len() <= MAX_SENT_BYTES => {
                self.bytes += piece.len();
                self.pieces.push(piece.clone());
            }
            _ => self.cut(),
        }
    }

    fn cut(&mut self) {
        *self = Self {
            is_cut: true,
            ..Self::default()
        };
    }
}

impl RequestBody {
    /// Pieces that another connection had before.
    fn again(&self) -> Option<Bytes> {
        self.source.sent.borrow().pieces.get(self.place).cloned()
    }
}

impl Spoilt {
    /// How the request fails.
    pub(crate) fn code(self) -> Code {
        match self {
            Self::Left => Code::H27,
            Self::Malformed | Self::TooLong => Code::H26,
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        match self.get_mut() {
            Self::Http2(incoming) => Pin::new(incoming)
                .poll_frame(context)
                .map_err(UploadError::Stream),
            Self::Http1(outlet) => outlet
                .poll_piece(context)
                .map(|piece| piece.map(|piece| piece.map(Frame::data)))
                .map_err(UploadError::Ended),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http2(incoming) => incoming.is_end_stream(),
            Self::Http1(outlet) => outlet.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http2(incoming) => incoming.size_hint(),
            Self::Http1(outlet) => outlet
                .bytes_left()
                .map_or_else(SizeHint::new, SizeHint::with_exact),
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        if self.view != self.source.views.get() {
            return Poll::Ready(Some(Err(UploadError::Ended(Spoilt::Left))));
        }
        if let Some(piece) = self.again() {
            self.place += 1;
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        let this = &mut *self;
        let source = &this.source;
        let mut upload = source.upload.borrow_mut();
        let frame = ready!(Pin::new(&mut *upload).poll_frame(context));
        source.progress.set(Instant::now());
        match &frame {
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                source.bytes.set(source.bytes.get() + bytes as u64);
                if source.is_too_long() {
                    source.spoilt.set(Some(Spoilt::TooLong));
                    return Poll::Ready(Some(Err(UploadError::Ended(Spoilt::TooLong))));
                }
                source.has_begun.set(true);
                source.has_ended.set(upload.is_end_stream());
                let mut sent = source.sent.borrow_mut();
                sent.keep(frame);
                this.place = sent.pieces.len();
            }
            Some(Err(UploadError::Ended(spoilt))) => source.spoilt.set(Some(*spoilt)),
            Some(Err(UploadError::Stream(_))) => source.spoilt.set(Some(Spoilt::Left)),
            None => source.has_ended.set(true),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.again().is_none() && self.source.upload.borrow().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.source.upload.borrow().size_hint();
        let sent = self.source.sent.borrow();
        let again: usize = sent.pieces.iter().skip(self.place).map(Bytes::len).sum();
        let exact = rest.exact().map(|bytes| bytes + again as u64);
        exact.map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}
