//! A real router in this process, on free ports, in front of real listening dynos.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod certificates;
mod codes;
mod compression;
mod control;
mod edge;
mod entries;
mod failures;
mod forwarding;
mod h2c;
mod http1;
mod https;
mod metrics;
mod repeating;
mod sleep;
mod static_files;
mod status;
mod strictness;
mod support;
mod switching;
mod takeover;
mod traces;
mod upgrades;
