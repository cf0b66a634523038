//! The local engine: dynos as confined processes on this machine.

pub mod network;
pub mod slot;
pub mod stacks;
