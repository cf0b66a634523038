//! What can go wrong on this machine while git is served. What the API refuses is an
//! [`api::client::ClientError`].

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitStatus,
};

use thiserror::Error;

/// Why git could not be served.
#[derive(Debug, Error)]
pub enum SourceError {
    /// A file or directory.
    #[error("cannot {action} {}", path.display())]
    Disk {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// git could not be started or spoken to.
    #[error("cannot run git {command}")]
    GitStart {
        /// Which git command.
        command: &'static str,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// git ended with an error.
    #[error("git {command} failed ({status}): {stderr}")]
    Git {
        /// Which git command.
        command: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// The start of what it said about it.
        stderr: String,
    },
}

/// Adds what was tried on which path to an I/O error.
pub(crate) trait DiskContext<T> {
    fn on(self, action: &'static str, path: &Path) -> Result<T, SourceError>;
}

impl<T> DiskContext<T> for io::Result<T> {
    fn on(self, action: &'static str, path: &Path) -> Result<T, SourceError> {
        self.map_err(|source| SourceError::Disk {
            action,
            path: path.to_owned(),
            source,
        })
    }
}
