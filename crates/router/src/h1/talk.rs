//! The talk with a dyno: the request up, its response down, both at once, with their clocks
//! running.
//!
//! Everything between two waits is in the `poll_` functions, which hold nothing over; whoever stops
//! polling them ends the talk. Read [`Talk::run`].

mod ending;

use std::{
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use http::HeaderValue;
use tokio::io::AsyncWrite;

use super::{
    carry::Ended,
    connection::Connection,
    framing::BodyLength,
    head::{self, Version},
    incoming::Incoming,
    malformed::Malformed,
    pump::{Broke, Ends, Pump, Side},
    render::{self, Terms},
    request::Expectation,
    response::Response,
    stream::Dyno,
};
use crate::{
    admission::{Admitted, Extras},
    buffers::{Buffer, Text},
    codes::Code,
    config::Timeouts,
    exchange::{Exchange, UNKNOWN_EXPECTATION},
    place::{Death, Placed, Placement},
    pool::Use,
    table::Lease,
};

/// Words of a dyno before its response proper: more are not listened to.
const MAX_INTERIM: usize = 16;
/// A declared body has to come at this rate at least: so many bytes in the time that silence may
/// take.
const MIN_BODY_BYTES: u64 = 1024;

/// A request and where it stands.
pub(crate) struct Talk<'a> {
    connection: &'a mut Connection,
    incoming: &'a Incoming,
    admitted: Admitted,
    timeouts: Timeouts,
    upload: Pump,
    sending: Sending,
    /// Bytes of the body that came since its clock was last set back.
    seen_bytes: u64,
    /// What the client gets ahead of the response; `noted` bytes of it are written.
    notes: Text,
    noted: usize,
    interim: usize,
    has_continued: bool,
    /// What exactly went wrong.
    cause: Option<&'static str>,
}

/// How the request's way to the dyno stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
    Going,
    Done,
    /// The dyno takes no more of it.
    Cut,
}

/// A dyno that has the request.
struct Hop {
    dyno: Dyno,
    lease: Lease,
    is_kept: bool,
    /// What came from it.
    reply: Option<Buffer>,
}

/// A response whose head is written for the client.
struct Reply {
    status: u16,
    from: BodyLength,
    to: BodyLength,
    keeps_client: bool,
    keeps_dyno: bool,
}

/// Why there is no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    Code(Code),
    /// The request's body is malformed.
    Malformed,
    /// It is longer than the app takes.
    TooLong,
}

/// How waiting for a response ended without one.
enum Broken {
    /// For good.
    Failed(Failure),
    /// The connection died before a response byte.
    Died,
}

/// How a response ended.
enum Relayed {
    Whole,
    /// The client left, which is its good right.
    Left,
    Failed(Code),
}

impl From<Code> for Failure {
    fn from(code: Code) -> Self {
        Self::Code(code)
    }
}

impl<'a> Talk<'a> {
    pub(crate) fn new(
        connection: &'a mut Connection,
        incoming: &'a Incoming,
        admitted: Admitted,
    ) -> Self {
        let timeouts = connection.lane.timeouts;
        let extras = admitted.extras.as_ref();
        let timeouts = extras.map_or(timeouts, |extras| extras.timeouts(timeouts));
        let buffers = &connection.lane.buffers;
        let body = incoming.body;
        let upload = Pump::new(body, body, (buffers.text(), 0));
        Self {
            upload: upload.passing_trailers(incoming.wants.trail),
            notes: buffers.text(),
            connection,
            incoming,
            admitted,
            timeouts,
            sending: Sending::Going,
            seen_bytes: 0,
            noted: 0,
            interim: 0,
            has_continued: false,
            cause: None,
        }
    }

    /// Has the request answered, and logged.
    pub(crate) async fn run(mut self, mut exchange: Exchange<&Incoming>) -> Ended {
        match self.forward(&mut exchange).await {
            Ok((hop, reply)) => self.relay(hop, reply, exchange).await,
            Err(failure) => self.fail(failure, exchange).await,
        }
    }

