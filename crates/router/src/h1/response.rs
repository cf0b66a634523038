//! What a response's head means: framing, and whether the connection goes on. Pure.

use super::{
    fields::Kind,
    framing::{BodyLength, Framing, Options},
    head::{Head, StatusLine, Version},
    malformed::Malformed,
};
use crate::config::{MAX_FIELDS, MAX_HEAD_BYTES};

/// With a longer cookie, the client's next request would be refused for its head.
const MAX_COOKIE_BYTES: usize = MAX_HEAD_BYTES / 2;

/// What of the request decides how a response is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Head,
    Other,
}

/// A response that is understood, and in one way only.
#[derive(Debug)]
pub(crate) struct Response<'b> {
    pub(crate) status: u16,
    pub(crate) reason: &'b str,
    pub(crate) version: Version,
    pub(crate) body: BodyLength,
    /// What `Content-Length` says where there is no body: with `HEAD` and 304.
    pub(crate) told_length: Option<u64>,
    pub(crate) options: Options,
    /// The protocol that a 101 changes to.
    pub(crate) upgrade: Option<&'b [u8]>,
    pub(crate) has_date: bool,
    /// What each field of the head is.
    pub(crate) kinds: [Kind; MAX_FIELDS],
}

impl<'b> Response<'b> {
    pub(crate) fn read(
        head: &Head<'_, 'b, StatusLine<'b>>,
        asked: Asked,
    ) -> Result<Self, Malformed> {
        let StatusLine {
            version,
            status,
            reason,
        } = head.line;
        if status < 100 {
            return Err(Malformed::Line);
        }
        let mut kinds = [Kind::Plain; MAX_FIELDS];
        let (mut framing, mut options) = (Framing::default(), Options::default());
        let (mut upgrade, mut has_date) = (None, false);
        for (field, kind) in head.fields.iter().zip(&mut kinds) {
            *kind = Kind::of(field.name);
            match *kind {
                Kind::ContentLength => framing.see_length(field.value)?,
                Kind::TransferEncoding => framing.see_coding(field.value, version)?,
                Kind::Connection => options.see(field.value)?,
                Kind::Upgrade => upgrade = Some(field.value),
                Kind::Date => has_date = true,
                _ if field.value.len() > MAX_COOKIE_BYTES && is_cookie(field.name) => {
                    return Err(Malformed::Cookie);
                }
                _ => {}
            }
        }
        let framing = framing.check()?;
        let is_bare = matches!(status, 100..=199 | 204);
        let has_none = is_bare || status == 304 || asked == Asked::Head;
        let body = match framing.length {
            _ if has_none => BodyLength::None,
            _ if framing.is_chunked => BodyLength::Chunked,
            Some(0) => BodyLength::None,
            Some(bytes) => BodyLength::Bytes(bytes),
            None => BodyLength::UntilClose,
        };
        Ok(Self {
            status,
            reason,
            version,
            body,
            told_length: framing.length.filter(|_| !is_bare),
            options,
            upgrade,
            has_date,
            kinds,
        })
    }

    /// Whether it is only a word before the response proper.
    pub(crate) fn is_interim(&self) -> bool {
        matches!(self.status, 100 | 102..=199)
    }

    /// Whether the dyno takes another request behind this response.
    pub(crate) fn keeps(&self) -> bool {
        self.options.keeps(self.version) && self.body != BodyLength::UntilClose
    }
}

fn is_cookie(name: &str) -> bool {
    name.eq_ignore_ascii_case("set-cookie")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h1::head;

    fn check(text: &str, asked: Asked) -> Result<(BodyLength, Option<u64>, bool), Malformed> {
        let text = format!("{}\r\n\r\n", text.replace('\n', "\r\n"));
        let mut slots = head::slots();
        let head = head::response(text.as_bytes(), &mut slots)?.unwrap();
        Response::read(&head, asked).map(|at| (at.body, at.told_length, at.keeps()))
    }

    #[test]
    fn bodies() {
        let (none, chunked) = (BodyLength::None, BodyLength::Chunked);
        let close = BodyLength::UntilClose;
        for (text, expected) in [
            (
                "HTTP/1.1 200 OK\nContent-Length: 5",
                Ok((BodyLength::Bytes(5), Some(5), true)),
            ),
            (
                "HTTP/1.1 200 OK\nContent-Length: 0",
                Ok((none, Some(0), true)),
            ),
            (
                "HTTP/1.1 200 OK\nTransfer-Encoding: chunked",
                Ok((chunked, None, true)),
            ),
            ("HTTP/1.1 200 OK", Ok((close, None, false))),
            (
                "HTTP/1.0 200 OK\nContent-Length: 5",
                Ok((BodyLength::Bytes(5), Some(5), false)),
            ),
            (
                "HTTP/1.0 200 OK\nContent-Length: 5\nConnection: keep-alive",
                Ok((BodyLength::Bytes(5), Some(5), true)),
            ),
            (
                "HTTP/1.1 200 OK\nContent-Length: 5\nConnection: close",
                Ok((BodyLength::Bytes(5), Some(5), false)),
            ),
            ("HTTP/1.1 204 No\nContent-Length: 5", Ok((none, None, true))),
            (
                "HTTP/1.1 304 Not\nContent-Length: 5",
                Ok((none, Some(5), true)),
            ),
            ("HTTP/1.1 103 Hints\nLink: x", Ok((none, None, true))),
            (
                "HTTP/1.1 200 OK\nContent-Length: 5\nTransfer-Encoding: chunked",
                Err(Malformed::LengthAndCoding),
            ),
            (
                "HTTP/1.1 200 OK\nTransfer-Encoding: gzip, chunked",
                Err(Malformed::Coding),
            ),
            (
                "HTTP/1.0 200 OK\nTransfer-Encoding: chunked",
                Err(Malformed::Coding),
            ),
            (
                "HTTP/1.1 200 OK\nContent-Length: 5\nContent-Length: 5",
                Err(Malformed::LengthTwice),
            ),
            ("HTTP/1.1 200 OK\nContent-Length: x", Err(Malformed::Length)),
            ("HTTP/1.1 099 X", Err(Malformed::Line)),
        ] {
            assert_eq!(check(text, Asked::Other), expected, "{text}");
        }
        let text = "HTTP/1.1 200 OK\nContent-Length: 5";
        assert_eq!(check(text, Asked::Head), Ok((none, Some(5), true)));
    }
}
