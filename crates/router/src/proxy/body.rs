//! Bodies in both directions, streamed frame by frame with their clocks running.
//!
//! [`RequestBody`] can be given to a second connection as long as nothing of it was read;
//! [`Relay`] holds everything that must live until the response has gone through.

use std::{
    cell::{Cell, RefCell},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use thiserror::Error;
use tokio::time::{Instant, Sleep, sleep};

use super::{head::Head, upstream::Connection};
use crate::{codes::Code, config::Timeouts, exchange::Exchange, table::Lease};

/// A request's body and how far it got. Connections read it through [`RequestBody`].
pub(crate) struct RequestSource {
    incoming: RefCell<Incoming>,
    has_body: bool,
    has_begun: Cell<bool>,
    has_ended: Cell<bool>,
    has_failed: Cell<bool>,
    /// When its last piece came, or it was first asked for.
    progress: Cell<Instant>,
}

/// One connection's view of a [`RequestSource`].
pub(crate) struct RequestBody(Rc<RequestSource>);

/// What is waited for while no response has come.
pub(crate) enum Awaited {
    /// The client's next piece.
    Client,
    /// The dyno's first byte.
    Dyno,
}

impl RequestSource {
    pub(crate) fn new(incoming: Incoming) -> Self {
        let has_body = !incoming.is_end_stream();
        Self {
            incoming: RefCell::new(incoming),
            has_body,
            has_begun: Cell::new(false),
            has_ended: Cell::new(!has_body),
            has_failed: Cell::new(false),
            progress: Cell::new(Instant::now()),
        }
    }

    pub(crate) fn body(self: &Rc<Self>) -> RequestBody {
        self.progress.set(Instant::now());
        RequestBody(Rc::clone(self))
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

    /// Whether the client broke off.
    pub(crate) fn has_failed(&self) -> bool {
        self.has_failed.get()
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

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let source = &self.0;
        let mut incoming = source.incoming.borrow_mut();
        let frame = ready!(Pin::new(&mut *incoming).poll_frame(context));
        source.progress.set(Instant::now());
        match &frame {
            Some(Ok(_)) => {
                source.has_begun.set(true);
                source.has_ended.set(incoming.is_end_stream());
            }
            Some(Err(_)) => source.has_failed.set(true),
            None => source.has_ended.set(true),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.0.incoming.borrow().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.incoming.borrow().size_hint()
    }
}

/// What a client gets.
pub(crate) enum ReplyBody {
    /// One of our own pages, or nothing.
    Page(Full<Bytes>),
    /// A dyno's response.
    Relay(Box<Relay>),
}

/// A dyno's response on its way through.
pub(crate) struct Relay {
    incoming: Incoming,
    request: Rc<RequestSource>,
    rolling: Duration,
    /// Made when the dyno first lets us wait.
    alarm: Option<Pin<Box<Sleep>>>,
    /// Since when the dyno lets us wait.
    waiting_since: Option<Instant>,
    underway: Option<Underway>,
}

/// What ends with the response.
pub(crate) struct Underway {
    pub(crate) exchange: Exchange<Rc<Head>>,
    pub(crate) connection: Connection,
    pub(crate) lease: Lease,
}

/// Why a response breaks off: the client's connection is cut, so that it can tell.
#[derive(Debug, Error)]
pub(crate) enum ReplyError {
    /// H15
    #[error("the dyno sent nothing for too long")]
    Idle,
    /// H18
    #[error("the dyno broke off its response")]
    BrokenOff(#[source] hyper::Error),
}

impl Relay {
    pub(crate) fn new(
        incoming: Incoming,
        request: Rc<RequestSource>,
        rolling: Duration,
        underway: Underway,
    ) -> Self {
        Self {
            incoming,
            request,
            rolling,
            alarm: None,
            waiting_since: None,
            underway: Some(underway),
        }
    }

    /// The whole response went through: log it and keep the connection.
    fn finish(&mut self) {
        let Some(Underway {
            exchange,
            connection,
            lease,
        }) = self.underway.take()
        else {
            return;
        };
        if self.request.has_ended() {
            exchange.lane().pool.check_in(lease.backend(), connection);
        }
        exchange.finish();
    }

    fn fail(&mut self, code: Code) {
        if let Some(underway) = self.underway.take() {
            underway.exchange.fail(code);
        }
    }

    /// Ready when the dyno has been silent for too long.
    fn poll_alarm(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        let deadline = since + self.rolling;
        let alarm = self
            .alarm
            .get_or_insert_with(|| Box::pin(sleep(self.rolling)));
        while alarm.as_mut().poll(context).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            alarm.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

impl Body for Relay {
    type Data = Bytes;
    type Error = ReplyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReplyError>>> {
        let this = &mut *self;
        let Poll::Ready(frame) = Pin::new(&mut this.incoming).poll_frame(context) else {
            ready!(this.poll_alarm(context));
            this.fail(Code::H15);
            return Poll::Ready(Some(Err(ReplyError::Idle)));
        };
        this.waiting_since = None;
        match frame {
            Some(Ok(frame)) => {
                if let (Some(piece), Some(underway)) = (frame.data_ref(), &mut this.underway) {
                    underway.exchange.count(piece.len() as u64);
                }
                if this.incoming.is_end_stream() {
                    this.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                this.fail(Code::H18);
                Poll::Ready(Some(Err(ReplyError::BrokenOff(error))))
            }
            None => {
                this.finish();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Drop for Relay {
    /// hyper does not read a body that it knows to be at its end.
    fn drop(&mut self) {
        if self.incoming.is_end_stream() {
            self.finish();
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = ReplyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReplyError>>> {
        match &mut *self {
            Self::Page(page) => Pin::new(page)
                .poll_frame(context)
                .map(|frame| frame.map(|frame| frame.map_err(|never| match never {}))),
            Self::Relay(relay) => Pin::new(&mut **relay).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Page(page) => page.is_end_stream(),
            Self::Relay(relay) => relay.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Page(page) => page.size_hint(),
            Self::Relay(relay) => relay.size_hint(),
        }
    }
}
