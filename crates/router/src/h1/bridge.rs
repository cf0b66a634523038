//! A request of an HTTP/1.x client that is answered by [`crate::proxy`] as if it had come by
//! HTTP/2: for apps that ask of the router what goes beyond carrying bytes.
//!
//! The request's body goes up and the response comes down at once, each one piece at a time. It must
//! not know who answers. Read [`run`].

mod head;
mod response;

use std::{
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use http::Response;
use hyper::body::{Body as _, Frame};
use tokio::io::AsyncWrite as _;

use self::response::Writer;
use super::{
    carry::{Ended, ended},
    connection::Connection,
    framing::BodyLength,
    head::Version,
    incoming::Incoming,
    pipe::{Inlet, pipe},
    pump::{Broke, Ends, Pump},
    request::Expectation,
};
use crate::{
    admission::Admitted,
    buffers::Text,
    codes::Code,
    pages::{self, Page},
    proxy::{self, Refusal, ReplyBody, RequestSource, Spoilt, Upload},
};

/// A request that is answered elsewhere, and where it stands.
struct Bridge<'a> {
    connection: &'a mut Connection,
    incoming: &'a Incoming,
    inlet: Inlet,
    upload: Pump,
    /// The request's body needs nothing more.
    is_uploaded: bool,
    /// As many bytes as the app takes of it.
    most_bytes: Option<u64>,
    has_continued: bool,
    /// What the client gets; `sent` bytes of it are written.
    out: Text,
    sent: usize,
}

/// How a response ended.
enum Relayed {
    Whole,
    Broken,
}

/// Has a request answered.
pub(super) async fn run(
    connection: &mut Connection,
    incoming: &Incoming,
    admitted: Admitted,
) -> Ended {
    let lane = Rc::clone(&connection.lane);
    let (inlet, outlet) = pipe(incoming.body);
    let extras = admitted.extras.as_ref();
    let mut bridge = Bridge {
        inlet,
        upload: Pump::new(
            incoming.body,
            BodyLength::UntilClose,
            (lane.buffers.text(), 0),
        ),
        is_uploaded: !incoming.has_body(),
        most_bytes: extras.and_then(|extras| extras.max_body_bytes()),
        has_continued: false,
        out: lane.buffers.text(),
        sent: 0,
        connection,
        incoming,
    };
    bridge.connection.timer.clear();
    let Some(head) = head::of(incoming, &bridge.connection.peer) else {
        let page = Page::Refused(Refusal::Malformed);
        let response = pages::respond(page, incoming.accept, None);
        return bridge.relay(response).await;
    };
    let source = Rc::new(RequestSource::new(Upload::Http1(outlet), None));
    let mut answer = Box::pin(proxy::carry(lane, Rc::new(head), source, admitted));
    let response = poll_fn(|context| {
        bridge.poll_upload(context);
        if let Poll::Ready(response) = answer.as_mut().poll(context) {
            return Poll::Ready(Some(response));
        }
        // Registers for being woken, too.
        bridge.connection.timer.poll_due(context);
        if bridge.connection.lane.is_forced() {
            let page = Page::Failed(Code::H24);
            return Poll::Ready(Some(pages::respond(page, incoming.accept, None)));
        }
        let written = bridge.poll_out(context);
        if written == Poll::Ready(Err(())) || bridge.poll_gone(context) {
            return Poll::Ready(None);
        }
        Poll::Pending
    })
    .await;
    drop(answer);
    match response {
        Some(response) => bridge.relay(response).await,
        None => Ended::Close,
    }
}

