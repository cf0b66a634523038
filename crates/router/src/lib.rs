//! Requests to dynos: its own process, its own last known routes.
//!
//! It must not know why a route is as it is: tables come whole from the server ([`wire`]), and the
//! router serves by the last one for ever. Read [`wire::RouteTable`] first, then [`run()`]; the
//! server's end of the feed is [`Feed`].
#![warn(clippy::indexing_slicing, clippy::string_slice)]

mod access;
mod certificates;
mod codes;
mod config;
mod control;
mod error;
pub mod feed;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
#[expect(dead_code, reason = "the parser comes before what uses it")]
mod h1;
mod lane;
mod listen;
mod pages;
mod proxy;
mod run;
mod saved;
mod serve;
mod table;
mod tls;
pub mod wire;

pub use crate::{
    config::{RouterConfig, Timeouts},
    error::RouterError,
    feed::Feed,
    run::{Router, Stop, run},
};
