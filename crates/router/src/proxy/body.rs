//! What a client gets, streamed frame by frame with its clock running.
//!
//! [`Relay`] holds everything that must live until the response has gone through.

use std::{
    io,
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

use super::{head::Head, packing::Packing, upload::RequestSource, upstream::Connection};
use crate::{codes::Code, exchange::Exchange, files::FileBody, grpc, table::Lease};

/// What a client gets.
pub(crate) enum ReplyBody {
    /// One of our own pages, or nothing.
    Page(Full<Bytes>),
    /// A dyno's response.
    Relay(Box<Relay>),
    /// A file of the slug.
    File(Box<FileBody>),
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
    /// If it is compressed.
    packing: Option<Box<Packing>>,
    /// Whether the client reads a status behind the body, as gRPC has it.
    is_grpc: bool,
    is_failed: bool,
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
    /// H99
    #[error("the response could not be compressed")]
    Packing(#[source] io::Error),
    /// H99
    #[error("a static file could not be read")]
    File(#[source] io::Error),
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
            packing: None,
            is_grpc: false,
            is_failed: false,
        }
    }

    /// Has it end with a status of gRPC if it fails.
    pub(crate) fn speak_grpc(&mut self) {
        self.is_grpc = true;
    }

    /// Has it compressed.
    pub(crate) fn pack(&mut self, packing: Packing) {
        self.packing = Some(Box::new(packing));
    }

    /// The whole response went through: log it and keep the connection.
    fn finish(&mut self) {
        let Some(Underway {
            mut exchange,
            connection,
            lease,
        }) = self.underway.take()
        else {
            return;
        };
        if self.request.has_ended() {
            connection.check_in(exchange.lane(), lease.backend());
        }
        exchange.count_in(self.request.bytes());
        exchange.finish();
    }

    fn fail(&mut self, code: Code) {
        if let Some(mut underway) = self.underway.take() {
            underway.exchange.count_in(self.request.bytes());
            underway.exchange.fail(code);
        }
    }

    /// The next frame of what is compressed.
    fn poll_packed(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReplyError>>> {
        while let Some(packing) = &mut self.packing {
            match packing.take() {
                Ok(Some(frame)) => return self.hand_out(frame),
                Ok(None) if packing.is_over() => break,
                Ok(None) => {}
                Err(error) => return self.break_off(error),
            }
            let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(context) else {
                match packing.pause() {
                    Ok(Some(frame)) => return self.hand_out(frame),
                    Ok(None) => {}
                    Err(error) => return self.break_off(error),
                }
                ready!(self.poll_alarm(context));
                self.fail(Code::H15);
                return Poll::Ready(Some(Err(ReplyError::Idle)));
            };
            self.waiting_since = None;
            match frame.map(|frame| frame.map(Frame::into_data)) {
                None => packing.end(None),
                Some(Ok(Ok(piece))) => packing.put(piece),
                Some(Ok(Err(frame))) => packing.end(frame.into_trailers().ok()),
                Some(Err(error)) => {
                    self.fail(Code::H18);
                    return Poll::Ready(Some(Err(ReplyError::BrokenOff(error))));
                }
            }
        }
        self.finish();
        Poll::Ready(None)
    }

    fn hand_out(&mut self, frame: Frame<Bytes>) -> Poll<Option<Result<Frame<Bytes>, ReplyError>>> {
        if let (Some(piece), Some(underway)) = (frame.data_ref(), &mut self.underway) {
            underway.exchange.count(piece.len() as u64);
        }
        if Body::is_end_stream(self) {
            self.finish();
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn end_badly(
        &mut self,
        code: Code,
        error: ReplyError,
    ) -> Poll<Option<Result<Frame<Bytes>, ReplyError>>> {
        self.fail(code);
        if !self.is_grpc {
            return Poll::Ready(Some(Err(error)));
        }
        self.is_failed = true;
        let trailers = grpc::trailers(code);
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn break_off(&mut self, error: io::Error) -> Poll<Option<Result<Frame<Bytes>, ReplyError>>> {
        self.fail(Code::H99);
        Poll::Ready(Some(Err(ReplyError::Packing(error))))
    }

    /// Ready when the dyno has been silent for too long.
    fn poll_alarm(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        // Who still sends may well be let wait for an answer.
        let since = if self.request.has_ended() {
            since
        } else {
            since.max(self.request.progress())
        };
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
        if this.is_failed {
            return Poll::Ready(None);
        }
        if this.packing.is_some() {
            return this.poll_packed(context);
        }
        let Poll::Ready(frame) = Pin::new(&mut this.incoming).poll_frame(context) else {
            ready!(this.poll_alarm(context));
            return this.end_badly(Code::H15, ReplyError::Idle);
        };
        this.waiting_since = None;
        match frame {
            Some(Ok(frame)) => this.hand_out(frame),
            Some(Err(error)) => this.end_badly(Code::H18, ReplyError::BrokenOff(error)),
            None => {
                this.finish();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.packing {
            Some(packing) => packing.is_over(),
            None => self.is_failed || self.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.packing {
            Some(_) => SizeHint::new(),
            None => self.incoming.size_hint(),
        }
    }
}

impl Drop for Relay {
    /// hyper does not read a body that it knows to be at its end.
    fn drop(&mut self) {
        if Body::is_end_stream(self) {
            self.finish();
        }
    }
}

impl ReplyBody {
    /// It cannot be brought to its end.
    pub(crate) fn fail(&mut self, code: Code) {
        match self {
            Self::Page(_) => {}
            Self::Relay(relay) => relay.fail(code),
            Self::File(file) => file.fail(code),
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
            Self::File(file) => Pin::new(&mut **file).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Page(page) => page.is_end_stream(),
            Self::Relay(relay) => relay.is_end_stream(),
            Self::File(file) => file.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Page(page) => page.size_hint(),
            Self::Relay(relay) => relay.size_hint(),
            Self::File(file) => file.size_hint(),
        }
    }
}
