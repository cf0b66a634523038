//! Log drain: where an app's log lines are sent to. `/apps/{app}/log-drains`.

use serde::{Deserialize, Serialize};

use crate::{clock::Time, ids::LogDrainId, references::AppReference, rfc3339};

/// A drain as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogDrain {
    /// The add-on that it belongs to: none.
    pub addon: Option<AppReference>,
    /// The app whose lines it gets.
    pub app: Option<AppReference>,
    /// When it was added.
    #[serde(with = "rfc3339")]
    pub created_at: Time,
    /// The drain's id.
    pub id: LogDrainId,
    /// By which its receiver tells drains apart: `d.` and a UUID.
    pub token: String,
    /// When it last changed.
    #[serde(with = "rfc3339")]
    pub updated_at: Time,
    /// Where to: `syslog://`, `syslog+tls://`, `http://` or `https://`.
    pub url: String,
}

/// `POST /apps/{app}/log-drains`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewLogDrain {
    /// Where to.
    pub url: String,
}
