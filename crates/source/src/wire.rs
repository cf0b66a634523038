//! What git's hook and this process say to each other: lines of JSON over a unix socket.

use serde::{Deserialize, Serialize};

/// Names the unix socket, in the hook's environment.
pub(crate) const SOCKET_VARIABLE: &str = "LANDFALL_HOOK_SOCKET";
/// Holds the push's secret id, in the hook's environment.
pub(crate) const PUSH_VARIABLE: &str = "LANDFALL_PUSH";
/// Longest message; a push of ten thousand references is far below it.
pub(crate) const MAX_MESSAGE_BYTES: u64 = 8 * 1024 * 1024;

/// The hook's only message.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Hello {
    /// The push's id.
    pub(crate) push: String,
    /// git's `GIT_OBJECT_DIRECTORY`: where the pushed objects wait.
    pub(crate) objects: Option<String>,
    /// git's `GIT_ALTERNATE_OBJECT_DIRECTORIES`: where the others are.
    pub(crate) alternates: Option<String>,
    /// The references to be moved.
    pub(crate) updates: Vec<Update>,
}

/// One reference to be moved; an object id of zeros is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Update {
    pub(crate) old: String,
    pub(crate) new: String,
    pub(crate) name: String,
}

/// What the hook is told to do.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reply {
    /// Show this line to whoever pushes.
    Line(String),
    /// End with this status: 0 moves the references.
    Exit(u8),
}