    async fn forward(
        &mut self,
        exchange: &mut Exchange<&Incoming>,
    ) -> Result<(Hop, Reply), Failure> {
        if self.incoming.expects == Expectation::Unknown {
            self.cause = Some(UNKNOWN_EXPECTATION);
            return Err(Code::H26.into());
        }
        let mut placement = Placement::new(self.admitted.extras.as_deref());
        loop {
            let placed = match placement.at_once(exchange, self.use_for())? {
                Some(placed) => placed,
                None => self.connect(&mut placement, exchange).await?,
            };
            let mut hop = Hop {
                dyno: placed.leg,
                lease: placed.lease,
                is_kept: placed.is_kept,
                reply: None,
            };
            match self.hear(&mut hop).await {
                Ok(reply) => return Ok((hop, reply)),
                Err(Broken::Failed(failure)) => return Err(failure),
                Err(Broken::Died) => {
                    let death = self.death(&hop);
                    if !placement.goes_on(&hop.lease, death) {
                        return Err(death.code.into());
                    }
                    self.upload.rewind();
                }
            }
        }
    }

    /// A connection to a dyno; until there is one, the client may leave.
    async fn connect(
        &mut self,
        placement: &mut Placement,
        exchange: &mut Exchange<&Incoming>,
    ) -> Result<Placed<Dyno>, Failure> {
        self.connection.timer.clear();
        // Boxed, since most requests do not need it and all would carry its state.
        let mut connecting = Box::pin(placement.connect(exchange, self.use_for()));
        poll_fn(|context| {
            if let Poll::Ready(placed) = connecting.as_mut().poll(context) {
                return Poll::Ready(placed.map_err(Failure::Code));
            }
            if self.connection.lane.is_forced() {
                return Poll::Ready(Err(Code::H24.into()));
            }
            ready!(self.connection.poll_gone(context));
            Poll::Ready(Err(Code::H27.into()))
        })
        .await
    }

    fn is_idempotent(&self) -> bool {
        self.incoming.is_idempotent
    }

    fn use_for(&self) -> Use {
        if self.is_idempotent() && !self.incoming.has_body() {
            Use::Repeatable
        } else {
            Use::Once
        }
    }

    fn death(&self, hop: &Hop) -> Death {
        // Nobody acts twice on an idempotent request, nor once on one that lacks its body.
        let is_harmless = self.is_idempotent() || self.incoming.has_body();
        Death {
            code: if self.incoming.has_body() && !self.upload.has_all() {
                Code::H18
            } else {
                Code::H13
            },
            was_kept: hop.is_kept,
            was_sent: self.upload.has_led(self.incoming.lead()),
            may_repeat: is_harmless && !self.upload.has_begun,
        }
    }

    /// Sends the request and waits for the response's head.
    async fn hear(&mut self, hop: &mut Hop) -> Result<Reply, Broken> {
        self.sending = Sending::Going;
        self.start_clock();
        let is_waiting = self.incoming.expects == Expectation::Continue
            && self.incoming.version == Version::Http11
            && self.connection.inbound.is_none();
        if is_waiting && !self.has_continued {
            self.has_continued = true;
            self.notes
                .extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        poll_fn(|context| self.poll_hear(hop, context)).await
    }

    fn poll_hear(
        &mut self,
        hop: &mut Hop,
        context: &mut Context<'_>,
    ) -> Poll<Result<Reply, Broken>> {
        if let Err(failure) = self.send_on(hop, context) {
            return Poll::Ready(Err(Broken::Failed(failure)));
        }
        let failed = |code: Code| Poll::Ready(Err(Broken::Failed(code.into())));
        loop {
            if self.poll_notes(context).is_err() {
                return failed(Code::H27);
            }
            let buffers = &self.connection.lane.buffers;
            let mut buffer = hop.reply.take().unwrap_or_else(|| buffers.large());
            match buffer.poll_fill(context, &mut hop.dyno.0) {
                Poll::Pending => {
                    hop.reply = Some(buffer).filter(|buffer| !buffer.is_empty());
                    break;
                }
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) if buffer.is_empty() && self.interim == 0 => {
                    return Poll::Ready(Err(Broken::Died));
                }
                Poll::Ready(_) => return failed(Code::H13),
            }
            match self.read_reply(&mut buffer, &hop.lease) {
                Ok(Some(reply)) => {
                    hop.reply = Some(buffer).filter(|buffer| !buffer.is_empty());
                    return Poll::Ready(Ok(reply));
                }
                Ok(None) => hop.reply = Some(buffer),
                Err(malformed) => {
                    tracing::debug!(%malformed, dyno = %hop.lease.backend().dyno, "no response");
                    self.cause = malformed.restriction();
                    return failed(self.cause.map_or(Code::H17, |_| Code::H25));
                }
            }
        }
        if self.sending != Sending::Going && self.connection.poll_gone(context).is_ready() {
            return failed(Code::H27);
        }
        let is_late = self.connection.timer.poll_due(context);
        if hop.lease.backend().is_cut() {
            return failed(Code::H13);
        }
        if self.connection.lane.is_forced() {
            return failed(Code::H24);
        }
        match (is_late, self.sending, self.upload.waits_for) {
            (false, ..) => Poll::Pending,
            (true, Sending::Going, Side::Source) => failed(Code::H28),
            (true, ..) => failed(Code::H12),
        }
    }

