//! Generation: which kind of runtime runs an app. `/generations`. There is one.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{clock::Time, rfc3339};

/// A generation as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// Since when there is one.
    #[serde(with = "rfc3339")]
    pub created_at: Time,
    /// Its id.
    pub id: Uuid,
    /// Its name, by which clients choose how they act: `cedar`.
    pub name: String,
    /// When it last changed.
    #[serde(with = "rfc3339")]
    pub updated_at: Time,
}
