//! The harness of the end-to-end tests: a real platform, real `git`, the real `heroku` CLI.
//!
//! It must not know the rooms; it drives the `landfall` program from outside as a user would.
//! Read [`Platform`] first, then [`App`].

pub mod api;
pub mod app;
pub mod database;
pub mod host;
pub mod http;
pub mod load;
pub mod pebble;
pub mod platform;
pub mod rng;
pub mod shell;
pub mod wait;

pub use crate::{
    app::App,
    host::Host,
    load::{Failure, Load},
    platform::Platform,
    rng::Rng,
    shell::Output,
    wait::until,
};
