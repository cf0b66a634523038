//! Log session: a secret URL to read an app's log from. `POST /apps/{app}/log-sessions`.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{clock::Time, rfc3339};

/// A log session as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSession {
    /// When it was made.
    #[serde(with = "rfc3339")]
    pub created_at: Time,
    /// The session's id.
    pub id: Uuid,
    /// Where to read; needs no token.
    pub logplex_url: String,
    /// When it last changed.
    #[serde(with = "rfc3339")]
    pub updated_at: Time,
}

/// `POST /apps/{app}/log-sessions`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewLogSession {
    /// Only lines of this dyno or process type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dyno: Option<String>,
    /// The same under the schema's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dyno_name: Option<String>,
    /// Only lines of this process type.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub process_type: Option<String>,
    /// How many past lines to begin with; 100 if left out, at most 1500.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<u32>,
    /// Only lines of this source: `app` or `heroku`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Whether to go on with new lines as they come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<bool>,
}
