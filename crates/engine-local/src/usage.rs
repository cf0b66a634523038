//! What dynos use, beyond what the engine trait reports of every engine.

use std::{fs, io, path::PathBuf, sync::Arc};

use api::ids::DynoId;
use engine::EngineError;

use crate::{cgroup::Usage, engine::LocalEngine, slot::Slot};

/// What the kernel has charged to a slot's groups, whoever caused it and whether or not it could be
/// taken back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Charged {
    /// All dynos together.
    pub dynos: Charge,
    /// Their shims together.
    pub shims: Charge,
}

/// Memory that the kernel has charged, bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Charge {
    /// All of it.
    pub all_bytes: u64,
    /// Of that, the kernel's own.
    pub kernel_bytes: u64,
    /// Of that, page cache: of a file that several share, charged to whoever read it first.
    pub file_bytes: u64,
    /// Beside all of it, what lies in swap.
    pub swap_bytes: u64,
}

impl LocalEngine {
    /// The number that all its host resources carry.
    pub fn slot(&self) -> &Slot {
        &self.0.slot
    }

    /// What is charged to its groups now; zeros where memory is not counted.
    pub fn charged(&self) -> Charged {
        let cgroups = &self.0.cgroups;
        let dynos = cgroups.dynos();
        let charges = dynos.iter().map(|dyno| charge(cgroups.directories(dyno)));
        Charged {
            dynos: charges.fold(Charge::default(), Charge::plus),
            shims: charge(cgroups.shim_directories()),
        }
    }

    /// Has the kernel take back from every dyno and from the shims what it can, to measure what is
    /// left: page cache and its own caches of files and directories, and where there is swap, the
    /// rest. Dynos that run are slowed down by it.
    ///
    /// # Errors
    /// `Host` when the kernel does not do such a thing.
    pub async fn reclaim_everything(&self) -> Result<(), EngineError> {
        let inner = Arc::clone(&self.0);
        let reclaiming = tokio::task::spawn_blocking(move || {
            // What is still to be written to disk cannot be taken back.
            rustix::fs::sync();
            inner.cgroups.reclaim_everything()
        });
        let reclaimed = reclaiming.await.map_err(io::Error::from);
        reclaimed
            .and_then(|reclaimed| reclaimed)
            .map_err(|source| EngineError::Host {
                step: "reclaim memory",
                source,
            })
    }

    /// What a dyno uses now; zeros where that is unknown, as when it has ended.
    ///
    /// # Errors
    /// `UnknownDyno`.
    pub fn usage(&self, id: DynoId) -> Result<Usage, EngineError> {
        self.0.find(id)?;
        Ok(self.0.cgroups.usage(&id.to_string()))
    }

    /// Takes from a frozen dyno what memory can be taken: page cache, and where there is swap, the
    /// rest. It comes back page by page as the dyno touches it. Safe to drop; it then goes on.
    ///
    /// # Errors
    /// `UnknownDyno`, or `Host` when the kernel does not do such a thing.
    pub async fn reclaim(&self, id: DynoId) -> Result<(), EngineError> {
        self.0.find(id)?;
        let inner = Arc::clone(&self.0);
        let reclaiming =
            tokio::task::spawn_blocking(move || inner.cgroups.reclaim(&id.to_string()));
        let reclaimed = reclaiming.await.map_err(io::Error::from);
        reclaimed
            .and_then(|reclaimed| reclaimed)
            .map_err(|source| EngineError::Host {
                step: "reclaim a dyno's memory",
                source,
            })
    }
}

impl Charge {
    fn plus(self, other: Self) -> Self {
        Self {
            all_bytes: self.all_bytes + other.all_bytes,
            kernel_bytes: self.kernel_bytes + other.kernel_bytes,
            file_bytes: self.file_bytes + other.file_bytes,
            swap_bytes: self.swap_bytes + other.swap_bytes,
        }
    }
}

/// The charge of one group, from whichever of its directories counts memory.
fn charge(directories: Vec<PathBuf>) -> Charge {
    let charges = directories.into_iter().map(|directory| {
        let read = |name: &str| fs::read_to_string(directory.join(name)).unwrap_or_default();
        // Version 2, then version 1.
        let first = |names: [&str; 2]| {
            let mut numbers = names.iter().map(|name| read(name).trim().parse().ok());
            numbers.find_map(|number| number).unwrap_or(0)
        };
        let stat = read("memory.stat");
        let field = |name: &str| {
            let line = stat.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|number| number.trim().parse().ok())
        };
        let kernel = field("kernel ").unwrap_or_else(|| first(["", "memory.kmem.usage_in_bytes"]));
        Charge {
            all_bytes: first(["memory.current", "memory.usage_in_bytes"]),
            kernel_bytes: kernel,
            file_bytes: field("file ").or_else(|| field("cache ")).unwrap_or(0),
            swap_bytes: field("swap ").unwrap_or_else(|| first(["memory.swap.current", ""])),
        }
    });
    charges.fold(Charge::default(), Charge::plus)
}
