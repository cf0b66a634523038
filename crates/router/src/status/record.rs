//! What the status page's history is made of, as it is kept on disk and in memory.

use api::{clock::Time, ids::AppId, status::Standing};
use serde::{Deserialize, Serialize};

use super::days::Cell;

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Subject {
    Router,
    ControlPlane,
    App(AppId),
}

/// An incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) subject: Subject,
    pub(super) began: Time,
    pub(super) ended: Option<Time>,
    pub(super) worst: Standing,
    pub(super) what: String,
}

/// Something to be kept. A later one takes the place of an earlier one of the same day or incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Record {
    /// The day's number since 1970.
    Day(Subject, i64, Cell),
    Incident(Kept),
    /// When the server was last heard of.
    Word(Time),
}

impl Kept {
    /// Whether both tell of the same incident.
    pub(super) fn is(&self, subject: Subject, began: Time) -> bool {
        self.subject == subject && self.began == began
    }
}
