//! The git front door with a real git on both sides and a platform made up in this process.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod fetches;
mod hook;
mod hostile;
mod platform;
mod pushes;
mod refusals;
mod site;
mod ssh;
