//! What the kernel lets a keeper do, as tried by `landfall-shim try DIRECTORY…`: one [`Trials`] as
//! JSON on standard output.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

/// The argument that asks for trials.
pub const ARGUMENT: &str = "try";

/// What was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trials {
    /// A user namespace with ids mapped.
    pub user_namespace: Trial,
    /// An overlay in a mount namespace.
    pub overlay: Trial,
    /// A new `/proc` in a process namespace.
    pub proc: Trial,
    /// Directories shown under other owners.
    pub id_mapped: BTreeMap<PathBuf, Trial>,
}

/// How a trial went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trial {
    /// It works.
    Works,
    /// The kernel said no.
    Refused {
        /// Its error number.
        errno: i32,
    },
    /// Something before it was refused, or only root may.
    Untried,
}
