//! One request, from its head to its answer: check, find the app, forward, relay.
//!
//! It must not know how connections are accepted nor how tables come about. [`answer`] reads as
//! the phases of a request; each has its file.

mod attempt;
mod body;
mod exchange;
mod head;
mod headers;
mod tunnel;
mod upstream;
mod wake;

use std::rc::Rc;

use hyper::{Request, Response, StatusCode, body::Incoming, upgrade::OnUpgrade};
use tokio::task::spawn_local;

use self::{
    attempt::{Answer, Attempt},
    body::{Relay, RequestSource, Underway},
    exchange::Exchange,
};
pub(crate) use self::{
    body::ReplyBody,
    head::{Head, Peer, Refusal},
    upstream::Pool,
};
use crate::{
    codes::Code,
    lane::Lane,
    pages::{self, Page},
};

/// Answers one request. Dropping it, as hyper does when the client leaves, ends everything that it
/// began.
pub(crate) async fn answer(
    lane: Rc<Lane>,
    peer: Rc<Peer>,
    mut request: Request<Incoming>,
) -> Response<ReplyBody> {
    let accept = pages::Accept::of(request.headers());
    let client = hyper::upgrade::on(&mut request);
    let (parts, incoming) = request.into_parts();
    let head = match Head::check(parts, peer) {
        Ok(head) => Rc::new(head),
        Err(refusal) => return pages::respond(Page::Refused(refusal), accept, None),
    };
    let table = lane.routes.table();
    let app = match table.find(&head.host) {
        Some(app) => app.id,
        // Before the first table nobody knows whether there is such an app.
        None if table.version == 0 => {
            return pages::respond(Page::Failed(Code::H99), accept, Some(&head));
        }
        None => return pages::respond(Page::NoSuchApp, accept, Some(&head)),
    };
    drop(table);
    let mut exchange = Exchange::new(Rc::clone(&lane), app, Rc::clone(&head));
    let source = Rc::new(RequestSource::new(incoming));
    match forward(lane, &head, &source, &mut exchange).await {
        Ok(answer) => relay(answer, source, exchange, client),
        Err(code) => {
            exchange.fail(code);
            pages::respond(Page::Failed(code), accept, Some(&head))
        }
    }
}

async fn forward(
    lane: Rc<Lane>,
    head: &Rc<Head>,
    source: &Rc<RequestSource>,
    exchange: &mut Exchange,
) -> Result<Answer, Code> {
    if head.has_unknown_expectation() {
        return Err(Code::H26);
    }
    let answer = Attempt::new(lane, Rc::clone(head), Rc::clone(source))
        .run(exchange)
        .await?;
    let is_switch = answer.response.status() == StatusCode::SWITCHING_PROTOCOLS;
    if is_switch && head.upgrade.is_none() {
        return Err(Code::H17);
    }
    Ok(answer)
}

fn relay(
    answer: Answer,
    source: Rc<RequestSource>,
    mut exchange: Exchange,
    client: OnUpgrade,
) -> Response<ReplyBody> {
    let Answer {
        mut response,
        connection,
        lease,
    } = answer;
    exchange.responding(response.status().as_u16());
    let is_switch = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let dyno = is_switch.then(|| hyper::upgrade::on(&mut response));
    let (mut parts, incoming) = response.into_parts();
    headers::to_client(&mut parts);
    let body = if let Some(dyno) = dyno {
        spawn_local(tunnel::run(exchange, lease, client, dyno));
        ReplyBody::Page(http_body_util::Full::default())
    } else {
        let underway = Underway {
            exchange,
            connection,
            lease,
        };
        ReplyBody::Relay(Box::new(Relay::new(incoming, source, underway)))
    };
    Response::from_parts(parts, body)
}
