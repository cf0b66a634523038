//! What the local engine and a dyno's shim say to each other, and the files they share.
//!
//! The shim outlives the server that started it, and a newer server must understand an older
//! shim: everything here carries [`VERSION`], and a field is added, never changed. This half must
//! not know how a dyno is made; it only has words. Read [`start::StartRequest`] first, then
//! [`control`] and [`spool`].

pub mod control;
pub mod files;
pub mod fixtures;
pub mod spool;
pub mod start;
pub mod trials;

/// The version of everything in this crate.
pub const VERSION: u8 = 2;
