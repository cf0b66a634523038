//! The program: configuration, wiring, HTTP edge.
//!
//! It joins the rooms and decides nothing: what is asked over HTTP is in [`http`], the processes
//! and commands are in [`commands`]. Read `wiring.rs` to see who is given what.

pub mod authority;
pub mod commands;
pub mod config;
mod files;
pub mod http;
mod in_process;
pub mod keys;
pub mod listener;
mod ready;
pub mod rendezvous;
mod wiring;
