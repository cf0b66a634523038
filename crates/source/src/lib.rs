//! Front door for `git push`: git over smart HTTP, and a push turned into a build.
//!
//! It must not know how apps are stored, built or run: it asks the Platform API, as any client
//! does, with the token of whoever pushes. Read [`routes`] for the HTTP half, then `push.rs` for
//! what happens between the upload and the moving of the branch. [`hook::run`] is the small
//! program that git starts in the middle and that connects the two.
#![warn(clippy::indexing_slicing, clippy::string_slice)]

mod archive;
mod config;
mod deploy;
mod error;
mod fetch;
mod front;
mod git;
pub mod hook;
mod http_git;
mod locks;
mod output;
mod plan;
mod push;
mod pushes;
mod receive;
mod repository;
mod request_body;
mod turns;
mod wire;

pub use crate::{
    config::SourceConfig, error::SourceError, http_git::routes, repository::remove_repository,
};
