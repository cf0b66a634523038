//! Why an image could not be written.

use std::{
    io,
    path::{Path, PathBuf},
};

use api::names::StackName;
use thiserror::Error;

/// An image's end without an image.
#[derive(Debug, Error)]
pub enum ImageError {
    /// The image's lowest layer is missing.
    #[error(
        "the stack {0} is not on this machine as a root filesystem (hint: run `landfall stacks:build` as root)"
    )]
    NoStack(StackName),
    /// A layer of the slug is gone.
    #[error("the layer {0} of this slug is no longer kept")]
    NoLayer(String),
    /// A file that OCI would take for the mark of a removed one.
    #[error(
        "the file {} cannot be part of an image, where names that begin with `.wh.` mark removed files",
        .0.display()
    )]
    ReservedName(PathBuf),
    /// Content that is not what its digest says.
    #[error("the content has the digest {found}, not {expected}")]
    Digest {
        /// What was said.
        expected: super::Digest,
        /// What it is.
        found: super::Digest,
    },
    /// The thread that writes images ended early.
    #[error("writing the image broke off")]
    BrokeOff,
    /// A document could not be written as JSON.
    #[error("could not write a document of the image")]
    Document(#[from] serde_json::Error),
    /// A file of ours could not be read or written.
    #[error("could not {step} {}", path.display())]
    File {
        /// What was being done.
        step: &'static str,
        /// To which file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

impl ImageError {
    /// Wraps what the system answered.
    pub(crate) fn file<'a>(
        step: &'static str,
        path: &'a Path,
    ) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::File {
            step,
            path: path.to_owned(),
            source,
        }
    }
}
