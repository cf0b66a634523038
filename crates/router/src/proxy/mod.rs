//! One request, from its head to its answer: check, find the app, forward, relay.
//!
//! It must not know how connections are accepted nor how tables come about. [`answer`] reads as
//! the phases of a request; each has its file.

mod attempt;
mod body;
mod head;
mod headers;
mod packing;
mod upload;
mod upstream;

use std::rc::Rc;

use http::{
    HeaderValue, Method,
    header::{CONTENT_LENGTH, LOCATION, SET_COOKIE, STRICT_TRANSPORT_SECURITY},
    response::Parts,
};
use http_body_util::Full;
use hyper::{
    Request, Response, StatusCode,
    body::{Body as _, Incoming, SizeHint},
};

use self::{
    attempt::{Answer, Attempt},
    body::{Relay, Underway},
};
pub(crate) use self::{
    body::{ReplyBody, ReplyError},
    head::{ClientIdentity, Head, Peer, Refusal},
    packing::Packing,
    upload::{RequestSource, Spoilt, Upload},
    upstream::{Http1, Streams},
};
use crate::{
    admission::{self, Admitted, Announced, Arrival, Extras, Refused},
    codes::Code,
    compression,
    exchange::{BAD_CHUNK, Exchange, UNKNOWN_EXPECTATION},
    files, grpc,
    lane::Lane,
    metrics::Unrouted,
    pages::{self, Denied, Page},
    subject::Subject,
    table::to_https,
};

/// Answers one request. Dropping it, as hyper does when the client leaves, ends everything that it
/// began.
pub(crate) async fn answer(
    lane: Rc<Lane>,
    peer: Rc<Peer>,
    request: Request<Incoming>,
) -> Response<ReplyBody> {
    let accept = pages::Accept::of(request.headers());
    let (parts, incoming) = request.into_parts();
    let head = match Head::check(parts, peer) {
        Ok(head) => Rc::new(head),
        Err(refusal) => {
            lane.counts.unrouted(Unrouted::Malformed);
            return pages::respond(Page::Refused(refusal), accept, None);
        }
    };
    match admit(&lane, &head, incoming.size_hint()) {
        Ok(admitted) => {
            let extras = admitted.extras.as_ref();
            let most_bytes = extras.and_then(|extras| extras.max_body_bytes());
            let source = RequestSource::new(Upload::Http2(incoming), most_bytes);
            carry(lane, head, Rc::new(source), admitted).await
        }
        Err(refused) => refuse(lane, refused, accept, head),
    }
}

/// Answers a request that was admitted; likewise.
pub(crate) async fn carry(
    lane: Rc<Lane>,
    head: Rc<Head>,
    source: Rc<RequestSource>,
    admitted: Admitted,
) -> Response<ReplyBody> {
    let extras = admitted.extras.map(Rc::from);
    let mut exchange = Exchange::new(Rc::clone(&lane), admitted.app, Rc::clone(&head));
    exchange.trace(lane.tracer.as_ref().and_then(|tracer| {
        let client = head.headers.get(headers::TRACEPARENT);
        tracer.begin(client.map(HeaderValue::as_bytes), lane.clock.now())
    }));
    let mut response = match answer_of(extras.as_ref(), &head, &source, &mut exchange).await {
        Ok(Found::File(hit, extras)) => files::respond(hit, &extras, exchange),
        Ok(Found::Dyno(answer)) => relay(answer, source, exchange, extras),
        Err(code) => {
            let accept = pages::Accept::of(&head.headers);
            exchange.count_in(source.bytes());
            let (page, url) = match source.spoilt() {
                Some(Spoilt::Malformed) => {
                    let page = Page::Refused(Refusal::Malformed);
                    exchange.because(Some(BAD_CHUNK));
                    exchange.refuse(code, page.status());
                    (page, None)
                }
                Some(Spoilt::TooLong) => {
                    let page = Page::Edge(Denied::Body);
                    exchange.responding(page.status().as_u16());
                    exchange.finish();
                    (page, None)
                }
                Some(Spoilt::Left) | None => {
                    exchange.because(cause(code));
                    exchange.fail(code);
                    let url = extras.as_ref().and_then(|extras| extras.page_url(code));
                    (Page::Failed(code), url)
                }
            };
            pages::respond_or(page, url, accept, Some(&head))
        }
    };
    if let Some(hsts) = admitted.hsts {
        let headers = response.headers_mut();
        headers.entry(STRICT_TRANSPORT_SECURITY).or_insert(hsts);
    }
    response
}

/// What exactly went wrong, where the code alone does not say.
fn cause(code: Code) -> Option<&'static str> {
    match code {
        Code::H25 => Some("oversized header"),
        Code::H26 => Some(UNKNOWN_EXPECTATION),
        _ => None,
    }
}

fn admit(lane: &Lane, head: &Rc<Head>, body: SizeHint) -> Result<Admitted, Refused> {
    let arrival = Arrival {
        described: head.described(),
        peer: &head.peer,
        body: body.exact().map_or(Announced::Counted, Announced::Bytes),
        field: |name: &str| head.headers.get(name).map(HeaderValue::as_bytes),
    };
    admission::admit(lane, &arrival)
}

