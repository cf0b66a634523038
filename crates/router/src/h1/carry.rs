//! One request from its head to the end of its answer: admitted, placed, carried to a dyno and back.
//!
//! [`carry`] says who answers; [`super::talk`] is the talk with a dyno.

use std::rc::Rc;

use api::ids::AppId;
use http::{HeaderValue, StatusCode};

use super::{
    connection::Connection,
    framing::BodyLength,
    incoming::Incoming,
    reply::{self, Manner},
    talk::Talk,
};
use crate::{
    codes::Code,
    exchange::Exchange,
    lane::Lane,
    pages::Page,
    proxy::{Peer, Refusal},
    subject::Subject,
    table::{Passage, to_https},
};

/// What becomes of the client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Next,
    Close,
    /// Close it when the client has read our answer.
    Linger,
}

/// An answer without a dyno.
enum Own {
    Page(Page),
    ToHttps(AppId),
    Text(String),
}

/// Answers a request. Dropping it, as happens when the router ends at once, logs it.
pub(crate) async fn carry(connection: &mut Connection, incoming: &Incoming) -> Ended {
    let lane = Rc::clone(&connection.lane);
    match admit(&lane, incoming, &connection.peer) {
        Ok((app, hsts)) => {
            let exchange = Exchange::new(lane, app, incoming);
            Talk::new(connection, incoming, hsts).run(exchange).await
        }
        Err(own) => answer(connection, incoming, own).await,
    }
}

/// The app that the request is for, and what its answers carry over HTTPS.
fn admit(
    lane: &Lane,
    incoming: &Incoming,
    peer: &Peer,
) -> Result<(AppId, Option<HeaderValue>), Own> {
    let described = incoming.described();
    if let Some(answer) = lane.routes.shared.certificates.answer(described.path) {
        return Err(Own::Text(answer));
    }
    let table = lane.routes.table();
    let Some(app) = table.find(described.host) else {
        // Before the first table nobody knows whether there is such an app.
        return Err(Own::Page(if table.version == 0 {
            Page::Failed(Code::H99)
        } else {
            Page::NoSuchApp
        }));
    };
    match app.secure.passage(app.id, peer, described.path) {
        Passage::Open => Ok((app.id, app.secure.hsts(peer).cloned())),
        Passage::Redirect => Err(Own::ToHttps(app.id)),
        Passage::Misdirected => Err(Own::Page(Page::Refused(Refusal::Misdirected))),
    }
}

async fn answer(connection: &mut Connection, incoming: &Incoming, own: Own) -> Ended {
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
    match own {
        Own::Page(page) => {
            let id = Some(described.request_id);
            reply::page(page, incoming.accept, id, &manner, &mut out);
        }
        Own::Text(text) => {
            reply::answer(StatusCode::OK, &[], text.as_bytes(), &manner, &mut out);
        }
        Own::ToHttps(app) => {
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

/// How a connection goes on behind an answer whose request body nobody reads.
pub(super) fn ended(is_written: bool, keeps: bool, body: BodyLength) -> Ended {
    match (is_written, keeps, body) {
        (true, true, _) => Ended::Next,
        (false, ..) | (true, false, BodyLength::None) => Ended::Close,
        (true, false, _) => Ended::Linger,
    }
}
