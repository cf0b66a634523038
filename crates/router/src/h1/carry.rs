//! One request from its head to the end of its answer: admitted, placed, carried to a dyno and back.
//!
//! [`carry`] says who answers; [`super::talk`] is the talk with a dyno.

use std::rc::Rc;

use http::{HeaderValue, StatusCode};

use super::{
    bridge,
    connection::Connection,
    framing::BodyLength,
    incoming::Incoming,
    reply::{self, Manner},
    talk::Talk,
};
use crate::{
    admission::{self, Admitted, Announced, Arrival, Refused},
    codes::Code,
    edge,
    exchange::Exchange,
    lane::Lane,
    metrics::Unrouted,
    pages::Page,
    proxy::Peer,
    subject::Subject,
    table::to_https,
};

/// What becomes of the client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Next,
    Close,
    /// Close it when the client has read our answer.
    Linger,
}

/// Answers a request. Dropping it, as happens when the router ends at once, logs it.
pub(crate) async fn carry(connection: &mut Connection, incoming: &mut Incoming) -> Ended {
    let lane = Rc::clone(&connection.lane);
    match admit(&lane, incoming, &connection.peer) {
        Ok(admitted) if asks_much(&admitted, incoming) => {
            Box::pin(bridge::run(connection, incoming, admitted)).await
        }
        Ok(admitted) => {
            if let Some(extras) = &admitted.extras {
                incoming.change(extras);
            }
            let begun = lane.tracer.as_ref().and_then(|tracer| {
                let client = incoming.field("traceparent");
                tracer.begin(client, lane.clock.now())
            });
            if let Some(begun) = &begun {
                incoming.trace(begun);
            }
            let incoming = &*incoming;
            let mut exchange = Exchange::new(lane, admitted.app, incoming);
            exchange.trace(begun);
            Talk::new(connection, incoming, admitted)
                .run(exchange)
                .await
        }
        Err(refused) => answer(connection, incoming, refused).await,
    }
}

/// Whether the app asks for what goes beyond carrying bytes.
fn asks_much(admitted: &Admitted, incoming: &Incoming) -> bool {
    let extras = admitted.extras.as_ref();
    extras.is_some_and(|extras| extras.asks_much(incoming.asks_upgrade))
}

fn admit(lane: &Lane, incoming: &Incoming, peer: &Peer) -> Result<Admitted, Refused> {
    let arrival = Arrival {
        described: incoming.described(),
        peer,
        body: match incoming.body {
            BodyLength::None => Announced::Bytes(0),
            BodyLength::Bytes(bytes) => Announced::Bytes(bytes),
            BodyLength::Chunked | BodyLength::UntilClose => Announced::Counted,
        },
        field: |name: &str| incoming.field(name),
    };
    admission::admit(lane, &arrival)
}

async fn answer(connection: &mut Connection, incoming: &Incoming, refused: Refused) -> Ended {
    let lane = Rc::clone(&connection.lane);
    let described = incoming.described();
    let date = lane.dates.at(lane.clock.now());
    let manner = Manner {
        version: incoming.version,
        // Nobody reads the body.
        keeps: incoming.wants.keep_alive && !incoming.has_body() && !lane.is_stopping(),
        asked: incoming.asked,
        date: &date,
        hsts: None,
    };
    let mut out = lane.buffers.text();
    match refused {
        Refused::Page(page) => {
            lane.counts.unrouted(Unrouted::by(page));
            let id = Some(described.request_id);
            reply::page(page, incoming.accept, id, &manner, &mut out);
        }
        Refused::Misdirected(app) => {
            let page = Page::Failed(Code::H31);
            let id = Some(described.request_id);
            reply::page(page, incoming.accept, id, &manner, &mut out);
            Exchange::new(Rc::clone(&lane), app, incoming).fail(Code::H31);
        }
        Refused::Challenge(text) => {
            reply::answer(StatusCode::OK, &[], text.as_bytes(), &manner, &mut out);
        }
        Refused::Status(answer) => {
            let fields = answer.fields.iter();
            let fields: Vec<_> = fields.map(|(name, value)| (*name, &**value)).collect();
            reply::answer(answer.status, &fields, &answer.body, &manner, &mut out);
        }
        Refused::Edge(app, refused) => {
            write_denied(&refused, incoming, &manner, &mut out);
            let mut exchange = Exchange::new(Rc::clone(&lane), app, incoming);
            exchange.responding(refused.status().as_u16());
            exchange.finish();
        }
        Refused::ToHttps(app) => {
            let (status, location) = to_https(described, lane.https_port)
                .unwrap_or((StatusCode::BAD_REQUEST, HeaderValue::from_static("")));
            let fields = [("location", location.to_str().unwrap_or_default())];
            reply::answer(status, &fields, b"", &manner, &mut out);
            let mut exchange = Exchange::new(Rc::clone(&lane), app, incoming);
            exchange.responding(status.as_u16());
            exchange.finish();
        }
    }
    let written = connection.write(&out).await;
    ended(written.is_ok(), manner.keeps, incoming.body)
}

/// What an app's edge settings answer.
fn write_denied(
    refused: &edge::Refused,
    incoming: &Incoming,
    manner: &Manner<'_>,
    out: &mut Vec<u8>,
) {
    let id = incoming.described().request_id;
    let page = refused.page();
    let (kind, text) = page.map_or(("text/plain", String::new()), |page| {
        page.render(incoming.accept, Some(id))
    });
    let header = refused.header();
    let header = header.as_ref().and_then(|(name, value)| {
        let value = value.to_str().ok()?;
        Some((name.as_str(), value))
    });
    let fields = [("content-type", kind), ("cache-control", "no-store")];
    let fields: Vec<_> = fields.into_iter().chain(header).collect();
    reply::answer(refused.status(), &fields, text.as_bytes(), manner, out);
}

/// How a connection goes on behind an answer whose request body nobody reads.
pub(super) fn ended(is_written: bool, keeps: bool, body: BodyLength) -> Ended {
    match (is_written, keeps, body) {
        (true, true, _) => Ended::Next,
        (false, ..) | (true, false, BodyLength::None) => Ended::Close,
        (true, false, _) => Ended::Linger,
    }
}
