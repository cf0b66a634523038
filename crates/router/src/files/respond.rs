//! Answering with a file: what the head says, and how much of the file follows it.

use std::rc::Rc;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{
        ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
        CONTENT_TYPE, ETAG, LAST_MODIFIED, LOCATION,
    },
};
use http_body_util::Full;
use hyper::Response;

use super::{
    Cache, FOREVER_SECONDS, FileBody, Hit, Shown,
    conditions::{Part, Validators, part},
};
use crate::{
    admission::Extras,
    compression::{self, add_vary, is_text_like},
    dates,
    exchange::Exchange,
    proxy::{Head, Packing, ReplyBody},
};

/// Times up to here are no times: tools set them to have the same archive twice.
const EARLIEST_SECONDS: i64 = 315_532_800;

/// Answers with what was found, and logs it when it has gone out.
pub(crate) fn respond(
    hit: Hit,
    extras: &Extras,
    exchange: Exchange<Rc<Head>>,
) -> Response<ReplyBody> {
    let mut response = match hit {
        Hit::Folder => to_folder(exchange),
        Hit::File(shown) => of_file(shown, extras, exchange),
    };
    if let Some(changes) = extras.response_headers() {
        changes.apply(response.headers_mut());
    }
    response
}

fn to_folder(exchange: Exchange<Rc<Head>>) -> Response<ReplyBody> {
    let target = &exchange.subject().target;
    let query = target.query().map(|query| format!("?{query}"));
    let location = format!("{}/{}", target.path(), query.unwrap_or_default());
    let mut headers = HeaderMap::new();
    set(&mut headers, LOCATION, &location);
    set(&mut headers, CACHE_CONTROL, "no-cache");
    bare(StatusCode::MOVED_PERMANENTLY, headers, exchange)
}

/// An answer without a body.
fn bare(
    status: StatusCode,
    headers: HeaderMap,
    mut exchange: Exchange<Rc<Head>>,
) -> Response<ReplyBody> {
    exchange.responding(status.as_u16());
    exchange.finish();
    let mut response = Response::new(ReplyBody::Page(Full::new(Bytes::new())));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn of_file(shown: Shown, extras: &Extras, mut exchange: Exchange<Rc<Head>>) -> Response<ReplyBody> {
    let bytes = shown.file.bytes;
    let validators = Validators {
        modified: (shown.file.modified > EARLIEST_SECONDS)
            .then(|| dates::shown(shown.file.modified)),
        tag: shown.tag.clone(),
    };
    let mut headers = common(&shown, &validators);
    let head = Rc::clone(exchange.subject());
    let part = part(&head.method, &head.headers, &validators, bytes);
    let (status, first, count) = match part {
        Part::Unchanged => {
            if extras.compresses() {
                compression::tell_unchanged(&head.headers, &mut headers);
            }
            return bare(StatusCode::NOT_MODIFIED, headers, exchange);
        }
        Part::Unsatisfiable => {
            set(&mut headers, CONTENT_RANGE, &format!("bytes */{bytes}"));
            return bare(StatusCode::RANGE_NOT_SATISFIABLE, headers, exchange);
        }
        Part::Whole => (StatusCode::OK, 0, bytes),
        Part::Some {
            first,
            bytes: count,
        } => {
            let range = format!("bytes {first}-{}/{bytes}", first + count - 1);
            set(&mut headers, CONTENT_RANGE, &range);
            (StatusCode::PARTIAL_CONTENT, first, count)
        }
    };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(shown.kind));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(count));
    let mut parts = Response::new(()).into_parts().0;
    parts.status = status;
    parts.headers = headers;
    let packing = if extras.compresses() {
        let seats = &exchange.lane().seats;
        compression::choose((head.version, &head.headers), &mut parts, seats.has_room())
            .map(|coding| Packing::new(coding, false, seats))
    } else {
        None
    };
    exchange.responding(status.as_u16());
    let body = if head.method == Method::HEAD {
        exchange.finish();
        ReplyBody::Page(Full::new(Bytes::new()))
    } else {
        let body = FileBody::new(shown.file.handle, (first, count), packing, exchange);
        ReplyBody::File(Box::new(body))
    };
    Response::from_parts(parts, body)
}

/// What is said of the file, also to those who have it.
fn common(shown: &Shown, validators: &Validators) -> HeaderMap {
    let mut headers = HeaderMap::new();
    set(&mut headers, ETAG, &validators.tag);
    if let Some(modified) = &validators.modified {
        set(&mut headers, LAST_MODIFIED, modified);
    }
    let cache = match shown.cache {
        Cache::Forever => format!("public, max-age={FOREVER_SECONDS}, immutable"),
        Cache::Seconds(0) => "no-cache".to_owned(),
        Cache::Seconds(seconds) => format!("public, max-age={seconds}"),
    };
    set(&mut headers, CACHE_CONTROL, &cache);
    if let Some(coding) = shown.coding {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.as_str()));
    }
    if is_text_like(shown.kind) {
        add_vary(&mut headers);
    }
    headers
}

/// Everything here is ASCII of our own, or a path that was one before.
fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
