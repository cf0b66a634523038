//! Dyno: one running process of an app. `/apps/{app}/dynos`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    clock::Time,
    ids::{DynoId, EventId, ReleaseId},
    names::{DynoName, ProcessType},
    references::AppReference,
    rfc3339,
};

/// A dyno as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dyno {
    /// Where to attach: `rendezvous://HOST:PORT/SECRET`. Only in the answer that made the dyno.
    pub attach_url: Option<String>,
    /// What it runs.
    pub command: String,
    /// When it was started.
    #[serde(with = "rfc3339")]
    pub created_at: Time,
    /// The dyno's id.
    pub id: DynoId,
    /// Its name within the app.
    pub name: DynoName,
    /// The release it runs.
    pub release: DynoRelease,
    /// Whose dyno it is.
    pub app: AppReference,
    /// Its size by name: `Standard-1X`.
    pub size: String,
    /// How it stands.
    pub state: DynoState,
    /// The process type.
    #[serde(rename = "type")]
    pub process_type: ProcessType,
    /// When it last changed state.
    #[serde(with = "rfc3339")]
    pub updated_at: Time,
    /// What is wrong with it, if something is: `R14` while it is over its memory quota, else what
    /// the platform ended it for: `R10`, `R15`, `R99`, `disk_quota_exceeded`. Not in Heroku's API.
    #[serde(default)]
    pub error: Option<String>,
    /// What it used when last looked at, while it runs. Not in Heroku's API.
    #[serde(default)]
    pub usage: Option<DynoUsage>,
}

/// What a [`Dyno`] uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DynoUsage {
    /// When this was read.
    #[serde(with = "rfc3339")]
    pub at: Time,
    /// Memory in use.
    pub memory_bytes: u64,
    /// Above this it gets R14, at twice as much it is ended with R15.
    pub memory_quota_bytes: u64,
    /// Written below `/app` and on-disk `/tmp`.
    pub disk_bytes: u64,
    /// Above this it is ended, if there is a limit.
    pub disk_quota_bytes: Option<u64>,
}

/// Something that happened to a dyno: `GET /apps/{app}/dynos/{dyno}/events`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DynoEvent {
    /// The event's id.
    pub id: EventId,
    /// When.
    #[serde(with = "rfc3339")]
    pub created_at: Time,
    /// What: `dyno.start` when it was put on record, `dyno.started` with `micros` and `phases` of
    /// its start, `dyno.update` for a new state, `dyno.restart` for a crash that only its keeper
    /// saw, `dyno.quota_exceeded` and `dyno.quota_regained`, `dyno.stop`.
    pub kind: String,
    /// Because of what.
    pub cause: String,
    /// More, by kind.
    pub details: serde_json::Value,
}

/// The release of a [`Dyno`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DynoRelease {
    /// The release's id.
    pub id: ReleaseId,
    /// Its version.
    pub version: u64,
}

/// How a dyno stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DynoState {
    /// It boots.
    Starting,
    /// It runs.
    Up,
    /// It sleeps.
    Idle,
    /// It ended by itself and waits to be started again.
    Crashed,
    /// It was stopped.
    Down,
}

/// `POST /apps/{app}/dynos`: a one-off dyno.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewDyno {
    /// What to run, through a shell; the name of a process type stands for its command.
    pub command: String,
    /// Whether a client will attach to it; its output goes to the log otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attach: Option<bool>,
    /// More environment for this dyno alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<BTreeMap<String, serde_json::Value>>,
    /// Whether to connect plain pipes instead of a terminal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force_no_tty: Option<bool>,
    /// Its size by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// Its process type; `run` if left out.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub process_type: Option<String>,
    /// Seconds after which it is stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_to_live: Option<u64>,
}

/// `POST /apps/{app}/dynos/{dyno}`: a command inside a running dyno.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewInside {
    /// What to run, through a shell.
    pub command: String,
    /// Laid over the dyno's environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<BTreeMap<String, serde_json::Value>>,
    /// Whether to connect plain pipes instead of a terminal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force_no_tty: Option<bool>,
    /// Whether the pipes carry any bytes, and the input ends with the client's half of the
    /// connection. Landfall's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binary: Option<bool>,
    /// Whether the output ends with the line that `heroku run --exit-code` looks for. Landfall's
    /// own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<bool>,
}

/// `POST /apps/{app}/dynos/{dyno}/copies`: a file or directory, as a tar archive over the
/// `attach_url`. Landfall's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewCopy {
    /// Inside the dyno; a relative path starts at `/app`.
    pub path: String,
    /// To copy into the dyno: the name of what is copied. The archive's one entry is called `copy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// `POST /apps/{app}/dynos/{dyno}/forwards`: a port, for connections to the `attach_url`.
/// Landfall's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewForward {
    /// What a process of the dyno listens on.
    pub port: u16,
}
