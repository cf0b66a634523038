//! A request that is being answered: what is left of its head once that is written for a dyno.

use std::rc::Rc;

use httparse::Header;

use super::{
    fields::Kind,
    framing::BodyLength,
    head::Version,
    render::{self, Ours, Spans},
    request::{Expectation, Request},
    response::Asked,
};
use crate::{
    admission::Extras,
    buffers::Text,
    edge::{HeaderChanges, changed_head},
    lane::Lane,
    pages::Accept,
    proxy::Peer,
    subject::{Described, Subject, is_idempotent},
    traces::Begun,
};

/// A request on its way.
pub(crate) struct Incoming {
    /// The head for the dyno; it can be sent again.
    head: Text,
    /// Another in its place, where an app's edge settings change it.
    changed: Option<Vec<u8>>,
    spans: Spans,
    /// The host in lower case, if the client wrote it otherwise.
    host: Option<String>,
    /// See [`is_idempotent`].
    pub(crate) is_idempotent: bool,
    pub(crate) version: Version,
    pub(crate) body: BodyLength,
    pub(crate) expects: Expectation,
    pub(crate) asked: Asked,
    pub(crate) accept: Accept,
    pub(crate) wants: Wants,
    pub(crate) asks_upgrade: bool,
    is_secure: bool,
}

/// What the client would have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wants {
    pub(crate) keep_alive: bool,
    /// In the response.
    pub(crate) trailers: bool,
    /// Its own be passed on.
    pub(crate) trail: bool,
}

impl Incoming {
    pub(crate) fn new(
        request: &Request<'_>,
        fields: &[Header<'_>],
        lane: &Rc<Lane>,
        peer: &Peer,
    ) -> Self {
        let mut made = uuid::Uuid::encode_buffer();
        let request_id: &str = if request.given_id.is_some() {
            ""
        } else {
            let id = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
            id.hyphenated().encode_lower(&mut made)
        };
        let identity = peer.identity.as_ref();
        let ours = Ours {
            client: peer.ip.as_bytes(),
            port: peer.port.as_bytes(),
            protocol: peer.protocol(),
            identity: identity.and_then(|at| at.subject.as_ref().map(http::HeaderValue::as_bytes)),
            request_id,
            start_ms: lane.clock.now().as_micros() / 1000,
        };
        let mut head = lane.buffers.text();
        let spans = render::to_dyno(request, fields, &ours, &mut head);
        let is_upper = request.host.bytes().any(|byte| byte.is_ascii_uppercase());
        let has = |kind| {
            request
                .kinds
                .iter()
                .take(fields.len())
                .any(|at| *at == kind)
        };
        let accepts = fields.iter().zip(&request.kinds);
        let accepts = accepts.filter(|(_, kind)| **kind == Kind::Accept);
        Self {
            head,
            changed: None,
            spans,
            host: is_upper.then(|| request.host.to_ascii_lowercase()),
            is_idempotent: is_idempotent(request.method),
            version: request.version,
            body: request.body,
            expects: request.expects,
            asked: if request.method == "HEAD" {
                Asked::Head
            } else {
                Asked::Other
            },
            accept: Accept::of_values(accepts.map(|(field, _)| field.value)),
            wants: Wants {
                keep_alive: request.options.keeps(request.version),
                trailers: request.takes_trailers,
                trail: request.body == BodyLength::Chunked && has(Kind::Trailer),
            },
            asks_upgrade: request.upgrade.is_some(),
            is_secure: peer.is_secure,
        }
    }

    /// The value of a header; an app's edge settings ask for few.
    pub(crate) fn field(&self, name: &str) -> Option<&[u8]> {
        let lines = self.head.split(|byte| *byte == b'\n').skip(1);
        lines.map(<[u8]>::trim_ascii_end).find_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let (found, value) = line.split_at_checked(colon)?;
            let is_it = found.eq_ignore_ascii_case(name.as_bytes());
            is_it.then(|| value.get(1..).unwrap_or_default().trim_ascii())
        })
    }

    /// Writes the head for the dyno anew where an app's edge settings change it.
    pub(crate) fn change(&mut self, extras: &Extras) {
        let changes = extras.request_headers();
        if changes.is_some() || extras.stripped > 0 {
            let none = HeaderChanges::default();
            let changes = changes.unwrap_or(&none);
            self.changed = Some(changed_head(&self.head, extras.stripped, changes));
        }
    }

    /// The head for a dyno as it is without an app's changes.
    pub(crate) fn plain_lead(&self) -> &[u8] {
        &self.head
    }

    /// Has the dyno's spans be children of ours.
    pub(crate) fn trace(&mut self, begun: &Begun) {
        let value = begun.traceparent();
        let keeps_state = begun.has_parent();
        self.changed = Some(render::traced(self.lead(), &value, keeps_state));
    }

    /// The head for the dyno.
    pub(crate) fn lead(&self) -> &[u8] {
        self.changed.as_deref().unwrap_or(&self.head)
    }

    pub(crate) fn has_body(&self) -> bool {
        self.body != BodyLength::None
    }
}

impl Subject for &Incoming {
    fn described(&self) -> Described<'_> {
        let Spans {
            method,
            path,
            host,
            request_id,
            forwarded_for,
        } = self.spans;
        Described {
            method: method.of(&self.head),
            path: path.of(&self.head),
            host: self.host.as_deref().unwrap_or_else(|| host.of(&self.head)),
            request_id: request_id.of(&self.head),
            forwarded_for: forwarded_for.of(&self.head),
            is_secure: self.is_secure,
        }
    }

    fn host(&self) -> &str {
        let host = || self.spans.host.of(&self.head);
        self.host.as_deref().unwrap_or_else(host)
    }
}
