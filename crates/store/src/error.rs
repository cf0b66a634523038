//! What can go wrong in the store, and which row it went wrong on.

use thiserror::Error;

/// Shorthand for results of this room.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Why the store did not do as asked. Nothing was changed, unless the variant says otherwise.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no such row.
    #[error("there is no {resource} {key}")]
    NotFound {
        /// Heroku's word for the row: `app`, `release`, …
        resource: &'static str,
        /// What was looked for.
        key: String,
    },
    /// Another row already holds this name, address or place.
    #[error("{resource} {key} is already taken")]
    Conflict {
        /// Heroku's word for the row.
        resource: &'static str,
        /// What is taken.
        key: String,
    },
    /// The row has moved on since the caller looked: it is finished already, or superseded.
    #[error("{resource} {key} is already finished or superseded")]
    Stale {
        /// Heroku's word for the row.
        resource: &'static str,
        /// Which row.
        key: String,
    },
    /// The database was made under another root key.
    #[error(
        "the root key does not open this database; hint: restore the key file it was made with"
    )]
    WrongRootKey,
    /// A sealed value does not open: it was altered or moved between rows.
    #[error("the sealed {purpose} of app {app} does not open")]
    Unsealable {
        /// What the value is for.
        purpose: String,
        /// Whose data key was used.
        app: String,
    },
    /// A stored value is not what this version writes.
    #[error("{resource} has an unreadable value in column {column}")]
    Unreadable {
        /// Heroku's word for the row.
        resource: &'static str,
        /// The column.
        column: &'static str,
    },
    /// A value does not fit the database.
    #[error("{what} is too large to store")]
    TooLarge {
        /// Which value.
        what: &'static str,
    },
    /// The URL names no database this store knows.
    #[error("the database URL is not supported; hint: use sqlite:///path or postgres://…")]
    UnsupportedUrl,
    /// A newer Landfall has written this database.
    #[error(
        "the database has schema version {found}, this Landfall knows up to {known}; hint: upgrade Landfall"
    )]
    NewerSchema {
        /// The version in the database.
        found: i64,
        /// The newest version known here.
        known: i64,
    },
    /// A migration that was already run reads differently now.
    #[error(
        "schema version {version} was made by a different migration than this Landfall carries"
    )]
    ChangedMigration {
        /// Its number.
        version: i64,
    },
    /// The program is ending; whether the change happened is unknown.
    #[error("the store is shutting down")]
    ShuttingDown,
    /// The database refused or could not be reached.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

impl StoreError {
    /// Whether a row was missing.
    pub const fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    pub(crate) fn not_found(resource: &'static str, key: &impl ToString) -> Self {
        Self::NotFound {
            resource,
            key: key.to_string(),
        }
    }

    pub(crate) fn stale(resource: &'static str, key: &impl ToString) -> Self {
        Self::Stale {
            resource,
            key: key.to_string(),
        }
    }

    /// Turns a violated unique constraint into a [`StoreError::Conflict`].
    pub(crate) fn or_conflict(self, resource: &'static str, key: &impl ToString) -> Self {
        match &self {
            Self::Database(sqlx::Error::Database(error)) if error.is_unique_violation() => {
                Self::Conflict {
                    resource,
                    key: key.to_string(),
                }
            }
            _ => self,
        }
    }
}
