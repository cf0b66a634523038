//! Requests to dynos: its own process, its own last known routes.
//!
//! It must not know why a route is as it is: they come from the server ([`wire`]), and the
//! router serves by the last one for ever. Read [`wire::RouteTable`] first, then [`run()`]; the
//! server's end of the feed is [`Feed`].
#![warn(clippy::indexing_slicing, clippy::string_slice)]

mod access;
mod admission;
mod buffers;
mod certificates;
mod codes;
mod compression;
mod config;
mod control;
mod dates;
mod edge;
mod error;
mod exchange;
pub mod feed;
mod files;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod grpc;
mod h1;
mod handover;
mod lane;
mod listen;
mod metrics;
mod number;
mod pages;
mod place;
mod pool;
mod proxy;
mod run;
mod saved;
mod serve;
mod status;
mod subject;
mod surplus;
mod table;
mod timers;
mod tls;
mod traces;
mod wake;
mod watch;
pub mod wire;

pub use crate::{
    codes::code_names,
    config::{RouterConfig, StatusConfig, Timeouts},
    edge::{edge_password_hash, is_header, is_header_value},
    error::RouterError,
    feed::Feed,
    handover::Sockets,
    run::{Router, Stop, run},
    traces::Traces,
};
