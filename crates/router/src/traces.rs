//! Spans of sampled requests for an OpenTelemetry collector, and the `traceparent` that a dyno goes
//! on from.
//!
//! Off unless an endpoint is configured: then a lane has a [`Tracer`], else none, and nothing here is
//! asked. What a client says of its trace goes through untouched unless the request is sampled. A
//! lane hands a finished span to a queue and never waits; what finds no room is counted. It must not
//! know how a request is answered. Read [`Tracer::begin`].

mod context;
mod export;
mod otlp;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use api::clock::Time;
use tokio::sync::mpsc;

use self::context::Context;
pub(crate) use self::export::Exporter;
use crate::{codes::Code, subject::Described};

/// Spans that wait for their export, of all lanes.
const QUEUE: usize = 4096;
/// What a ratio is counted in.
const MILLION: u32 = 1_000_000;

/// Where spans go, and how many.
#[derive(Clone, Debug)]
pub struct Traces {
    /// Where a collector takes OTLP over HTTP: `http://127.0.0.1:4318`.
    pub endpoint: http::Uri,
    /// How many of a million requests are sampled.
    pub per_million: u32,
}

/// What became of spans.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// A collector took them.
    exported: AtomicU64,
    /// They found no room, or no collector took them.
    dropped: AtomicU64,
}

/// A lane's end of it.
#[derive(Clone, Debug)]
pub(crate) struct Tracer {
    per_million: u32,
    spans: mpsc::Sender<Span>,
    tally: Arc<Tally>,
}

/// A sampled request that has not ended.
#[derive(Clone, Debug)]
pub(crate) struct Begun {
    context: Context,
    /// The client's span.
    parent: Option<u64>,
    start: Time,
}

/// How a request ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome<'a> {
    pub(crate) subject: Described<'a>,
    pub(crate) app: &'a str,
    pub(crate) dyno: Option<&'a str>,
    pub(crate) code: Option<Code>,
    pub(crate) status: u16,
    pub(crate) times: Times,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) end: Time,
}

/// How long each part took, where there was one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Times {
    /// Waiting for a dyno that could take it.
    pub(crate) queue: Option<Duration>,
    pub(crate) connect: Option<Duration>,
    /// From the connection to the end of the response.
    pub(crate) service: Option<Duration>,
}

/// A request that was sampled and has ended.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    context: Context,
    parent: Option<u64>,
    start: Time,
    end: Time,
    method: String,
    /// Without query: that may hold secrets.
    path: String,
    host: String,
    request_id: String,
    /// Who connected to us.
    peer: String,
    is_secure: bool,
    app: String,
    dyno: Option<String>,
    code: Option<Code>,
    status: u16,
    times: Times,
    bytes_in: u64,
    bytes_out: u64,
}

impl Tally {
    pub(crate) fn exported(&self) -> u64 {
        self.exported.load(Ordering::Relaxed)
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn export(&self, spans: usize) {
        self.exported.fetch_add(spans as u64, Ordering::Relaxed);
    }

    fn lose(&self, spans: usize) {
        self.dropped.fetch_add(spans as u64, Ordering::Relaxed);
    }
}

impl Tracer {
    /// A tracer for each lane to clone, and what it fills.
    pub(crate) fn new(per_million: u32) -> (Self, mpsc::Receiver<Span>) {
        let (spans, receiver) = mpsc::channel(QUEUE);
        let tracer = Self {
            per_million,
            spans,
            tally: Arc::default(),
        };
        (tracer, receiver)
    }

    pub(crate) fn tally(&self) -> Arc<Tally> {
        Arc::clone(&self.tally)
    }

    /// A span for a request, if it is sampled: by its trace's number, so that all who sample by it
    /// choose the same traces, and not if the client says that the trace is not recorded.
    pub(crate) fn begin(&self, traceparent: Option<&[u8]>, now: Time) -> Option<Begun> {
        let client = traceparent.and_then(Context::parse);
        let context = match &client {
            Some(client) => client.child(rand::random()),
            None => Context::new(rand::random(), rand::random()),
        };
        let is_wanted = client.as_ref().is_none_or(Context::is_sampled);
        (is_wanted && context.is_among(self.per_million, MILLION)).then(|| Begun {
            context,
            parent: client.map(|client| client.span),
            start: now,
        })
    }

