//! Chunked bodies: a decoder that takes any split of the bytes, and what an encoder writes.
//!
//! Pure. Nothing is copied but trailers; data is told as ranges of what was put in.

use httparse::{EMPTY_HEADER, Header};

use super::{fields, head, malformed::Malformed};
use crate::config::MAX_FIELDS;

/// Of all chunk extensions of one body together; they are dropped.
const MAX_EXTENSION_BYTES: usize = 4096;
/// Of all trailers together.
const MAX_TRAILER_BYTES: usize = 8192;
/// Hexadecimal digits of a size, so that it cannot overflow.
const MAX_SIZE_DIGITS: u8 = 15;

/// Where in a chunked body we are.
#[derive(Debug)]
pub(crate) struct Decoder {
    state: State,
    /// Of the size line: what it says so far. Of data: how much is to come.
    size: u64,
    digits: u8,
    extension_bytes: usize,
    /// The lines behind the last chunk, their ends included.
    trailers: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the start of a line behind the last chunk.
    Trailer,
    TrailerLine,
    TrailerLf,
    FinalLf,
    End,
}

/// What comes next in the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// More bytes are needed.
    More,
    /// So many bytes of data follow what was consumed; they count as consumed, too, once they are
    /// taken.
    Data(usize),
    /// The body is over.
    End,
}

impl Decoder {
    pub(crate) const fn new() -> Self {
        Self {
            state: State::Size,
            size: 0,
            digits: 0,
            extension_bytes: 0,
            trailers: Vec::new(),
        }
    }

    /// Reads on. Returns how many bytes of framing were consumed, and what follows them.
    pub(crate) fn step(&mut self, bytes: &[u8]) -> Result<(usize, Step), Malformed> {
        let mut consumed = 0;
        loop {
            if self.state == State::End {
                return Ok((consumed, Step::End));
            }
            let rest = bytes.get(consumed..).unwrap_or_default();
            let Some(&byte) = rest.first() else {
                return Ok((consumed, Step::More));
            };
            if self.state == State::Data {
                let size = usize::try_from(self.size).unwrap_or(usize::MAX);
                return Ok((consumed, Step::Data(size.min(rest.len()))));
            }
            self.framing(byte)?;
            consumed += 1;
        }
    }

    /// So many bytes of the data that was told were taken.
    pub(crate) fn took(&mut self, bytes: usize) {
        self.size = self.size.saturating_sub(bytes as u64);
        if self.size == 0 {
            self.state = State::DataCr;
        }
    }

    /// The trailers that may be passed on, as lines.
    pub(crate) fn trailers(&self) -> Result<Vec<u8>, Malformed> {
        let mut lines = Vec::new();
        if self.trailers.len() <= 2 {
            return Ok(lines);
        }
        let mut slots = [EMPTY_HEADER; MAX_FIELDS];
        for Header { name, value } in head::trailers(&self.trailers, &mut slots)? {
            if fields::may_trail(name) {
                lines.extend_from_slice(name.as_bytes());
                lines.extend_from_slice(b": ");
                lines.extend_from_slice(value);
                lines.extend_from_slice(b"\r\n");
            }
        }
        Ok(lines)
    }

