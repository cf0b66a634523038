//! Requests to dynos: its own process, its own last known routes.
//!
//! It must not know why a route is as it is: tables come whole from the server ([`wire`]), and the
//! router serves by the last one for ever. Read [`wire::RouteTable`] first; the server's end of
//! the feed is [`Feed`].
#![warn(clippy::indexing_slicing, clippy::string_slice)]

pub mod feed;
pub mod wire;

pub use feed::Feed;
