//! Text that comes while it is being written: as `text/plain`, or as `text/event-stream` for
//! clients that accept it. `/streams/{id}/{secret}` is what a build or release phase printed.
//!
//! An event's id is where the next read would begin, in bytes, so a client that comes back with
//! `Last-Event-ID` (or `Range: bytes=N-`) goes on where it stopped.

use std::{convert::Infallible, time::Duration};

use api::paths;
use axum::{
    body::{Body, Bytes},
    extract::State,
    response::Response,
};
use futures_util::{Stream, StreamExt, future::ready, stream};
use http::{HeaderMap, HeaderValue, header};
use platform::{Platform, Settings, authorize::Action};
use uuid::Uuid;

use super::{error::Refusal, extract::Path, route::Route};

/// A silent event stream says so this often, so that nothing in between closes it.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub(super) fn routes() -> Vec<Route> {
    vec![Route::get(
        "/streams/{id}/{secret}",
        Action::UseSecretUrl,
        read,
    )]
}

/// The secret URL of what a build or release phase prints.
pub(super) fn url(settings: &Settings, id: Uuid) -> String {
    let secret = settings.secret_for("stream", &id.to_string());
    format!("{}{}", settings.api_url, paths::stream(id, &secret))
}

async fn read(
    State(platform): State<Platform>,
    Path((id, secret)): Path<(Uuid, String)>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    if !platform
        .settings()
        .is_secret_for("stream", &id.to_string(), &secret)
    {
        return Err(Refusal::Unknown("stream"));
    }
    let offset = last_event(&headers)
        .or_else(|| first_byte(&headers))
        .unwrap_or(0);
    let chunks = platform.output(id, offset).await?;
    if !wants_events(&headers) {
        return Ok(bytes(chunks));
    }
    let lines = chunks.scan((offset, Vec::new()), |(offset, rest), chunk| {
        ready(
            chunk
                .ok()
                .map(|chunk| stream::iter(whole_lines(offset, rest, &chunk))),
        )
    });
    Ok(events(lines.flatten()))
}

/// Events for the lines that `chunk` completes; what follows the last line end stays in `rest`.
fn whole_lines(offset: &mut u64, rest: &mut Vec<u8>, chunk: &[u8]) -> Vec<String> {
    rest.extend_from_slice(chunk);
    let Some(end) = rest.iter().rposition(|byte| *byte == b'\n') else {
        return Vec::new();
    };
    let whole: Vec<u8> = rest.drain(..=end).collect();
    *offset += whole.len() as u64;
    let text = String::from_utf8_lossy(&whole);
    vec![event(*offset, text.strip_suffix('\n').unwrap_or(&text))]
}

/// One server-sent event; each line of `text` becomes a line of its data.
pub(super) fn event(id: u64, text: &str) -> String {
    let mut event = format!("id: {id}\n");
    for line in text.split('\n') {
        event.push_str("data: ");
        // A carriage return alone would end the line for the client.
        event.push_str(&line.replace('\r', ""));
        event.push('\n');
    }
    event.push('\n');
    event
}

/// Whether the client asks for `text/event-stream`.
pub(super) fn wants_events(headers: &HeaderMap) -> bool {
    let accepted = headers
        .get(header::ACCEPT)
        .and_then(|accepted| accepted.to_str().ok());
    accepted.is_some_and(|accepted| accepted.contains("text/event-stream"))
}

/// The id of the last event that a returning client has seen.
pub(super) fn last_event(headers: &HeaderMap) -> Option<u64> {
    headers
        .get("last-event-id")?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()
}

/// `Range: bytes=N-`.
fn first_byte(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(header::RANGE)?.to_str().ok()?;
    range
        .strip_prefix("bytes=")?
        .strip_suffix('-')?
        .parse()
        .ok()
}

/// An event stream with comments in its silences.
pub(super) fn events(events: impl Stream<Item = String> + Send + 'static) -> Response {
    let events = stream::unfold(Box::pin(events), |mut events| async move {
        let next = tokio::time::timeout(KEEP_ALIVE, events.next()).await;
        let text = match next {
            Ok(event) => event?,
            Err(_) => ": keep-alive\n\n".to_owned(),
        };
        Some((Ok::<_, Infallible>(Bytes::from(text)), events))
    });
    // Headers alone would wait in a buffer until the first line; a comment takes them along.
    let opening = stream::once(ready(Ok(Bytes::from_static(b": open\n\n"))));
    response(
        Body::from_stream(opening.chain(events)),
        "text/event-stream",
    )
}

/// Plain text, line by line.
pub(super) fn text(
    lines: impl Stream<Item = Result<String, Infallible>> + Send + 'static,
) -> Response {
    response(Body::from_stream(lines), "text/plain; charset=utf-8")
}

/// Bytes as they come.
pub(super) fn bytes<B>(chunks: impl Stream<Item = std::io::Result<B>> + Send + 'static) -> Response
where
    B: Into<Bytes> + 'static,
{
    response(Body::from_stream(chunks), "text/plain; charset=utf-8")
}

fn response(body: Body, kind: &'static str) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_hold_whole_lines_and_say_where_to_go_on() {
        let (mut offset, mut rest) = (10, Vec::new());
        let mut feed = |chunk: &str| whole_lines(&mut offset, &mut rest, chunk.as_bytes());
        assert_eq!(feed("-----> Py"), Vec::<String>::new());
        assert_eq!(
            feed("thon\r\n  a\n  b"),
            ["id: 29\ndata: -----> Python\ndata:   a\n\n"]
        );
        assert_eq!(feed("\n"), ["id: 33\ndata:   b\n\n"]);
    }
}