/// Answers without a dyno.
fn refuse(
    lane: Rc<Lane>,
    refused: Refused,
    accept: pages::Accept,
    head: Rc<Head>,
) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::Page(Full::default()));
    let mut status = None;
    let app = match refused {
        Refused::Page(page) => {
            lane.counts.unrouted(Unrouted::by(page));
            return pages::respond(page, accept, Some(&head));
        }
        Refused::Misdirected(app) => {
            let page = pages::respond(Page::Failed(Code::H31), accept, Some(&head));
            Exchange::new(lane, app, head).fail(Code::H31);
            return page;
        }
        Refused::Status(answer) => {
            return answer.into_response(head.method == Method::HEAD);
        }
        Refused::Challenge(answer) => {
            return Response::new(ReplyBody::Page(Full::from(answer)));
        }
        Refused::ToHttps(app) => {
            match to_https(head.described(), lane.https_port) {
                Some((status, location)) => {
                    *response.status_mut() = status;
                    response.headers_mut().insert(LOCATION, location);
                }
                None => *response.status_mut() = StatusCode::BAD_REQUEST,
            }
            app
        }
        Refused::Edge(app, refused) => {
            if let Some(page) = refused.page() {
                response = pages::respond(page, accept, Some(&head));
            } else {
                *response.status_mut() = refused.status();
            }
            response.headers_mut().extend(refused.header());
            status = Some(refused.status());
            app
        }
    };
    let mut exchange = Exchange::new(lane, app, head);
    exchange.responding(status.unwrap_or(response.status()).as_u16());
    exchange.finish();
    response
}

/// Who answers.
enum Found {
    File(files::Hit, Rc<Extras>),
    Dyno(Answer),
}

async fn answer_of(
    extras: Option<&Rc<Extras>>,
    head: &Rc<Head>,
    source: &Rc<RequestSource>,
    exchange: &mut Exchange<Rc<Head>>,
) -> Result<Found, Code> {
    if let Some(extras) = extras
        && let Some(files) = &extras.files
        && let Some(hit) = files.find(&exchange.lane().layers, head).await
    {
        return Ok(Found::File(hit, Rc::clone(extras)));
    }
    forward(extras, head, source, exchange)
        .await
        .map(Found::Dyno)
}

async fn forward(
    extras: Option<&Rc<Extras>>,
    head: &Rc<Head>,
    source: &Rc<RequestSource>,
    exchange: &mut Exchange<Rc<Head>>,
) -> Result<Answer, Code> {
    if head.has_unknown_expectation() {
        return Err(Code::H26);
    }
    let lane = Rc::clone(exchange.lane());
    let answer = Attempt::new(lane, Rc::clone(head), Rc::clone(source), extras.cloned())
        .run(exchange)
        .await?;
    // Nobody asked to change the protocol.
    let is_switch = answer.response.status() == StatusCode::SWITCHING_PROTOCOLS;
    if is_switch || headers::has_odd_coding(answer.response.headers()) {
        return Err(Code::H17);
    }
    Ok(answer)
}

fn relay(
    answer: Answer,
    source: Rc<RequestSource>,
    mut exchange: Exchange<Rc<Head>>,
    extras: Option<Rc<Extras>>,
) -> Response<ReplyBody> {
    let Answer {
        response,
        connection,
        lease,
    } = answer;
    exchange.responding(response.status().as_u16());
    let (mut parts, incoming) = response.into_parts();
    headers::to_client(&mut parts);
    let mut timeouts = exchange.lane().timeouts;
    if let Some(extras) = &extras {
        timeouts = extras.timeouts(timeouts);
        if let Some(changes) = extras.response_headers() {
            changes.apply(&mut parts.headers);
        }
        let cookie = extras.set_cookie(&lease, exchange.subject().peer.is_secure);
        let cookie = cookie.and_then(|cookie| HeaderValue::try_from(cookie).ok());
        parts
            .headers
            .extend(cookie.map(|cookie| (SET_COOKIE, cookie)));
    }
    let packing = extras
        .filter(|extras| extras.compresses())
        .and_then(|_| pack(&mut parts, &exchange));
    let underway = Underway {
        exchange,
        connection,
        lease,
    };
    let is_grpc = grpc::is_grpc(&parts.headers);
    let mut relay = Relay::new(incoming, source, timeouts.rolling, underway);
    if is_grpc {
        relay.speak_grpc();
    }
    if let Some(packing) = packing {
        relay.pack(packing);
    }
    Response::from_parts(parts, ReplyBody::Relay(Box::new(relay)))
}

/// What compresses the response, if it is to be compressed.
fn pack(parts: &mut Parts, exchange: &Exchange<Rc<Head>>) -> Option<Packing> {
    let (head, seats) = (exchange.subject(), &exchange.lane().seats);
    // Streams have no length: whoever waits for their next piece shall have what came so far.
    let is_stream = !parts.headers.contains_key(CONTENT_LENGTH);
    let request = (head.version, &head.headers);
    let coding = compression::choose(request, parts, seats.has_room())?;
    (head.method != Method::HEAD).then(|| Packing::new(coding, is_stream, seats))
}
