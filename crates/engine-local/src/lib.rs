//! The local engine: dynos as confined processes on this machine.
//!
//! A dyno is a process in namespaces of its own, started and kept by its own `landfall-shim`, so
//! that it outlives the server. This room must not know about apps' releases, formations or
//! routes. Read [`LocalEngine`] first; then [`slot`] (which host resources are ours),
//! [`cgroup`], [`network`], [`stacks`], and the `shim` crate for what runs beside each dyno.

mod adopt;
pub mod alone;
pub mod cgroup;
mod control;
mod disk;
mod dyno;
mod engine;
mod fixtures;
mod handed_in;
mod heap;
mod inside;
mod mend;
mod nest;
pub mod network;
mod probe;
mod ready;
mod request;
mod seccomp;
mod shim_program;
mod sleep;
pub mod slot;
mod sockets;
pub mod stacks;
mod start;
pub mod trials;
mod usage;

pub use crate::{
    engine::{LocalEngine, LocalEngineConfig},
    handed_in::is_handed_in,
    heap::give_back_memory,
    seccomp::oci as oci_seccomp,
    usage::{Charge, Charged},
};

/// The user and group id that files of layers, captures and writable binds have on disk; inside a
/// dyno they belong to its own user. Above every range that dynos use, below those that systemd
/// and old programs take for negative.
pub const LAYER_OWNER: u32 = 2_147_000_000;

/// Whom files of layers belong to here: [`LAYER_OWNER`], or the user in single-tenant mode.
pub fn layer_owner() -> u32 {
    if alone::is_alone() {
        rustix::process::geteuid().as_raw()
    } else {
        LAYER_OWNER
    }
}
