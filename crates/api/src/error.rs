//! How the API says that it refuses: `{"id": "not_found", "message": "Couldn't find that app."}`.

use serde::{Deserialize, Serialize};

/// The body of every answer with a status of 400 and above.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// A word that programs act on: `not_found`, `invalid_params`, `unauthorized`.
    #[serde(default)]
    pub id: String,
    /// A sentence for the person who asked.
    pub message: String,
    /// The kind of thing that was not found: `app`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// Where more is said.
    #[serde(default)]
    pub url: Option<String>,
}
