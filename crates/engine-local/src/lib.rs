//! The local engine: dynos as confined processes on this machine.

pub mod stacks;