    /// Carries the request on its way, as far as it goes.
    fn send_on(&mut self, hop: &mut Hop, context: &mut Context<'_>) -> Result<(), Failure> {
        if self.sending != Sending::Going {
            return Ok(());
        }
        let before = self.upload.counted;
        let mut ends = Ends {
            source: &mut self.connection.stream,
            sink: &mut hop.dyno.0,
            buffer: &mut self.connection.inbound,
            lead: self.incoming.lead(),
            buffers: &self.connection.lane.buffers,
        };
        let sent = self.upload.poll(context, &mut ends);
        self.seen_bytes += self.upload.counted - before;
        let extras = self.admitted.extras.as_ref();
        if extras.is_some_and(|extras| extras.is_too_long(self.upload.counted)) {
            return Err(Failure::TooLong);
        }
        match sent {
            Poll::Pending => {}
            Poll::Ready(Ok(())) => self.sending = Sending::Done,
            // It may have answered all the same.
            Poll::Ready(Err(Broke::Sink)) => self.sending = Sending::Cut,
            Poll::Ready(Err(Broke::Source)) => return Err(Code::H27.into()),
            Poll::Ready(Err(Broke::Malformed)) => return Err(Failure::Malformed),
        }
        let is_declared = matches!(self.incoming.body, BodyLength::Bytes(_));
        let is_slow = is_declared
            && self.upload.waits_for == Side::Source
            && self.seen_bytes < MIN_BODY_BYTES;
        if self.sending != Sending::Going || (self.upload.moved && !is_slow) {
            self.start_clock();
        }
        self.upload.moved = false;
        Ok(())
    }

    fn start_clock(&mut self) {
        self.seen_bytes = 0;
        let timeouts = &self.timeouts;
        let limit = match self.sending {
            Sending::Going => timeouts.rolling,
            Sending::Done | Sending::Cut => timeouts.first_byte,
        };
        self.connection.timer.set(limit);
    }

