//! One request, from its head to its answer: check, find the app, forward, relay.
//!
//! It must not know how connections are accepted nor how tables come about. [`answer`] reads as
//! the phases of a request; each has its file.

mod attempt;
mod body;
mod head;
mod headers;
mod tunnel;
mod upstream;

use std::rc::Rc;

use api::ids::AppId;
use http::{
    HeaderValue,
    header::{LOCATION, STRICT_TRANSPORT_SECURITY},
};
use http_body_util::Full;
use hyper::{Request, Response, StatusCode, body::Incoming, upgrade::OnUpgrade};
use tokio::task::spawn_local;

use self::{
    attempt::{Answer, Attempt},
    body::{Relay, RequestSource, Underway},
};
pub(crate) use self::{
    body::ReplyBody,
    head::{ClientIdentity, Head, Peer, Refusal},
    upstream::Connection,
};
use crate::{
    codes::Code,
    exchange::Exchange,
    lane::Lane,
    pages::{self, Page},
    subject::Subject,
    table::{Passage, to_https},
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
    if let Some(answer) = lane.routes.shared.certificates.answer(head.target.path()) {
        return Response::new(ReplyBody::Page(Full::from(answer)));
    }
    let (app, hsts) = match admit(&lane, &head) {
        Ok(admitted) => admitted,
        Err(Refused::Page(page)) => return pages::respond(page, accept, Some(&head)),
        Err(Refused::ToHttps(app)) => return redirect(lane, app, head),
    };
    let mut exchange = Exchange::new(Rc::clone(&lane), app, Rc::clone(&head));
    let source = Rc::new(RequestSource::new(incoming));
    let mut response = match forward(lane, &head, &source, &mut exchange).await {
        Ok(answer) => relay(answer, source, exchange, client),
        Err(code) => {
            exchange.fail(code);
            pages::respond(Page::Failed(code), accept, Some(&head))
        }
    };
    if let Some(hsts) = hsts {
        let headers = response.headers_mut();
        headers.entry(STRICT_TRANSPORT_SECURITY).or_insert(hsts);
    }
    response
}

/// Why a request does not go on to an app.
enum Refused {
    Page(Page),
    /// The app wants it over HTTPS.
    ToHttps(AppId),
}

/// The app that the request is for, and what its answers carry over HTTPS.
fn admit(lane: &Lane, head: &Head) -> Result<(AppId, Option<HeaderValue>), Refused> {
    let table = lane.routes.table();
    let Some(app) = table.find(&head.host) else {
        // Before the first table nobody knows whether there is such an app.
        return Err(Refused::Page(if table.version == 0 {
            Page::Failed(Code::H99)
        } else {
            Page::NoSuchApp
        }));
    };
    match app.secure.passage(app.id, &head.peer, head.target.path()) {
        Passage::Open => Ok((app.id, app.secure.hsts(&head.peer).cloned())),
        Passage::Redirect => Err(Refused::ToHttps(app.id)),
        Passage::Misdirected => Err(Refused::Page(Page::Refused(Refusal::Misdirected))),
    }
}

fn redirect(lane: Rc<Lane>, app: AppId, head: Rc<Head>) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::Page(Full::default()));
    match to_https(head.described(), lane.https_port) {
        Some((status, location)) => {
            *response.status_mut() = status;
            response.headers_mut().insert(LOCATION, location);
        }
        None => *response.status_mut() = StatusCode::BAD_REQUEST,
    }
    let mut exchange = Exchange::new(lane, app, head);
    exchange.responding(response.status().as_u16());
    exchange.finish();
    response
}

async fn forward(
    lane: Rc<Lane>,
    head: &Rc<Head>,
    source: &Rc<RequestSource>,
    exchange: &mut Exchange<Rc<Head>>,
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
    mut exchange: Exchange<Rc<Head>>,
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
        ReplyBody::Page(Full::default())
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
