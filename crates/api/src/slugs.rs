//! Slug: a built app, ready to run. `/apps/{app}/slugs`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{clock::Time, ids::SlugId, references::NameReference, rfc3339};

/// A slug as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slug {
    /// Where its archive is.
    pub blob: SlugBlob,
    /// Its language: `Python`.
    pub buildpack_provided_description: Option<String>,
    /// `SHA256:` and the hash of its contents.
    pub checksum: Option<String>,
    /// The commit it was built from.
    pub commit: Option<String>,
    /// What the commit is about.
    pub commit_description: Option<String>,
    /// When it was made.
    #[serde(with = "rfc3339")]
    pub created_at: Time,
    /// Process type to command.
    pub process_types: BTreeMap<String, String>,
    /// The slug's id.
    pub id: SlugId,
    /// Bytes.
    pub size: Option<u64>,
    /// The stack it runs on.
    pub stack: NameReference,
    /// When it last changed.
    #[serde(with = "rfc3339")]
    pub updated_at: Time,
    /// When its contents were removed.
    #[serde(with = "rfc3339::option")]
    pub deleted_at: Option<Time>,
}

/// How to reach a slug's archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlugBlob {
    /// `PUT` when the slug was just made and waits for its archive, else `GET`.
    pub method: String,
    /// A secret URL.
    pub url: String,
}

/// `POST /apps/{app}/slugs`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewSlug {
    /// Its language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buildpack_provided_description: Option<String>,
    /// `SHA256:` and the archive's hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
    /// The commit it was built from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// What the commit is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit_description: Option<String>,
    /// Process type to command.
    pub process_types: BTreeMap<String, String>,
    /// Name or id of the stack it runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<String>,
}
