//! Why a message is refused. What is ambiguous is refused, so that router, client and dyno can
//! never read one message in two ways.

use thiserror::Error;

/// What is wrong with a head or a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Malformed {
    /// The request line or the status line.
    #[error("the first line is malformed")]
    Line,
    /// Not HTTP/1.0 nor HTTP/1.1.
    #[error("the version is neither HTTP/1.0 nor HTTP/1.1")]
    Version,
    /// Neither a path nor a URL, or one with bytes that no URL has.
    #[error("the request's target is malformed")]
    Target,
    /// The request line alone is too long.
    #[error("the request's target is too long")]
    TargetTooLong,
    /// `CONNECT` is for forward proxies.
    #[error("this is no forward proxy")]
    Connect,
    /// A name, a colon or a value; also a folded line.
    #[error("a header is malformed")]
    Field,
    /// LF without CR, or CR without LF.
    #[error("a line ends in something else than CR LF")]
    LineEnd,
    /// A response's first line.
    #[error("the status line is too long")]
    StatusTooLong,
    /// The whole head.
    #[error("the head is too long")]
    HeadTooLong,
    /// More headers than anybody needs.
    #[error("there are too many headers")]
    TooManyFields,
    /// None, several, not a host, or another one than in the target.
    #[error("the request must name exactly one host, and a valid one")]
    Host,
    /// `Content-Length` that is no number.
    #[error("the length of the body is malformed")]
    Length,
    /// `Content-Length` that is there twice.
    #[error("the length of the body is told twice")]
    LengthTwice,
    /// A response's cookie that could not come back in a request.
    #[error("a cookie is too long")]
    Cookie,
    /// `Transfer-Encoding` that is not exactly `chunked`, or in HTTP/1.0.
    #[error("the coding of the body is not chunked")]
    Coding,
    /// Both of them.
    #[error("the body has both a length and a coding")]
    LengthAndCoding,
    /// Router and dyno might see its end in different places.
    #[error("a request to change the protocol has a body")]
    UpgradeWithBody,
    /// The framing of a chunk.
    #[error("a chunk is malformed")]
    Chunk,
}

impl Malformed {
    /// What of a response is not malformed but risky or too large, in Heroku's words for H25.
    pub(crate) fn restriction(self) -> Option<&'static str> {
        match self {
            Self::LengthTwice => Some("invalid content length"),
            Self::Cookie => Some("oversized cookie"),
            Self::HeadTooLong | Self::TooManyFields => Some("oversized header"),
            Self::StatusTooLong => Some("oversized status line"),
            _ => None,
        }
    }
}
