//! What is said between the rooms and with the outside: ids, names, resources, errors.
//!
//! It must not know how anything is stored, built, run or routed. Read [`ids`] first, then the
//! resource file you need: each is named after its Heroku resource, the same in every layer.
//! Shapes follow the published Platform API schema, version 3.
#![warn(missing_docs)]

pub mod accounts;
pub mod app_features;
pub mod app_transfers;
pub mod apps;
pub mod authorizations;
pub mod build_records;
pub mod build_settings;
pub mod buildpack_installations;
pub mod builds;
#[cfg(feature = "client")]
pub mod client;
pub mod clock;
pub mod collaborators;
pub mod config_vars;
pub mod delinquency;
pub mod disk_use;
pub mod domains;
pub mod dyno_sizes;
pub mod dynos;
pub mod edge;
pub mod error;
pub mod formations;
pub mod generations;
pub mod health_checks;
pub mod ids;
pub mod images;
pub mod keys;
pub mod log_drains;
pub mod log_sessions;
pub mod names;
mod null;
pub mod oauth_clients;
pub mod oauth_tokens;
pub mod paths;
pub mod pipeline_couplings;
pub mod pipeline_promotions;
pub mod pipelines;
pub mod published;
pub mod range;
pub mod rate_limits;
pub mod references;
pub mod regions;
pub mod releases;
pub mod rfc3339;
pub mod sleep;
pub mod slugs;
pub mod sni_endpoints;
pub mod source_hooks;
pub mod source_repositories;
pub mod sources;
pub mod stacks;
pub mod status;
pub mod status_notes;
pub mod team_apps;
pub mod team_invitations;
pub mod team_members;
pub mod teams;
pub mod tls;
