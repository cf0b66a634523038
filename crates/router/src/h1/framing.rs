//! Where a body ends, by its head's fields. Pure; one rule for both directions.

use httparse::Header;

use super::{
    fields::{Kind, members},
    head::Version,
    malformed::Malformed,
};

/// Longer lists are sent by nobody honest, and every header is compared with every member.
const MAX_OPTIONS: usize = 32;

/// How a body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyLength {
    None,
    Bytes(u64),
    Chunked,
    /// A response's only: it ends with the connection.
    UntilClose,
}

/// What the fields say about the body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Framing {
    pub(crate) length: Option<u64>,
    pub(crate) is_chunked: bool,
}

/// What `Connection` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) close: bool,
    pub(crate) keep_alive: bool,
    pub(crate) upgrade: bool,
    /// How many further headers it names, which are for this connection only.
    others: usize,
}

impl Framing {
    /// Takes note of a `Content-Length`: exactly one, digits alone.
    pub(crate) fn see_length(&mut self, value: &[u8]) -> Result<(), Malformed> {
        let is_number = (1..=18).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
        if !is_number {
            return Err(Malformed::Length);
        }
        if self.length.is_some() {
            return Err(Malformed::LengthTwice);
        }
        let length = value
            .iter()
            .fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
        self.length = Some(length);
        Ok(())
    }

    /// Takes note of a `Transfer-Encoding`: exactly one, exactly `chunked`.
    pub(crate) fn see_coding(&mut self, value: &[u8], version: Version) -> Result<(), Malformed> {
        let is_chunked = value.eq_ignore_ascii_case(b"chunked");
        if !is_chunked || self.is_chunked || version == Version::Http10 {
            return Err(Malformed::Coding);
        }
        self.is_chunked = true;
        Ok(())
    }

    /// The two of them exclude each other.
    pub(crate) fn check(self) -> Result<Self, Malformed> {
        if self.is_chunked && self.length.is_some() {
            return Err(Malformed::LengthAndCoding);
        }
        Ok(self)
    }
}

impl Options {
    /// Takes note of a `Connection`.
    pub(crate) fn see(&mut self, value: &[u8]) -> Result<(), Malformed> {
        for option in members(value) {
            if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                self.upgrade = true;
            } else {
                self.others += 1;
            }
        }
        if self.others > MAX_OPTIONS {
            return Err(Malformed::TooManyFields);
        }
        Ok(())
    }

    /// Whether it names headers beside the options.
    pub(crate) fn names_others(self) -> bool {
        self.others > 0
    }

    /// Whether the connection goes on after this message.
    pub(crate) fn keeps(self, version: Version) -> bool {
        !self.close && (version == Version::Http11 || self.keep_alive)
    }
}

/// Whether a `Connection` among the fields claims the header of this name for its hop.
pub(crate) fn is_claimed(fields: &[Header<'_>], name: &str) -> bool {
    fields
        .iter()
        .filter(|field| Kind::of(field.name) == Kind::Connection)
        .flat_map(|field| members(field.value))
        .any(|option| option.eq_ignore_ascii_case(name.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        for (values, expected) in [
            (&["5"][..], Ok(Some(5))),
            (&["0"], Ok(Some(0))),
            (&["005"], Ok(Some(5))),
            (&["999999999999999999"], Ok(Some(999_999_999_999_999_999))),
            (&["9999999999999999999"], Err(Malformed::Length)),
            (&[""], Err(Malformed::Length)),
            (&["+1"], Err(Malformed::Length)),
            (&["-1"], Err(Malformed::Length)),
            (&["1 1"], Err(Malformed::Length)),
            (&["0x1"], Err(Malformed::Length)),
            (&["1, 1"], Err(Malformed::Length)),
            (&["1", "1"], Err(Malformed::LengthTwice)),
            (&["1", "2"], Err(Malformed::LengthTwice)),
        ] {
            let mut framing = Framing::default();
            let seen = values
                .iter()
                .try_for_each(|value| framing.see_length(value.as_bytes()));
            assert_eq!(seen.map(|()| framing.length), expected, "{values:?}");
        }
    }

    #[test]
    fn codings() {
        for (values, version, expected) in [
            (&["chunked"][..], Version::Http11, Ok(())),
            (&["Chunked"], Version::Http11, Ok(())),
            (&["chunked"], Version::Http10, Err(Malformed::Coding)),
            (
                &["chunked", "chunked"],
                Version::Http11,
                Err(Malformed::Coding),
            ),
            (
                &["chunked, chunked"],
                Version::Http11,
                Err(Malformed::Coding),
            ),
            (&["gzip, chunked"], Version::Http11, Err(Malformed::Coding)),
            (&["identity"], Version::Http11, Err(Malformed::Coding)),
            (&["xchunked"], Version::Http11, Err(Malformed::Coding)),
            (&["\u{b}chunked"], Version::Http11, Err(Malformed::Coding)),
            (&["\"chunked\""], Version::Http11, Err(Malformed::Coding)),
            (&["chunked;a=b"], Version::Http11, Err(Malformed::Coding)),
            (&[""], Version::Http11, Err(Malformed::Coding)),
        ] {
            let mut framing = Framing::default();
            let seen = values
                .iter()
                .try_for_each(|value| framing.see_coding(value.as_bytes(), version));
            assert_eq!(seen, expected, "{values:?}");
        }
    }

    #[test]
    fn options() {
        for (value, keeps_10, keeps_11, names_others) in [
            ("", false, true, false),
            ("close", false, false, false),
            ("Keep-Alive", true, true, false),
            ("keep-alive, close", false, false, false),
            ("upgrade", false, true, false),
            ("x-secret , close", false, false, true),
        ] {
            let mut options = Options::default();
            options.see(value.as_bytes()).unwrap();
            assert_eq!(options.keeps(Version::Http10), keeps_10, "{value}");
            assert_eq!(options.keeps(Version::Http11), keeps_11, "{value}");
            assert_eq!(options.names_others(), names_others, "{value}");
        }
        let many = "a,".repeat(MAX_OPTIONS + 1);
        assert!(Options::default().see(many.as_bytes()).is_err());
    }
}
