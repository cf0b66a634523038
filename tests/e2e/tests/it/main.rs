//! End-to-end tests: each file tells one story with real clients.

mod alone;
mod buildpacks;
mod builds;
mod cli;
mod deploy;
mod domains;
mod doors;
mod edge;
mod failures;
mod files;
mod inside;
mod languages;
mod mend;
mod sleep;
mod story;
mod survival;
mod traffic;
