//! The platform on a simulated engine: real store, real logs, a router that records its tables.
//!
//! Read [`world::World`] first; a story makes one, does things to it and says what must come true.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where"
)]

mod builds;
mod certificates;
mod deletion;
mod dynos;
mod health;
mod inside;
mod life_cycle;
mod pebble;
mod releases;
mod restarts;
mod router;
mod runs;
mod simulation;
mod sleep;
mod sources;
mod world;
