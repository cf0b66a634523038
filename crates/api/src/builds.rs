//! Build: a source made into a slug. `/apps/{app}/builds`.

use serde::{Deserialize, Serialize};

use crate::{
    build_records::Phase,
    buildpack_installations::Buildpack,
    clock::Time,
    ids::{AppId, BuildId},
    references::{ReleaseReference, SlugReference, UserReference},
    rfc3339,
};

/// A build as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// The app built.
    pub app: BuildApp,
    /// The buildpacks used; `null` until they are known.
    pub buildpacks: Option<Vec<Buildpack>>,
    /// When it was asked for.
    #[serde(with = "rfc3339")]
    pub created_at: Time,
    /// Which runtime it is for: always `cedar`.
    #[serde(default)]
    pub generation: String,
    /// The build's id.
    pub id: BuildId,
    /// Counts the app's builds from 1. Landfall's own.
    #[serde(default)]
    pub number: u64,
    /// What it was asked for by. Landfall's own.
    #[serde(default)]
    pub cause: Option<BuildCause>,
    /// Secret URL of the build's output, complete or growing.
    pub output_stream_url: String,
    /// What was built.
    pub source_blob: SourceBlob,
    /// The release that the build led to.
    pub release: Option<ReleaseReference>,
    /// The slug it made.
    pub slug: Option<SlugReference>,
    /// The stack it ran on.
    pub stack: String,
    /// How it stands.
    pub status: BuildStatus,
    /// When it last changed.
    #[serde(with = "rfc3339")]
    pub updated_at: Time,
    /// Who asked for it.
    pub user: UserReference,
}

/// The app of a [`Build`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildApp {
    /// The app's id.
    pub id: AppId,
}

/// Where a build's source is and what it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceBlob {
    /// `SHA256:` and the archive's hash, to be compared before the build.
    #[serde(default)]
    pub checksum: Option<String>,
    /// Where to get the archive (tar, gzip or zstd compressed or not): one of `POST /sources`.
    pub url: String,
    /// The commit or another name for this version.
    #[serde(default)]
    pub version: Option<String>,
    /// What the version is about.
    #[serde(default)]
    pub version_description: Option<String>,
}

/// What a build was asked for by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BuildCause {
    /// A `git push`.
    Push,
    /// An archive that was uploaded.
    Archive,
    /// A webhook of a code host.
    Webhook,
    /// A git URL that somebody named.
    Url,
    /// Somebody who wants an earlier build again.
    Rebuild,
}

/// How a build stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BuildStatus {
    /// It waits or runs.
    Pending,
    /// It made a slug.
    Succeeded,
    /// It did not.
    Failed,
}

/// `POST /apps/{app}/builds`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewBuild {
    /// Buildpacks for this build alone; the app's, if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buildpacks: Option<Vec<Buildpack>>,
    /// What to build.
    pub source_blob: SourceBlob,
    /// What it is asked for by; an uploaded archive, if left out. Landfall's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<BuildCause>,
    /// How long `receive` and `checkout` took, if the client has measured that. Landfall's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<Phase>,
}
