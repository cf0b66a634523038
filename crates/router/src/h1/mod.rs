//! HTTP/1.1 of our own: HTTP/1.x clients to HTTP/1.1 dynos.
//!
//! Pure below: [`head`] reads lines, [`request`] and [`response`] say what they mean, [`chunked`]
//! decodes, [`render`] writes heads, `malformed` says why a message is refused.

mod chunked;
mod fields;
mod framing;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod head;
mod malformed;
mod render;
mod request;
mod response;
mod target;
