//! The harness of the end-to-end tests: a real platform, real `git`, the real `heroku` CLI.
//!
//! It must not know the rooms; it drives the `landfall` program from outside as a user would.
//! Read [`Platform`] first, then [`App`].

pub mod app;
pub mod http;
pub mod load;
pub mod platform;
pub mod shell;
pub mod wait;

pub use crate::{app::App, load::Load, platform::Platform, shell::Output, wait::until};
