//! Whole builds: on an engine played by the test, and on the real one.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod hostile;
mod images;
mod imports;
mod java_profile;
mod journal;
mod machine;
mod plans;
mod plans_languages;
mod plans_mirror;
mod played;
mod real;
mod real_classic;
mod real_cnb;
mod real_images;
mod real_limits;
mod shape;
mod static_server;
mod workbench;
