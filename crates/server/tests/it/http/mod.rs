//! The Platform API as clients see it: a real platform on an in-memory store and a simulated
//! engine, asked over HTTP without a network.

mod apps;
mod authorizations;
mod client;
mod conformance;
mod dynos;
mod edge;
mod edge_settings;
mod harness;
mod inside;
mod keys;
mod log_drains;
mod matrix;
mod oauth;
mod pipelines;
mod registry;
mod releases;
mod slugs;
mod sni_endpoints;
mod source_hooks;
mod sources;
mod status_notes;
mod teams;
mod two_factors;
