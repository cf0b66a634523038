//! Health checks: how the platform sees whether the dynos of a process type do well.
//! `/apps/{app}/formation/{type}/health-checks`.
//!
//! Heroku has no such resource; the form follows its style.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The checks of one process type; absent ones are not made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthChecks {
    /// Must pass once before a dyno counts as up. Its attempts times its interval are how long
    /// that may take. Without it a web dyno is up when it answers, any other at once.
    #[serde(default)]
    pub startup: Option<HealthCheck>,
    /// While it fails, a web dyno gets no requests, unless none of its siblings is any better.
    #[serde(default)]
    pub readiness: Option<HealthCheck>,
    /// When it has failed as many times in a row as it may, the dyno is restarted.
    #[serde(default)]
    pub liveness: Option<HealthCheck>,
}

impl HealthChecks {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthCheck {
    /// What is done.
    #[serde(rename = "type")]
    pub kind: CheckKind,
    /// Of http checks: what to ask for; `/` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Of http checks: the only status that passes; any from 200 to 399 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Of http checks: more headers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Of http and tcp checks: the port; `$PORT` if left out, which web dynos alone have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Of command checks: program and arguments, run inside the dyno; status 0 passes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Seconds from one attempt to the next; 2 if left out for startup checks, 10 for others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval_seconds: Option<u32>,
    /// Seconds that one attempt may take; 5 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u32>,
    /// Failures in a row that count as failed; 30 if left out for startup checks, 3 for others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
}

/// What a check does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckKind {
    /// One request.
    Http,
    /// One connection.
    Tcp,
    /// A command inside the dyno.
    Command,
}

/// The checks in force, and where they come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormationHealthChecks {
    /// The checks.
    #[serde(flatten)]
    pub checks: HealthChecks,
    /// Who said so.
    pub source: ChecksSource,
}

/// Where health checks come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChecksSource {
    /// Set through the API, which goes before the app's own file.
    Api,
    /// `healthchecks` of the app's `app.json`.
    AppJson,
    /// Nobody set any.
    None,
}