    fn framing(&mut self, byte: u8) -> Result<(), Malformed> {
        self.state = match (self.state, byte) {
            (State::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => self.digit(byte)?,
            (State::Size, b';') if self.digits > 0 => State::Extension,
            (State::Size, b'\r') if self.digits > 0 => State::SizeLf,
            (State::Extension, b'\r') => State::SizeLf,
            (State::Extension, b'\t' | b' '..=b'~' | 0x80..) => {
                self.extension_bytes += 1;
                if self.extension_bytes > MAX_EXTENSION_BYTES {
                    return Err(Malformed::Chunk);
                }
                State::Extension
            }
            (State::SizeLf, b'\n') if self.size == 0 => State::Trailer,
            (State::SizeLf, b'\n') => State::Data,
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => {
                self.digits = 0;
                State::Size
            }
            (State::Trailer, b'\r') => self.trail(byte, State::FinalLf)?,
            (State::Trailer | State::TrailerLine, b'\t' | b' '..=b'~' | 0x80..) => {
                self.trail(byte, State::TrailerLine)?
            }
            (State::TrailerLine, b'\r') => self.trail(byte, State::TrailerLf)?,
            (State::TrailerLf, b'\n') => self.trail(byte, State::Trailer)?,
            (State::FinalLf, b'\n') => {
                self.trail(byte, State::End)?;
                // Also those that are not passed on must be well-formed.
                self.trailers()?;
                State::End
            }
            _ => return Err(Malformed::Chunk),
        };
        Ok(())
    }

    fn digit(&mut self, byte: u8) -> Result<State, Malformed> {
        if self.digits == 0 {
            self.size = 0;
        }
        self.digits += 1;
        if self.digits > MAX_SIZE_DIGITS {
            return Err(Malformed::Chunk);
        }
        let value = match byte {
            b'0'..=b'9' => byte - b'0',
            letter => (letter | 0x20) - b'a' + 10,
        };
        self.size = self.size * 16 + u64::from(value);
        Ok(State::Size)
    }

    fn trail(&mut self, byte: u8, next: State) -> Result<State, Malformed> {
        if self.trailers.len() >= MAX_TRAILER_BYTES {
            return Err(Malformed::HeadTooLong);
        }
        self.trailers.push(byte);
        Ok(next)
    }
}

/// The line before a chunk of so many bytes.
pub(crate) fn write_size(bytes: usize, out: &mut Vec<u8>) {
    let digits = (usize::BITS - bytes.leading_zeros()).div_ceil(4).max(1);
    for digit in (0..digits).rev() {
        let value = u8::try_from((bytes >> (digit * 4)) & 0xf).unwrap_or_default();
        out.push(if value < 10 {
            b'0' + value
        } else {
            b'A' + value - 10
        });
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The body in pieces of `size` bytes: its data, trailers, and what is left behind it.
    fn decode(bytes: &[u8], size: usize) -> Result<Option<(String, String, usize)>, Malformed> {
        let mut decoder = Decoder::new();
        let mut data = Vec::new();
        let mut at = 0;
        let mut end = size.min(bytes.len());
        loop {
            let (consumed, step) = decoder.step(&bytes[at..end])?;
            at += consumed;
            match step {
                Step::Data(count) => {
                    data.extend_from_slice(&bytes[at..at + count]);
                    at += count;
                    decoder.took(count);
                }
                Step::End => {
                    let text = |bytes| String::from_utf8(bytes).unwrap();
                    let trailers = decoder.trailers()?;
                    return Ok(Some((text(data), text(trailers), bytes.len() - at)));
                }
                Step::More if end == bytes.len() => return Ok(None),
                Step::More => end = (end + size).min(bytes.len()),
            }
        }
    }

    #[test]
    fn any_split_gives_the_same() {
        let long_extension = format!(
            "1;{}\r\na\r\n0\r\n\r\n",
            "x".repeat(MAX_EXTENSION_BYTES + 1)
        );
        let long_trailer = format!("0\r\nA: {}\r\n\r\n", "x".repeat(MAX_TRAILER_BYTES));
        let done = |data: &str, trailers: &str, left| {
            Ok(Some((data.to_owned(), trailers.to_owned(), left)))
        };
        for (bytes, expected) in [
            ("0\r\n\r\n", done("", "", 0)),
            ("5\r\nhello\r\n0\r\n\r\nGET", done("hello", "", 3)),
            (
                "A\r\n0123456789\r\n1\r\n!\r\n0\r\n\r\n",
                done("0123456789!", "", 0),
            ),
            (
                "a;x=y\r\n0123456789\r\n0;z\r\n\r\n",
                done("0123456789", "", 0),
            ),
            ("00005\r\nhello\r\n000\r\n\r\n", done("hello", "", 0)),
            ("0\r\nX-Sum: 1\r\n\r\n", done("", "X-Sum: 1\r\n", 0)),
            ("0\r\nHost: a\r\nb: c\r\n\r\n", done("", "b: c\r\n", 0)),
            ("5\r\nhel", Ok(None)),
            ("5\r\nhello", Ok(None)),
            ("0\r\n", Ok(None)),
            ("", Ok(None)),
            ("\r\n", Err(Malformed::Chunk)),
            (" 5\r\nhello\r\n0\r\n\r\n", Err(Malformed::Chunk)),
            ("5 \r\nhello\r\n0\r\n\r\n", Err(Malformed::Chunk)),
            ("5\nhello\r\n0\r\n\r\n", Err(Malformed::Chunk)),
            ("5\rhello\r\n0\r\n\r\n", Err(Malformed::Chunk)),
            ("5\r\nhello\n0\r\n\r\n", Err(Malformed::Chunk)),
            ("5\r\nhelloX\r\n0\r\n\r\n", Err(Malformed::Chunk)),
            ("5\r\nhello0\r\n\r\n", Err(Malformed::Chunk)),
            ("+5\r\nhello\r\n0\r\n\r\n", Err(Malformed::Chunk)),
            ("-5\r\nhello\r\n0\r\n\r\n", Err(Malformed::Chunk)),
            ("0x5\r\nhello\r\n0\r\n\r\n", Err(Malformed::Chunk)),
            ("g\r\n", Err(Malformed::Chunk)),
            (";x\r\n", Err(Malformed::Chunk)),
            ("1;\n\r\na\r\n0\r\n\r\n", Err(Malformed::Chunk)),
            ("1;a\0\r\na\r\n0\r\n\r\n", Err(Malformed::Chunk)),
            ("ffffffffffffffff\r\n", Err(Malformed::Chunk)),
            ("0000000000000000\r\n\r\n", Err(Malformed::Chunk)),
            ("0\r\n\n", Err(Malformed::Chunk)),
            ("0\r\nA: b\n\r\n", Err(Malformed::Chunk)),
            ("0\r\nA : b\r\n\r\n", Err(Malformed::Field)),
            ("0\r\n A: b\r\n\r\n", Err(Malformed::Field)),
            ("0\r\nA: b\r\n c\r\n\r\n", Err(Malformed::Field)),
            (&long_extension, Err(Malformed::Chunk)),
            (&long_trailer, Err(Malformed::HeadTooLong)),
        ] {
            for size in [1, 2, 3, 7, bytes.len().max(1)] {
                let shown = bytes.get(..40).unwrap_or(bytes);
                assert_eq!(
                    decode(bytes.as_bytes(), size),
                    expected,
                    "{shown} by {size}"
                );
            }
        }
    }

    #[test]
    fn sizes() {
        for (size, expected) in [
            (0, "0\r\n"),
            (9, "9\r\n"),
            (10, "A\r\n"),
            (255, "FF\r\n"),
            (256, "100\r\n"),
            (65_536, "10000\r\n"),
        ] {
            let mut out = Vec::new();
            write_size(size, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
