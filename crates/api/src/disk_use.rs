//! What is taken of the disk by whom, and when it will be full: what `landfall disk` shows. The server
//! writes it beside its data, now and then.

use serde::{Deserialize, Serialize};

use crate::{clock::Time, names::AppName};

/// The file's name, in the data directory.
pub const FILE: &str = "disk.json";

/// The disk as the server last saw it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskUse {
    /// When that was, in microseconds since 1970.
    pub at: Option<Time>,
    /// Bytes that could still be written.
    pub free_bytes: u64,
    /// Bytes that builds leave free.
    pub reserve_bytes: u64,
    /// Seconds until only those are left, if it goes on so; nothing when room does not shrink.
    pub full_in_seconds: Option<u64>,
    /// Of each app, the largest first.
    pub apps: Vec<AppDisk>,
    /// When it was looked, and what was free: one an hour.
    pub samples: Vec<(Time, u64)>,
}

/// What an app takes of the disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppDisk {
    /// Its name.
    pub app: AppName,
    /// Layers that no other app needs.
    pub layer_bytes: u64,
    /// Its git repository.
    pub git_bytes: u64,
    /// What its builds and release phases printed.
    pub output_bytes: u64,
}

impl AppDisk {
    /// All of it.
    pub fn total_bytes(&self) -> u64 {
        self.layer_bytes
            .saturating_add(self.git_bytes)
            .saturating_add(self.output_bytes)
    }
}
