//! Answers of the router's own: error pages, redirects, challenges. Pure.

use http::StatusCode;

use super::{
    framing::BodyLength,
    head::Version,
    render::{write_connection, write_field, write_framing, write_status},
    response::Asked,
};
use crate::pages::{Accept, Page};

/// What every answer needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner<'a> {
    pub(crate) version: Version,
    pub(crate) keeps: bool,
    pub(crate) asked: Asked,
    pub(crate) date: &'a [u8],
    /// `Strict-Transport-Security`
    pub(crate) hsts: Option<&'a [u8]>,
}

/// One of our pages.
pub(crate) fn page(
    page: Page,
    accept: Accept,
    request_id: Option<&str>,
    manner: &Manner<'_>,
    out: &mut Vec<u8>,
) {
    page_or(page, None, (accept, request_id), manner, out);
}

/// One of our pages, or the app's own in its place.
pub(crate) fn page_or(
    page: Page,
    url: Option<&str>,
    (accept, request_id): (Accept, Option<&str>),
    manner: &Manner<'_>,
    out: &mut Vec<u8>,
) {
    let (kind, text) = page.render_or(url, accept, request_id);
    let fields = [
        ("content-type", kind),
        ("cache-control", "no-cache, no-store"),
        ("vary", "accept"),
    ];
    answer(page.status(), &fields, text.as_bytes(), manner, out);
}

/// Any answer.
pub(crate) fn answer(
    status: StatusCode,
    fields: &[(&str, &str)],
    text: &[u8],
    manner: &Manner<'_>,
    out: &mut Vec<u8>,
) {
    let reason = match status.as_u16() {
        499 => "Client Closed Request",
        _ => status.canonical_reason().unwrap_or_default(),
    };
    write_status(status.as_u16(), reason, out);
    for (name, value) in fields {
        write_field(name, value.as_bytes(), out);
    }
    if let Some(hsts) = manner.hsts {
        write_field("strict-transport-security", hsts, out);
    }
    write_field("date", manner.date, out);
    write_connection(manner.version, manner.keeps, out);
    // Its length would be that of what the client has (RFC 9110 §15.4.5).
    if status != StatusCode::NOT_MODIFIED {
        write_framing(BodyLength::Bytes(text.len() as u64), out);
    }
    out.extend_from_slice(b"\r\n");
    if manner.asked != Asked::Head {
        out.extend_from_slice(text);
    }
}
