//! What is kept of a build: steps, versions, layers and where the time went.
//! `/apps/{app}/builds/{build}/record`; Landfall's own.

use serde::{Deserialize, Serialize};

use crate::{
    builds::{BuildCause, BuildStatus},
    clock::Time,
    ids::BuildId,
    references::UserReference,
    rfc3339,
};

/// Phases in the order in which a deploy passes them.
pub const PHASES: [&str; 9] = [
    "receive", "checkout", "queue", "unpack", "plan", "steps", "finish", "boot", "switch",
];

/// A build's record as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildRecord {
    /// The build's id.
    pub id: BuildId,
    /// Counts an app's builds from 1.
    pub number: u64,
    /// What it was asked for by.
    pub cause: BuildCause,
    /// The number of the build whose source it builds again.
    pub rebuild_of: Option<u64>,
    /// Who asked for it.
    pub user: UserReference,
    /// The commit, or another name for the source.
    pub version: Option<String>,
    /// The stack it ran on.
    pub stack: String,
    /// How it stands.
    pub status: BuildStatus,
    /// Why it failed.
    pub failure_message: Option<String>,
    /// When it was asked for.
    #[serde(with = "rfc3339")]
    pub created_at: Time,
    /// Whether its source is still kept, so that it can be built again.
    pub is_replayable: bool,
    /// The rest; nothing while the build has not come far enough, and of builds that were cut off.
    #[serde(flatten)]
    pub course: BuildCourse,
}

/// How a build went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildCourse {
    /// The buildpacks that were used, in their order.
    #[serde(default)]
    pub buildpacks: Vec<String>,
    /// Where the time went, in the order of [`PHASES`].
    #[serde(default)]
    pub phases: Vec<Phase>,
    /// The versions that were chosen.
    #[serde(default)]
    pub versions: Vec<ChosenVersion>,
    /// The plan's steps as they were done.
    #[serde(default)]
    pub steps: Vec<BuildStep>,
    /// The slug's layers, lowest first.
    #[serde(default)]
    pub layers: Vec<BuildLayer>,
}

/// A part of the way from a push to a live release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    /// One of [`PHASES`].
    pub name: String,
    /// How long it took, in microseconds.
    pub duration_us: u64,
}

/// A version of a language or tool that the build chose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChosenVersion {
    /// What it is a version of: `Python`.
    pub name: String,
    /// `3.13.5`.
    pub version: String,
    /// What decided, as the build said it: `specified in .python-version`. May be empty.
    pub reason: String,
}

/// A step of the build plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildStep {
    /// Its name, unique within the build.
    pub name: String,
    /// What became of it.
    pub outcome: StepOutcome,
    /// Why no earlier result was used, a reason each; empty if one was.
    pub because: Vec<String>,
    /// How long it took, in microseconds.
    pub duration_us: u64,
    /// What its result comes to, in bytes.
    pub size_bytes: Option<u64>,
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepOutcome {
    /// An earlier result was used.
    Cached,
    /// It ran and succeeded.
    Ran,
    /// It ran and failed.
    Failed,
    /// The build ended before it did.
    Stopped,
}

/// A layer of a slug.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildLayer {
    /// Its key in the layer store.
    pub key: String,
    /// What its files come to.
    pub size_bytes: u64,
    /// Whether this build made it.
    pub is_new: bool,
}
