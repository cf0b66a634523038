//! What can go wrong with log files.

use std::{
    io,
    path::{Path, PathBuf},
};

use thiserror::Error;

/// Why lines could not be kept or read.
#[derive(Debug, Error)]
pub enum LogError {
    /// The disk refused.
    #[error("cannot {action} {}", path.display())]
    Disk {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The process is shutting down.
    #[error("log work was cut off because the process is stopping")]
    Stopped,
}

/// Adds what was tried on which path to an I/O error.
pub(crate) trait DiskContext<T> {
    fn on(self, action: &'static str, path: &Path) -> Result<T, LogError>;
}

impl<T> DiskContext<T> for io::Result<T> {
    fn on(self, action: &'static str, path: &Path) -> Result<T, LogError> {
        self.map_err(|source| LogError::Disk {
            action,
            path: path.to_owned(),
            source,
        })
    }
}
