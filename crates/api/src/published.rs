//! The published hyper-schema of the Platform API: which shapes clients expect.
//!
//! Word for word the file that Heroku publishes at `https://api.heroku.com/schema`, as it stands in
//! the `platform-api` Ruby gem (MIT licence) in its change of 2026-02-19. What of it holds here,
//! and what does not, is in `docs/compatibility.md`.

/// The hyper-schema, as JSON.
pub const HYPER_SCHEMA: &str = include_str!("../published/heroku-platform-api.schema.json");
