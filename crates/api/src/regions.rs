//! Region: where apps run; a platform has one. `GET /regions`.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{clock::Time, rfc3339};

/// A region as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    /// Where it is.
    pub country: String,
    /// When it was introduced.
    #[serde(with = "rfc3339")]
    pub created_at: Time,
    /// What it is.
    pub description: String,
    /// The region's id.
    pub id: Uuid,
    /// Where it is, closer.
    pub locale: String,
    /// The region's name.
    pub name: String,
    /// Whether it has private spaces.
    pub private_capable: bool,
    /// Who runs the machines.
    pub provider: Provider,
    /// When it last changed.
    #[serde(with = "rfc3339")]
    pub updated_at: Time,
}

/// Who runs a region's machines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provider {
    /// The provider's name.
    pub name: String,
    /// The provider's name for the region.
    pub region: String,
}
