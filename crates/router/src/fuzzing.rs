//! The HTTP/1.1 parser for fuzz targets: bytes in, what the router would make of them out.
//!
//! No interface for anybody else; only with the feature `fuzzing`.

use crate::h1::fuzzing as inner;

/// How a body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// There is none.
    None,
    /// By its length.
    Bytes(u64),
    /// By chunks.
    Chunked,
    /// By the end of the connection.
    UntilClose,
}

/// A head that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Of how many bytes it is.
    pub bytes: usize,
    /// The key of its route, lower case; empty for responses.
    pub host: String,
    /// What is written for the other side.
    pub written: Vec<u8>,
    /// How its body is read.
    pub body: Body,
}

/// A chunked body that came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// What it carries.
    pub content: Vec<u8>,
    /// The trailers that are passed on, as lines.
    pub trailers: Vec<u8>,
    /// Of how many bytes it is with its framing.
    pub bytes: usize,
}

/// A request's head: `Ok(None)` if it is unfinished, else why it is refused.
pub fn request(bytes: &[u8]) -> Result<Option<Taken>, String> {
    inner::request(bytes)
}

/// The same for a dyno's response to a request that was `HEAD` or not.
pub fn response(bytes: &[u8], is_head: bool) -> Result<Option<Taken>, String> {
    inner::response(bytes, is_head)
}

/// A chunked body that comes in pieces of so many bytes; `Ok(None)` if it is unfinished.
pub fn chunked(bytes: &[u8], piece: usize) -> Result<Option<Decoded>, String> {
    inner::chunked(bytes, piece)
}
