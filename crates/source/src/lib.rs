//! Front door for `git push`: git over smart HTTP and over SSH, and a push turned into a build.
//!
//! It must not know how apps are stored, built or run: it asks the Platform API, as any client
//! does, with the token or key of whoever pushes. Read [`GitDoor`], then `http_git.rs` and `ssh.rs`
//! for the two ways in, and `push.rs` for what happens between the upload and the moving of the
//! branch. [`hook::run`] is the small program that git starts in the middle and that connects the
//! two.
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
mod refusal;
mod repository;
mod request_body;
mod ssh;
mod target;
mod turns;
mod wire;

pub use crate::{
    config::SourceConfig,
    error::SourceError,
    front::GitDoor,
    repository::remove_repository,
    ssh::{KeyTransport, SshDoor},
};
