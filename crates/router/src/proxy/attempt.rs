//! Getting a response for a request: placed by [`crate::place`], sent, and once more where that is
//! safe.

use std::{pin::pin, rc::Rc};

use hyper::{Request, Response, body::Incoming, client::conn::TrySendError};
use tokio::time::{Instant, sleep_until};

use super::{
    head::Head,
    headers,
    upload::{Awaited, RequestBody, RequestSource, Spoilt},
    upstream::{Connection, Http1, Http2, is_unprocessed},
};
use crate::{
    admission::Extras,
    codes::Code,
    config::Timeouts,
    exchange::Exchange,
    lane::Lane,
    place::{Death, Placed, Placement},
    pool::Use,
    table::Lease,
    traces::Begun,
};

/// One request on its way to a dyno.
pub(crate) struct Attempt {
    pub(crate) lane: Rc<Lane>,
    pub(crate) head: Rc<Head>,
    pub(crate) source: Rc<RequestSource>,
    extras: Option<Rc<Extras>>,
    timeouts: Timeouts,
    placement: Placement,
}

/// A dyno's response head and what it came by.
pub(crate) struct Answer {
    pub(crate) response: Response<Incoming>,
    pub(crate) connection: Connection,
    pub(crate) lease: Lease,
}

/// How waiting for a response ended without one.
enum Broken {
    /// For good.
    Failed(Code),
    /// The connection died before a response byte; the code says how if it is not tried again.
    Died { code: Code, was_sent: bool },
}

impl Attempt {
    pub(crate) fn new(
        lane: Rc<Lane>,
        head: Rc<Head>,
        source: Rc<RequestSource>,
        extras: Option<Rc<Extras>>,
    ) -> Self {
        let placement = Placement::new(extras.as_deref());
        let timeouts = extras.as_ref().map(|extras| extras.timeouts(lane.timeouts));
        Self {
            timeouts: timeouts.unwrap_or(lane.timeouts),
            extras,
            lane,
            head,
            source,
            placement,
        }
    }

    /// The response, or the code to fail with.
    pub(crate) async fn run(&mut self, exchange: &mut Exchange<Rc<Head>>) -> Result<Answer, Code> {
        loop {
            let Placed {
                leg: mut connection,
                lease,
                is_kept,
            } = self.place(exchange).await?;
            match self.send(&mut connection, exchange.span()).await {
                Ok(response) => {
                    self.source.forget_sent();
                    return Ok(Answer {
                        response,
                        connection,
                        lease,
                    });
                }
                Err(Broken::Failed(code)) => return Err(code),
                Err(Broken::Died { code, was_sent }) => {
                    if !was_sent {
                        connection.leave();
                    }
                    let death = Death {
                        code,
                        was_kept: is_kept,
                        was_sent,
                        may_repeat: !was_sent || self.may_repeat(),
                    };
                    if !self.placement.goes_on(&lease, death) {
                        return Err(code);
                    }
                }
            }
        }
    }

    async fn place(
        &mut self,
        exchange: &mut Exchange<Rc<Head>>,
    ) -> Result<Placed<Connection>, Code> {
        let use_for = self.use_for();
        let extras = self.extras.as_ref();
        if extras.is_some_and(|extras| extras.speaks_h2c) {
            let placed = self.placement.connect::<Http2, _>(exchange, use_for).await;
            return placed.map(|placed| placed.map(Connection::Http2));
        }
        let placed = self.placement.connect::<Http1, _>(exchange, use_for).await;
        placed.map(|placed| placed.map(Connection::Http1))
    }

    /// Whether sending it a second time can do no harm: nobody acts twice on an idempotent request,
    /// nor once on one that lacks its body.
    fn may_repeat(&self) -> bool {
        let is_harmless = self.head.method.is_idempotent() || self.source.has_body();
        is_harmless && !self.source.has_begun() && self.source.spoilt().is_none()
    }

    fn use_for(&self) -> Use {
        if self.head.method.is_idempotent() && !self.source.has_body() {
            Use::Repeatable
        } else {
            Use::Once
        }
    }

    async fn send(
        &self,
        connection: &mut Connection,
        span: Option<&Begun>,
    ) -> Result<Response<Incoming>, Broken> {
        let timeouts = &self.timeouts;
        let is_http2 = connection.is_http2();
        let body = self.source.body(is_http2);
        let mut request = headers::to_dyno(&self.head, body, self.lane.clock.now());
        if !is_http2 {
            headers::tell_body(&mut request, self.source.has_body());
        }
        if let Some(extras) = &self.extras {
            headers::extras_to_dyno(extras, &mut request);
        }
        if is_http2 {
            headers::for_http2(&self.head, &mut request);
        }
        if let Some(span) = span {
            headers::span_to_dyno(span, request.headers_mut());
        }
        let mut response = pin!(connection.send(request));
        // The request may end at any time, and the dyno's time begins then: who looks as often as that
        // time is long never looks too late.
        let between_looks = timeouts.first_byte.min(timeouts.rolling);
        let mut alarm = pin!(sleep_until(Instant::now() + between_looks));
        loop {
            tokio::select! {
                biased;
                response = &mut response => return response.map_err(|error| self.died(&error)),
                () = &mut alarm => {}
            }
            let (deadline, awaited) = self.source.deadline(timeouts);
            let now = Instant::now();
            if deadline <= now {
                return Err(Broken::Failed(match awaited {
                    Awaited::Dyno => Code::H12,
                    Awaited::Client => Code::H28,
                }));
            }
            alarm.as_mut().reset(deadline.min(now + between_looks));
        }
    }

    /// What a dyno said that it has not looked at was as good as not sent.
    fn died(&self, error: &TrySendError<Request<RequestBody>>) -> Broken {
        let is_back = error.message().is_some();
        let is_untouched = is_unprocessed(error.error()) && self.source.can_be_sent_again();
        let was_sent = !is_back && !is_untouched;
        let code = if was_sent || self.source.spoilt().is_some() {
            self.meaning_of(error.error())
        } else {
            Code::H13
        };
        Broken::Died { code, was_sent }
    }

    fn meaning_of(&self, error: &hyper::Error) -> Code {
        if let Some(code) = self.source.spoilt().map(Spoilt::code) {
            code
        } else if error.is_parse_too_large() {
            Code::H25
        } else if error.is_parse() {
            Code::H17
        } else if self.source.has_body() && !self.source.has_ended() {
            Code::H18
        } else {
            Code::H13
        }
    }
}
