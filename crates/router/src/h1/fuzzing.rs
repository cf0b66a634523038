//! What [`crate::fuzzing`] does.

use super::{
    chunked::{Decoder, Step},
    framing::BodyLength,
    head::{self, Version},
    malformed::Malformed,
    render::{self, Ours, Terms},
    request::Request,
    response::{Asked, Response},
};
use crate::fuzzing::{Body, Decoded, Taken};

pub(crate) fn request(bytes: &[u8]) -> Result<Option<Taken>, String> {
    let mut slots = head::slots();
    let Some(head) = head::request(bytes, &mut slots).map_err(shown)? else {
        return Ok(None);
    };
    let request = Request::read(&head).map_err(shown)?;
    let ours = Ours {
        client: b"192.0.2.1",
        port: b"80",
        identity: None,
        protocol: "http",
        request_id: "00000000-0000-0000-0000-000000000000",
        start_ms: 1,
    };
    let mut written = Vec::new();
    render::to_dyno(&request, head.fields, &ours, &mut written);
    Ok(Some(Taken {
        bytes: head.bytes,
        host: request.host.to_ascii_lowercase(),
        written,
        body: body(request.body),
    }))
}

pub(crate) fn response(bytes: &[u8], is_head: bool) -> Result<Option<Taken>, String> {
    let mut slots = head::slots();
    let Some(head) = head::response(bytes, &mut slots).map_err(shown)? else {
        return Ok(None);
    };
    let asked = if is_head { Asked::Head } else { Asked::Other };
    let response = Response::read(&head, asked).map_err(shown)?;
    let terms = Terms {
        version: Version::Http11,
        body: render::reply_length(&response, Version::Http11),
        keeps: true,
        takes_trailers: true,
        date: b"Thu, 01 Jan 1970 00:00:00 GMT",
        hsts: None,
        changes: None,
        cookie: None,
    };
    let mut written = Vec::new();
    render::to_client(&response, head.fields, &terms, &mut written);
    Ok(Some(Taken {
        bytes: head.bytes,
        host: String::new(),
        written,
        body: body(response.body),
    }))
}

pub(crate) fn chunked(bytes: &[u8], piece: usize) -> Result<Option<Decoded>, String> {
    let mut decoder = Decoder::new();
    let (mut at, mut end) = (0, piece.max(1).min(bytes.len()));
    let mut data = Vec::new();
    loop {
        let (consumed, step) = decoder
            .step(bytes.get(at..end).unwrap_or_default())
            .map_err(shown)?;
        at += consumed;
        match step {
            Step::Data(count) => {
                data.extend_from_slice(bytes.get(at..at + count).unwrap_or_default());
                at += count;
                decoder.took(count);
            }
            Step::End => {
                return Ok(Some(Decoded {
                    content: data,
                    trailers: decoder.trailers().map_err(shown)?,
                    bytes: at,
                }));
            }
            Step::More if end == bytes.len() => return Ok(None),
            Step::More => end = (end + piece.max(1)).min(bytes.len()),
        }
    }
}

fn shown(malformed: Malformed) -> String {
    malformed.to_string()
}

fn body(length: BodyLength) -> Body {
    match length {
        BodyLength::None => Body::None,
        BodyLength::Bytes(bytes) => Body::Bytes(bytes),
        BodyLength::Chunked => Body::Chunked,
        BodyLength::UntilClose => Body::UntilClose,
    }
}
