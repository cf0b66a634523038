//! HTTP/1.1 of our own: HTTP/1.x clients to HTTP/1.1 dynos.
//!
//! Pure: [`head`] reads lines, [`request`] and [`response`] say what they mean, [`chunked`]
//! decodes, [`render`] and [`reply`] write heads, [`malformed`] says why a message is refused.
//! With I/O: [`connection`] is a client's connection, [`carry`] one request, [`talk`] its talk with
//! a dyno, [`pump`] one body, [`tunnel`] what comes after a 101; [`bridge`] has a request answered
//! by [`crate::proxy`]. It must not know how connections
//! are accepted, nor which dyno a request is for: that is [`crate::place`].

mod bridge;
mod carry;
mod chunked;
mod connection;
mod fields;
mod framing;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod head;
mod incoming;
mod malformed;
mod pipe;
mod pump;
mod render;
mod reply;
mod request;
mod response;
mod stream;
mod talk;
mod target;
mod tunnel;

pub(crate) use self::{
    connection::{Http2Client, serve},
    pipe::Outlet,
    stream::{ClientStream, Dyno},
};
