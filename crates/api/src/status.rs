//! The status page as JSON: `GET /status.json` at the platform's status host, answered by the
//! router itself, server or not.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{clock::Time, rfc3339, status_notes::Severity};

/// Everything that the status page shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The worst of what is below.
    pub state: Standing,
    /// The same in words, the most important first; at least one.
    pub summary: Vec<String>,
    /// When the router last looked.
    #[serde(with = "rfc3339")]
    pub observed_at: Time,
    /// The router, the control plane, then the apps that want to be here, by name.
    pub components: Vec<Component>,
    /// What the operator says, the newest first.
    pub notes: Vec<Note>,
    /// What the router saw go wrong, the newest first.
    pub incidents: Vec<Incident>,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It works.
    Operational,
    /// An app that sleeps for want of requests; the next one wakes it.
    Asleep,
    /// Somebody works on it, as planned.
    Maintenance,
    /// Nobody watched, or there is nothing to watch.
    Unknown,
    /// Some of it does not work.
    Degraded,
    /// It does not say anything, so nobody knows.
    NoWord,
    /// It does not work.
    Down,
}

impl Standing {
    /// All of them, the best first.
    pub const ALL: [Self; 7] = [
        Self::Operational,
        Self::Asleep,
        Self::Maintenance,
        Self::Unknown,
        Self::Degraded,
        Self::NoWord,
        Self::Down,
    ];

    /// Whether something is wrong.
    pub fn is_trouble(self) -> bool {
        matches!(self, Self::Degraded | Self::NoWord | Self::Down)
    }

    /// As it is written in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Operational => "operational",
            Self::Asleep => "asleep",
            Self::Maintenance => "maintenance",
            Self::Unknown => "unknown",
            Self::Degraded => "degraded",
            Self::NoWord => "no_word",
            Self::Down => "down",
        }
    }
}

impl fmt::Display for Standing {
    /// For people: `no word`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoWord => "no word",
            other => other.as_str(),
        })
    }
}

impl From<Severity> for Standing {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Info => Self::Operational,
            Severity::Maintenance => Self::Maintenance,
            Severity::Degraded => Self::Degraded,
            Severity::Down => Self::Down,
        }
    }
}

/// What a component is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ComponentKind {
    /// The router that answers.
    Router,
    /// The server: deploys, scaling, the API.
    ControlPlane,
    /// An app.
    App,
}

/// Something that is watched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Component {
    /// What it is.
    pub kind: ComponentKind,
    /// An app's name, or words.
    pub name: String,
    /// How it is.
    pub state: Standing,
    /// The same in words.
    pub detail: String,
    /// Since when it is so, as far as this is known.
    #[serde(with = "rfc3339")]
    pub since: Time,
    /// How it was: one day after the other in UTC, today last.
    pub days: Vec<Day>,
}

/// A day of a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Day {
    /// `2026-02-19`
    pub date: String,
    /// The worst that lasted; unknown if nobody watched.
    pub state: Standing,
    /// Whether nobody watched for a part of the day.
    pub has_gap: bool,
    /// For how long it was how; what is missing to the whole day, nobody watched.
    pub seconds: Seconds,
}

/// For how long a component was how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Seconds {
    /// [`Standing::Operational`]
    #[serde(skip_serializing_if = "is_none")]
    pub operational: u32,
    /// [`Standing::Asleep`]
    #[serde(skip_serializing_if = "is_none")]
    pub asleep: u32,
    /// [`Standing::Maintenance`]
    #[serde(skip_serializing_if = "is_none")]
    pub maintenance: u32,
    /// [`Standing::Unknown`], as far as the day is over.
    #[serde(skip_serializing_if = "is_none")]
    pub unknown: u32,
    /// [`Standing::Degraded`]
    #[serde(skip_serializing_if = "is_none")]
    pub degraded: u32,
    /// [`Standing::NoWord`]
    #[serde(skip_serializing_if = "is_none")]
    pub no_word: u32,
    /// [`Standing::Down`]
    #[serde(skip_serializing_if = "is_none")]
    pub down: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_none(seconds: &u32) -> bool {
    *seconds == 0
}

/// What went wrong, as the router saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// The same as long as it is told of.
    pub id: String,
    /// The name of the component.
    pub component: String,
    /// The worst that it came to.
    pub state: Standing,
    /// What was seen then.
    pub what: String,
    /// When it began.
    #[serde(with = "rfc3339")]
    pub began_at: Time,
    /// When it ended; `null` while it goes on, or has only just stopped.
    #[serde(with = "rfc3339::option")]
    pub ended_at: Option<Time>,
}

/// What the operator says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Plain text.
    pub text: String,
    /// How bad it is.
    pub severity: Severity,
    /// The name of the app that it is about; `null` is the whole platform.
    pub app: Option<String>,
    /// When it was written.
    #[serde(with = "rfc3339")]
    pub created_at: Time,
    /// When it was last changed.
    #[serde(with = "rfc3339")]
    pub updated_at: Time,
    /// When it leaves the page by itself.
    #[serde(with = "rfc3339::option")]
    pub until: Option<Time>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_standing_is_written_as_it_says() {
        for standing in Standing::ALL {
            let json = serde_json::to_value(standing).unwrap();
            assert_eq!(json, standing.as_str());
        }
        assert!(Standing::ALL.is_sorted());
    }
}