impl Bridge<'_> {
    /// Carries the request's body on its way, as far as it goes.
    fn poll_upload(&mut self, context: &mut Context<'_>) {
        if self.is_uploaded || self.has_to_be_asked(context) {
            return;
        }
        let mut ends = Ends {
            source: &mut self.connection.stream,
            sink: &mut self.inlet,
            buffer: &mut self.connection.inbound,
            lead: &[],
            buffers: &self.connection.lane.buffers,
        };
        let moved = self.upload.poll(context, &mut ends);
        if self
            .most_bytes
            .is_some_and(|most| self.upload.counted > most)
        {
            return self.inlet.end(Err(Spoilt::TooLong));
        }
        match moved {
            Poll::Ready(Ok(())) => {
                self.is_uploaded = true;
                self.inlet.end(Ok(()));
            }
            // Nobody wants more of it: the connection cannot be used again.
            Poll::Pending | Poll::Ready(Err(Broke::Sink)) => {}
            Poll::Ready(Err(Broke::Source)) => self.inlet.end(Err(Spoilt::Left)),
            Poll::Ready(Err(Broke::Malformed)) => self.inlet.end(Err(Spoilt::Malformed)),
        }
    }

    /// Whether the client waits to be asked for the body; asks it if somebody wants the body.
    fn has_to_be_asked(&mut self, context: &Context<'_>) -> bool {
        let is_waiting = self.incoming.expects == Expectation::Continue
            && self.incoming.version == Version::Http11
            && !self.has_continued
            && self.connection.inbound.is_none();
        if !is_waiting {
            return false;
        }
        if !self.inlet.is_wanted(context) {
            return true;
        }
        self.has_continued = true;
        self.out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        false
    }

    /// Whether the client has gone. As long as its body comes, that tells.
    fn poll_gone(&mut self, context: &mut Context<'_>) -> bool {
        self.is_uploaded && self.connection.poll_gone(context).is_ready()
    }

    /// Writes what the client gets; ready when that is all.
    fn poll_out(&mut self, context: &mut Context<'_>) -> Poll<Result<(), ()>> {
        if self.out.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while let Some(rest) = self.out.get(self.sent..).filter(|rest| !rest.is_empty()) {
            let written = Pin::new(&mut self.connection.stream).poll_write(context, rest);
            match ready!(written) {
                Ok(count @ 1..) => self.sent += count,
                _ => return Poll::Ready(Err(())),
            }
            self.connection
                .timer
                .set(self.connection.lane.timeouts.rolling);
        }
        let flushed = Pin::new(&mut self.connection.stream).poll_flush(context);
        if ready!(flushed).is_err() {
            return Poll::Ready(Err(()));
        }
        self.out.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }

    /// Gives the client its response.
    async fn relay(mut self, response: Response<ReplyBody>) -> Ended {
        let (parts, mut body) = response.into_parts();
        let keeps = self.incoming.wants.keep_alive
            && self.is_uploaded
            && !self.connection.lane.is_stopping();
        let mut writer = Writer::new(self.incoming, &parts, body.size_hint().exact(), keeps);
        let lane = &self.connection.lane;
        let date = lane.dates.at(lane.clock.now());
        writer.write_head(&parts, &date, &mut self.out);
        let rolling = lane.timeouts.rolling;
        self.connection.timer.set(rolling);
        let relayed = poll_fn(|context| self.poll_relay(&mut writer, &mut body, context)).await;
        match relayed {
            Relayed::Whole => ended(true, writer.keeps(), self.incoming.body),
            Relayed::Broken => Ended::Close,
        }
    }

    fn poll_relay(
        &mut self,
        writer: &mut Writer,
        body: &mut ReplyBody,
        context: &mut Context<'_>,
    ) -> Poll<Relayed> {
        self.poll_upload(context);
        let is_late = self.connection.timer.poll_due(context);
        if self.connection.lane.is_forced() {
            body.fail(Code::H24);
            return Poll::Ready(Relayed::Broken);
        }
        loop {
            match self.poll_out(context) {
                Poll::Ready(Ok(())) if writer.is_over() => return Poll::Ready(Relayed::Whole),
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(())) => return Poll::Ready(Relayed::Broken),
                Poll::Pending if is_late => {
                    body.fail(Code::H28);
                    return Poll::Ready(Relayed::Broken);
                }
                Poll::Pending => break,
            }
            let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(context) else {
                break;
            };
            match frame.map(|frame| frame.map(Frame::into_data)) {
                None => writer.write_end(None, &mut self.out),
                Some(Ok(Ok(piece))) => writer.write_piece(&piece, &mut self.out),
                Some(Ok(Err(frame))) => {
                    writer.write_end(frame.trailers_ref(), &mut self.out);
                }
                Some(Err(_)) => return Poll::Ready(Relayed::Broken),
            }
            self.connection
                .timer
                .set(self.connection.lane.timeouts.rolling);
        }
        if self.poll_gone(context) {
            return Poll::Ready(Relayed::Broken);
        }
        Poll::Pending
    }
}
