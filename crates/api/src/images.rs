//! Image: a slug as an OCI image, written when somebody asks for it.
//! `/apps/{app}/images/{slug}`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::SlugId;

/// An image as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// What it is made of.
    pub slug: ImageSlug,
    /// How it stands.
    pub state: ImageState,
    /// How its layers are compressed.
    pub compression: Compression,
    /// Its name by content, `sha256:…`; of an image that is ready.
    pub digest: Option<String>,
    /// What all of it comes to in bytes, compressed; of an image that is ready.
    pub size: Option<u64>,
    /// Why it could not be written; of an image that has failed.
    pub failure: Option<String>,
}

/// Which slug.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageSlug {
    /// The slug's id.
    pub id: SlugId,
    /// The commit it was built from.
    pub commit: Option<String>,
}

/// How an image stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageState {
    /// Nobody has asked for it.
    Absent,
    /// It is being written.
    Writing,
    /// It can be had.
    Ready,
    /// It could not be written; asking again tries again.
    Failed,
}

/// How an image's layers are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// Read by everything that loads images.
    #[default]
    Gzip,
    /// Smaller, and written faster.
    Zstd,
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}

/// What may be asked for in the query of each path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageWish {
    /// How its layers shall be compressed.
    #[serde(default)]
    pub compression: Compression,
}
