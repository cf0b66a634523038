//! Release: a numbered pair of slug and config vars. `/apps/{app}/releases`.

use serde::{Deserialize, Serialize};

use crate::{
    clock::Time,
    ids::{ReleaseId, SlugId},
    references::{AppReference, SlugReference, UserReference},
    rfc3339,
};

/// A release as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Plans of the add-ons attached when it was made.
    pub addon_plan_names: Vec<String>,
    /// What it runs: the slug.
    pub artifacts: Vec<Artifact>,
    /// Whose release it is.
    pub app: AppReference,
    /// When it was made.
    #[serde(with = "rfc3339")]
    pub created_at: Time,
    /// What it changed: `Deploy 3f2a1b9c`, `Set FOO config vars`.
    pub description: String,
    /// The release's id.
    pub id: ReleaseId,
    /// When it last changed.
    #[serde(with = "rfc3339")]
    pub updated_at: Time,
    /// The slug it runs; `null` before the first deploy.
    pub slug: Option<SlugReference>,
    /// How it stands.
    pub status: ReleaseStatus,
    /// Who made it.
    pub user: UserReference,
    /// Counts from 1 within the app.
    pub version: u64,
    /// Whether it is the one that runs.
    pub current: bool,
    /// Secret URL of the release phase's output; `null` without a release phase.
    pub output_stream_url: Option<String>,
    /// Whether `rollback` to it is possible.
    pub eligible_for_rollback: bool,
}

/// Something a release runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// `slug` or `oci-image`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its id.
    pub id: SlugId,
}

/// How a release stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseStatus {
    /// Its release phase or its dynos' boot is under way.
    Pending,
    /// It went live.
    Succeeded,
    /// It did not; the one before serves on.
    Failed,
    /// It can no longer run.
    Expired,
}

/// `POST /apps/{app}/releases`: either a slug (deploy) or a release (rollback).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewRelease {
    /// The slug to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slug: Option<String>,
    /// The release to roll back to, by id or version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseIdentity>,
    /// What it changes; made up if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// A release by id or version; clients send either, the version as a number or text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ReleaseIdentity {
    /// A version.
    Version(u64),
    /// An id or version as text.
    Text(String),
}
