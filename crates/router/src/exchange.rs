//! One request and its answer, kept until the access line is written. However a request ends —
//! answered, failed, or dropped because the client left — exactly one line comes of it.

use std::{rc::Rc, sync::Arc, time::Duration};

use api::{clock::Time, ids::AppId};
use http::StatusCode;
use tokio::time::Instant;

use crate::{
    access::Line,
    codes::Code,
    lane::Lane,
    metrics::Ended,
    subject::Subject,
    table::Backend,
    traces::{Begun, Outcome, Times},
};

/// A cause of H26, in Heroku's words.
pub(crate) const UNKNOWN_EXPECTATION: &str = "unsupported expect header value";
/// Another.
pub(crate) const BAD_CHUNK: &str = "bad chunk";

/// A request to an app, not yet logged.
pub(crate) struct Exchange<S: Subject> {
    lane: Rc<Lane>,
    app: AppId,
    subject: S,
    dyno: Option<Arc<Backend>>,
    connect: Option<Duration>,
    served_since: Option<Instant>,
    /// Since when it waits for a dyno that can take it.
    waits_since: Option<Instant>,
    /// How long it did.
    waited: Option<Duration>,
    /// Once the response's head has gone out.
    status: Option<u16>,
    bytes: u64,
    cause: Option<&'static str>,
    /// Of the request's body.
    bytes_in: u64,
    /// If it is traced, which few are.
    span: Option<Box<Begun>>,
    is_logged: bool,
}

impl<S: Subject> Exchange<S> {
    pub(crate) fn new(lane: Rc<Lane>, app: AppId, subject: S) -> Self {
        Self {
            lane,
            app,
            subject,
            dyno: None,
            connect: None,
            served_since: None,
            waits_since: None,
            waited: None,
            status: None,
            bytes: 0,
            cause: None,
            bytes_in: 0,
            span: None,
            is_logged: false,
        }
    }

    pub(crate) fn lane(&self) -> &Rc<Lane> {
        &self.lane
    }

    pub(crate) fn subject(&self) -> &S {
        &self.subject
    }

    /// It is traced.
    pub(crate) fn trace(&mut self, begun: Option<Begun>) {
        self.span = begun.map(Box::new);
    }

    pub(crate) fn span(&self) -> Option<&Begun> {
        self.span.as_deref()
    }

    /// There is no dyno that can take it, so it waits for one.
    pub(crate) fn waits(&mut self) {
        if self.waits_since.is_none() {
            self.waits_since = Some(Instant::now());
            self.lane.counts.waits(self.app);
        }
    }

    fn end_wait(&mut self) {
        if let Some(since) = self.waits_since.take() {
            self.waited = Some(self.waited.unwrap_or_default() + since.elapsed());
        }
    }

    /// A dyno is about to be tried.
    pub(crate) fn trying(&mut self, backend: &Arc<Backend>) {
        self.end_wait();
        self.dyno = Some(Arc::clone(backend));
        self.connect = None;
        self.served_since = None;
    }

    /// The dyno that is tried took the connection.
    pub(crate) fn connected(&mut self, connect: Duration, now: Instant) {
        self.connect = Some(connect);
        self.served_since = Some(now);
    }

    /// The response's head is on its way to the client.
    pub(crate) fn responding(&mut self, status: u16) {
        self.status = Some(status);
    }

    /// So many bytes of the response's body went through.
    pub(crate) fn count(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    /// So many bytes of the request's body came.
    pub(crate) fn count_in(&mut self, bytes: u64) {
        self.bytes_in += bytes;
    }

    /// The answer went through.
    pub(crate) fn finish(mut self) {
        let status = self.status.unwrap_or_default();
        self.log(None, status);
    }

    /// What exactly goes wrong, where the code alone does not say.
    pub(crate) fn because(&mut self, cause: Option<&'static str>) {
        self.cause = cause;
    }

    /// It went wrong.
    pub(crate) fn fail(mut self, code: Code) {
        self.log(Some(code), code.meaning().status.as_u16());
    }

    /// It went wrong, in a way that has a status of its own.
    pub(crate) fn refuse(mut self, code: Code, status: StatusCode) {
        self.log(Some(code), status.as_u16());
    }

    fn log(&mut self, code: Option<Code>, status: u16) {
        self.is_logged = true;
        self.end_wait();
        let service = self.served_since.map(|since| since.elapsed());
        let line = Line {
            code,
            cause: self.cause,
            subject: self.subject.described(),
            dyno: self.dyno.as_ref().map(|dyno| &dyno.name),
            connect: self.connect,
            service,
            status,
            bytes: self.bytes,
        };
        self.lane.counts.record(&Ended {
            app: self.app,
            dyno: self.dyno.as_ref(),
            code,
            status,
            service,
            waited: self.waited,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes,
        });
        let now = self.lane.clock.now();
        self.lane.recorder.record(self.app, now, &line);
        if let Some(begun) = self.span.take() {
            self.end_span(*begun, (code, status, service), now);
        }
    }

    fn end_span(
        &self,
        begun: Begun,
        (code, status, service): (Option<Code>, u16, Option<Duration>),
        end: Time,
    ) {
        let subject = self.subject.described();
        let table = self.lane.routes.table();
        let app = table.find(subject.host).filter(|app| app.id == self.app);
        // Only where an app answers for another, or has just gone.
        let id = app.is_none().then(|| self.app.to_string());
        let outcome = Outcome {
            subject,
            app: id
                .as_deref()
                .or(app.map(|app| app.name()))
                .unwrap_or_default(),
            dyno: self.dyno.as_ref().map(|dyno| dyno.name.as_str()),
            code,
            status,
            times: Times {
                queue: self.waited,
                connect: self.connect,
                service,
            },
            bytes_in: self.bytes_in,
            bytes_out: self.bytes,
            end,
        };
        if let Some(tracer) = &self.lane.tracer {
            tracer.end(begun, &outcome);
        }
    }
}

impl<S: Subject> Drop for Exchange<S> {
    /// Dropped without an end: the client left, unless the router itself closes by force. During a
    /// response the first is the client's good right, before one it is H27.
    fn drop(&mut self) {
        match self.status {
            _ if self.is_logged => {}
            _ if self.lane.is_forced() => {
                self.log(Some(Code::H24), Code::H24.meaning().status.as_u16());
            }
            Some(status) => self.log(None, status),
            None => self.log(Some(Code::H27), Code::H27.meaning().status.as_u16()),
        }
    }
}
