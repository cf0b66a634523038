//! Source: a place to upload an archive for a build to. `POST /sources`.

use serde::{Deserialize, Serialize};

/// A source as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Its two secret URLs.
    pub source_blob: SourceUrls,
}

/// Where to put an archive and where a build gets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceUrls {
    /// For a build's `source_blob.url`.
    pub get_url: String,
    /// For one `PUT` of the archive.
    pub put_url: String,
}
