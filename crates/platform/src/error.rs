//! What the platform refuses, and why; `server/src/http/error.rs` turns these into answers.

use thiserror::Error;

/// The platform's errors. The text is for the person who asked.
#[derive(Debug, Error)]
pub enum Error {
    /// There is no such thing, or the caller may not know of it.
    #[error("Couldn't find that {}.", resource.replace('_', " "))]
    NotFound {
        /// The resource in the Platform API's words: `app`, `release`, `dyno`.
        resource: &'static str,
        /// What was asked for.
        name: String,
    },
    /// The request makes no sense as it is.
    #[error("{message}")]
    Invalid {
        /// What is wrong and what to do.
        message: String,
    },
    /// No valid credentials.
    #[error("Invalid credentials provided.")]
    Unauthorized,
    /// Valid credentials that do not allow this.
    #[error("You do not have access to {what}.")]
    Forbidden {
        /// What was asked for.
        what: String,
    },
    /// Something of that name exists, or the state does not allow this now.
    #[error("{message}")]
    Conflict {
        /// What stands in the way.
        message: String,
    },
    /// Cannot be done right now, through no fault of the caller.
    #[error("{message}")]
    Unavailable {
        /// What is missing.
        message: String,
    },
    /// The database failed.
    #[error("the database failed")]
    Store(#[source] store::StoreError),
    /// The engine failed.
    #[error("the engine failed")]
    Engine(#[from] engine::EngineError),
    /// The build failed; its output says more.
    #[error(transparent)]
    Build(#[from] builder::BuildError),
    /// The logs could not be read or written.
    #[error("the logs failed")]
    Logs(#[from] logs::LogError),
    /// A file of ours could not be read or written.
    #[error("could not {step} {path}")]
    File {
        /// "read", "write", "create".
        step: &'static str,
        /// Which file.
        path: std::path::PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
}

/// What platform functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl From<builder::fetch::address::AddressError> for Error {
    fn from(error: builder::fetch::address::AddressError) -> Self {
        Self::Invalid {
            message: error.to_string(),
        }
    }
}

impl From<store::StoreError> for Error {
    fn from(error: store::StoreError) -> Self {
        match error {
            store::StoreError::NotFound { resource, key } => Self::NotFound {
                resource,
                name: key,
            },
            store::StoreError::Conflict {
                resource: "app", ..
            } => Self::Invalid {
                message: "Name is already taken".to_owned(),
            },
            store::StoreError::Conflict { resource, key } => Self::Conflict {
                message: format!("There is a {resource} called {key} already."),
            },
            other => Self::Store(other),
        }
    }
}