    /// Writes what the client gets ahead of the response, as far as it goes.
    fn poll_notes(&mut self, context: &mut Context<'_>) -> Result<(), ()> {
        while let Some(rest) = self.notes.get(self.noted..)
            && !rest.is_empty()
        {
            match Pin::new(&mut self.connection.stream).poll_write(context, rest) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(count @ 1..)) => self.noted += count,
                Poll::Ready(_) => return Err(()),
            }
        }
        if self.noted > 0 {
            self.notes.clear();
            self.noted = 0;
            if let Poll::Ready(Err(_)) = Pin::new(&mut self.connection.stream).poll_flush(context) {
                return Err(());
            }
        }
        Ok(())
    }

    /// The response's head, written for the client, if it has all come.
    fn read_reply(
        &mut self,
        buffer: &mut Buffer,
        lease: &Lease,
    ) -> Result<Option<Reply>, Malformed> {
        let lane = &self.connection.lane;
        loop {
            let mut slots = head::slots();
            let Some(head) = head::response(buffer.filled(), &mut slots)? else {
                return Ok(None);
            };
            let response = Response::read(&head, self.incoming.asked)?;
            let wants = self.incoming.wants;
            if response.status == 101 && !self.incoming.asks_upgrade {
                return Err(Malformed::Line);
            }
            let to = render::reply_length(&response, self.incoming.version);
            let is_heard = self.sending != Sending::Cut || self.upload.has_all();
            let keeps_client =
                wants.keep_alive && to != BodyLength::UntilClose && is_heard && !lane.is_stopping();
            let date = lane.dates.at(lane.clock.now());
            let is_interim = response.is_interim();
            let extras = self.admitted.extras.as_deref().filter(|_| !is_interim);
            let is_secure = self.connection.peer.is_secure;
            let cookie = extras.and_then(|extras| extras.set_cookie(lease, is_secure));
            let terms = Terms {
                changes: extras.and_then(Extras::response_headers),
                cookie: cookie.as_deref(),
                version: self.incoming.version,
                body: to,
                keeps: keeps_client,
                takes_trailers: wants.trailers,
                date: &date,
                hsts: self.admitted.hsts.as_ref().map(HeaderValue::as_bytes),
            };
            // We have said 100 ourselves, and nobody said more in HTTP/1.0.
            let is_told = response.status != 100 && self.incoming.version == Version::Http11;
            if !is_interim || is_told {
                render::to_client(&response, head.fields, &terms, &mut self.notes);
            }
            let reply = Reply {
                status: response.status,
                from: response.body,
                to,
                keeps_client,
                keeps_dyno: response.keeps(),
            };
            let bytes = head.bytes;
            buffer.consume(bytes);
            if !is_interim {
                return Ok(Some(reply));
            }
            self.interim += 1;
            if self.interim > MAX_INTERIM {
                return Err(Malformed::TooManyFields);
            }
        }
    }

    /// Carries the response down, and what is left of the request up.
    async fn relay(
        mut self,
        mut hop: Hop,
        reply: Reply,
        mut exchange: Exchange<&Incoming>,
    ) -> Ended {
        exchange.responding(reply.status);
        let lane = Rc::clone(&self.connection.lane);
        if reply.status == 101 {
            return self.tunnel(hop, exchange).await;
        }
        let notes = std::mem::replace(&mut self.notes, lane.buffers.text());
        let down = Pump::new(reply.from, reply.to, (notes, self.noted));
        let mut down = down.passing_trailers(self.incoming.wants.trailers);
        self.connection.timer.set(self.timeouts.rolling);
        let relayed = poll_fn(|context| self.poll_relay(&mut hop, &mut down, context)).await;
        exchange.count(down.counted);
        exchange.count_in(self.upload.counted);
        match relayed {
            Relayed::Whole => {
                // Bytes behind a response belong to nobody.
                let is_clean = hop.reply.is_none_or(|buffer| buffer.is_empty());
                if reply.keeps_dyno && is_clean && self.sending == Sending::Done {
                    lane.dynos.check_in(hop.lease.backend(), hop.dyno);
                }
                exchange.finish();
                drop(hop.lease);
                self.after(reply.keeps_client).await
            }
            Relayed::Left => {
                exchange.finish();
                Ended::Close
            }
            Relayed::Failed(code) => {
                exchange.fail(code);
                Ended::Close
            }
        }
    }

    fn poll_relay(
        &mut self,
        hop: &mut Hop,
        down: &mut Pump,
        context: &mut Context<'_>,
    ) -> Poll<Relayed> {
        let is_going = self.sending == Sending::Going;
        if is_going && self.send_on(hop, context).is_err() {
            return Poll::Ready(Relayed::Left);
        }
        let lane = &self.connection.lane;
        let mut ends = Ends {
            source: &mut hop.dyno.0,
            sink: &mut self.connection.stream,
            buffer: &mut hop.reply,
            lead: &[],
            buffers: &lane.buffers,
        };
        match down.poll(context, &mut ends) {
            Poll::Ready(Ok(())) => return Poll::Ready(Relayed::Whole),
            Poll::Ready(Err(Broke::Sink)) => return Poll::Ready(Relayed::Left),
            Poll::Ready(Err(Broke::Source | Broke::Malformed)) => {
                return Poll::Ready(Relayed::Failed(Code::H18));
            }
            Poll::Pending => {}
        }
        // From the end of the request on, only the response's clock counts.
        if down.moved || (is_going && self.sending != Sending::Going) {
            down.moved = false;
            self.connection.timer.set(self.timeouts.rolling);
        }
        if self.sending != Sending::Going && self.connection.poll_gone(context).is_ready() {
            return Poll::Ready(Relayed::Left);
        }
        let is_late = self.connection.timer.poll_due(context);
        if hop.lease.backend().is_cut() {
            return Poll::Ready(Relayed::Failed(Code::H18));
        }
        if self.connection.lane.is_forced() {
            return Poll::Ready(Relayed::Failed(Code::H24));
        }
        match (is_late, down.waits_for) {
            (false, _) => Poll::Pending,
            (true, Side::Source) => Poll::Ready(Relayed::Failed(Code::H15)),
            (true, Side::Sink) => Poll::Ready(Relayed::Failed(Code::H28)),
        }
    }
}
