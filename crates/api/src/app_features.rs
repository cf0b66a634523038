//! App feature: something an app may switch on. `/apps/{app}/features`.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{clock::Time, rfc3339};

/// A feature as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppFeature {
    /// When it was introduced.
    #[serde(with = "rfc3339")]
    pub created_at: Time,
    /// What it does.
    pub description: String,
    /// Where more is said.
    pub doc_url: String,
    /// Whether it is on for the app.
    pub enabled: bool,
    /// The feature's id.
    pub id: Uuid,
    /// The feature's name: `preboot`.
    pub name: String,
    /// `general`, or something earlier.
    pub state: String,
    /// When it was last switched.
    #[serde(with = "rfc3339")]
    pub updated_at: Time,
    /// The name for people.
    pub display_name: String,
    /// Where to say what one thinks of it.
    pub feedback_email: String,
}

/// `PATCH /apps/{app}/features/{feature}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppFeatureUpdate {
    /// On or off.
    pub enabled: bool,
}