    /// Has a span exported. Never waits.
    pub(crate) fn end(&self, begun: Begun, outcome: &Outcome<'_>) {
        if self.spans.try_send(begun.end(outcome)).is_err() {
            self.tally.lose(1);
        }
    }
}

impl Begun {
    /// The value of `traceparent` for the dyno.
    pub(crate) fn traceparent(&self) -> String {
        self.context.to_string()
    }

    /// Whether the client began the trace.
    pub(crate) fn has_parent(&self) -> bool {
        self.parent.is_some()
    }

    fn end(self, outcome: &Outcome<'_>) -> Span {
        let subject = &outcome.subject;
        let path = subject.path.split('?').next().unwrap_or_default();
        let peer = subject.forwarded_for.rsplit(',').next().unwrap_or_default();
        Span {
            context: self.context,
            parent: self.parent,
            start: self.start,
            end: outcome.end,
            method: subject.method.to_owned(),
            path: path.to_owned(),
            host: subject.host.to_owned(),
            request_id: subject.request_id.to_owned(),
            peer: peer.trim().to_owned(),
            is_secure: subject.is_secure,
            app: outcome.app.to_owned(),
            dyno: outcome.dyno.map(str::to_owned),
            code: outcome.code,
            status: outcome.status,
            times: outcome.times,
            bytes_in: outcome.bytes_in,
            bytes_out: outcome.bytes_out,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLED: &[u8] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const NOT_SAMPLED: &[u8] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

    fn begin(per_million: u32, traceparent: Option<&[u8]>) -> Option<Begun> {
        let (tracer, _spans) = Tracer::new(per_million);
        tracer.begin(traceparent, Time::from_micros(1))
    }

    #[test]
    fn a_clients_trace_goes_on() {
        let begun = begin(MILLION, Some(SAMPLED)).unwrap();
        assert_eq!(begun.parent, Some(0x00f0_67aa_0ba9_02b7));
        let told = begun.traceparent();
        assert!(
            told.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"),
            "{told}"
        );
        assert!(told.ends_with("-01") && told.len() == 55, "{told}");
        assert!(!told.contains("00f067aa0ba902b7"), "the span is our own");
    }

    #[test]
    fn what_is_not_recorded_is_not_sampled_and_nonsense_begins_a_trace() {
        assert!(begin(MILLION, Some(NOT_SAMPLED)).is_none());
        let begun = begin(MILLION, Some(b"nonsense")).unwrap();
        assert!(!begun.has_parent());
        assert!(begin(MILLION, None).is_some());
        assert!(begin(0, None).is_none());
    }

    #[test]
    fn about_as_many_are_sampled_as_should_be() {
        let sampled = (0..20_000).filter(|_| begin(250_000, None).is_some());
        let count = sampled.count();
        assert!((4_500..5_500).contains(&count), "{count} of 20000");
    }

    #[test]
    fn what_finds_no_room_is_counted() {
        let (tracer, _spans) = Tracer::new(MILLION);
        let outcome = Outcome {
            subject: Described {
                method: "GET",
                path: "/a?secret=b",
                host: "a",
                request_id: "1",
                forwarded_for: "1.2.3.4, 5.6.7.8",
                is_secure: false,
            },
            app: "a",
            dyno: None,
            code: None,
            status: 200,
            times: Times::default(),
            bytes_in: 0,
            bytes_out: 0,
            end: Time::from_micros(2),
        };
        for _ in 0..QUEUE + 3 {
            let begun = tracer.begin(None, Time::from_micros(1)).unwrap();
            tracer.end(begun, &outcome);
        }
        assert_eq!(tracer.tally().dropped(), 3);
    }
}
