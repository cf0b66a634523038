//! Dyno size: what a dyno may use, by name. `GET /dyno-sizes`.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::references::NameReference;

/// A dyno size as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DynoSize {
    /// Of the processor: `amd64`.
    pub architecture: String,
    /// About how many processors' worth of time it is sure of when all are busy, at least 1.
    pub compute: u32,
    /// Its price; none here.
    pub cost: Option<Cost>,
    /// Whether such a dyno shares no machine at Heroku.
    pub dedicated: bool,
    /// The generation of the platform.
    pub generation: NameReference,
    /// The size's id.
    pub id: Uuid,
    /// Memory quota in GiB.
    pub memory: f64,
    /// The size's name.
    pub name: String,
    /// Units of consumption; none are counted here.
    pub precise_dyno_units: f64,
    /// Whether it is to be had in private spaces alone.
    pub private_space_only: bool,
    /// What the published shape has no words for.
    pub limits: SizeLimits,
}

/// A price.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// In cents.
    pub cents: u64,
    /// Per which time.
    pub unit: String,
}

/// What a dyno of a size may use, beyond [`DynoSize::memory`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SizeLimits {
    /// Memory quota in bytes; a dyno that uses twice as much is ended.
    pub memory_bytes: u64,
    /// Relative share of processor time; 100 is a `standard-1x`.
    pub cpu_weight: u16,
    /// Most processor time, in hundredths of a core.
    pub cpu_percent: Option<u32>,
    /// Most processes and threads.
    pub pids: u32,
    /// Most open files of one process.
    pub open_files: u64,
    /// Most bytes on disk.
    pub disk_bytes: Option<u64>,
    /// Log lines a second that are kept.
    pub log_lines_per_second: u32,
    /// Whether its apps sleep when nobody asks for them, unless told otherwise.
    pub sleeps: bool,
}
