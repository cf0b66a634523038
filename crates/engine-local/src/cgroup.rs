//! Control groups: what a dyno may use, on version 2 and on version 1 hierarchies.
//!
//! Both put a dyno into a group of its own before its first instruction. This module must not know
//! how a process gets in; it says where ([`Place`]). Read [`Cgroups`] first, then [`Hierarchy`],
//! what the versions do each in their own way, and [`describe()`], what a host offers.

mod describe;
mod mending;
mod none;
mod removal;
#[cfg(test)]
mod tests;
mod usage;
mod version_1;
mod version_2;

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use engine::{DynoKind, EngineError, Limits};
use shim::start::Place;

pub use self::{
    describe::{Ability, CgroupVersion, Controller, HostCgroups, describe},
    usage::{Pressure, Stall, Usage},
};
pub(crate) use self::{
    mending::{is_inhabited, remove_deserted},
    removal::kill,
};
use self::{removal::remove_empty, version_1::Version1, version_2::Version2};

/// Where hierarchies are mounted.
pub(crate) const MOUNT: &str = "/sys/fs/cgroup";
/// The group of the shims.
const SHIMS: &str = "shims";
/// How a build's share of processor time compares to a dyno's of the same size.
const BUILD_SHARE: u64 = 10;
/// The dyno's own first process is not the app's.
const OWN_PROCESSES: u32 = 1;
/// The time in which [`Limits::cpu_percent`] is measured out, microseconds.
const CPU_PERIOD: u64 = 100_000;

/// The groups of one slot.
#[derive(Clone, Debug)]
pub(crate) struct Cgroups(Arc<dyn Hierarchy>);

/// What the versions do each in their own way, to groups named by a leaf: a dyno's id, `shims`.
trait Hierarchy: fmt::Debug + Send + Sync {
    /// A group's directories: as many as there are hierarchies.
    fn directories(&self, leaf: &str) -> Vec<PathBuf>;

    /// Has the slot's groups hand down what limits dynos, if somebody stopped that. Returns whether
    /// somebody had.
    fn hand_down_again(&self) -> io::Result<bool> {
        Ok(false)
    }

    /// Dynos whose groups are elsewhere than beside the shims'.
    fn dynos_elsewhere(&self) -> Vec<String> {
        Vec::new()
    }

    /// What to write to limit a group.
    fn settings(&self, leaf: &str, wanted: &Wanted) -> Vec<Setting>;

    /// How a process gets in.
    fn place(&self, leaf: &str) -> Place;

    /// What a dyno sees of its own group.
    fn views(&self, leaf: &str) -> Vec<View>;

    /// What a group uses; zeros where that is unknown.
    fn usage(&self, leaf: &str) -> Usage;

    /// Gives back what memory can be given back: page cache, and the rest where there is swap.
    fn reclaim(&self, leaf: &str) -> io::Result<()>;
}

/// A directory a group has, and what to see it as inside the dyno.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) source: PathBuf,
    pub(crate) target: PathBuf,
}

/// Limits in a kernel's terms, whatever its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wanted {
    /// Heroku's quota: more is R14.
    quota_bytes: u64,
    /// Twice that: more is R15.
    most_bytes: u64,
    processes: u32,
    /// 1 to 10 000.
    weight: u64,
    /// Microseconds of processor time in each [`CPU_PERIOD`].
    cpu_micros: Option<u64>,
}

impl Wanted {
    fn new(limits: &Limits, kind: DynoKind) -> Self {
        let share = if kind == DynoKind::Build {
            BUILD_SHARE
        } else {
            1
        };
        Self {
            quota_bytes: limits.memory_bytes,
            most_bytes: limits.memory_bytes.saturating_mul(2),
            processes: limits.pids.saturating_add(OWN_PROCESSES),
            weight: (u64::from(limits.cpu_weight) / share).clamp(1, 10_000),
            cpu_micros: limits
                .cpu_percent
                .map(|percent| (u64::from(percent) * (CPU_PERIOD / 100)).max(1_000)),
        }
    }
}

/// A file of a group and what to write into it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Setting {
    path: PathBuf,
    value: String,
    /// Whether a kernel without the file will do.
    is_optional: bool,
}

impl Setting {
    fn needed(path: PathBuf, value: &dyn fmt::Display) -> Self {
        Self {
            path,
            value: value.to_string(),
            is_optional: false,
        }
    }

    fn optional(path: PathBuf, value: &dyn fmt::Display) -> Self {
        Self {
            is_optional: true,
            ..Self::needed(path, value)
        }
    }

    fn write(&self) -> io::Result<()> {
        match fs::write(&self.path, &self.value) {
            Err(_) if self.is_optional && !self.path.exists() => Ok(()),
            other => other,
        }
    }
}

impl Cgroups {
    /// Chooses the version the host has and makes the slot's groups.
    ///
    /// # Errors
    /// `Host` when the hierarchies cannot be written.
    pub(crate) fn open(mount: &Path, name: &str) -> Result<Self, EngineError> {
        Self::choose(mount, name)
            .and_then(Self::with_shims)
            .map_err(|source| EngineError::Host {
                step: "make control groups",
                source,
            })
    }

    /// None: nothing is limited.
    pub(crate) fn none() -> Self {
        Self(Arc::new(none::NoGroups))
    }

    fn choose(mount: &Path, name: &str) -> io::Result<Arc<dyn Hierarchy>> {
        Ok(if mount.join("cgroup.controllers").exists() {
            Arc::new(Version2::open(mount, &own_group(), name)?)
        } else {
            Arc::new(Version1::open(mount, name)?)
        })
    }

    fn with_shims(hierarchy: Arc<dyn Hierarchy>) -> io::Result<Self> {
        for directory in hierarchy.directories(SHIMS) {
            fs::create_dir_all(directory)?;
        }
        Ok(Self(hierarchy))
    }

    /// Makes a dyno's group with its limits.
    pub(crate) fn create(&self, dyno: &str, limits: &Limits, kind: DynoKind) -> io::Result<()> {
        for directory in self.0.directories(dyno) {
            fs::create_dir(directory)?;
        }
        let wanted = Wanted::new(limits, kind);
        self.0
            .settings(dyno, &wanted)
            .iter()
            .try_for_each(Setting::write)
    }

    /// A dyno's group in each hierarchy.
    pub(crate) fn directories(&self, dyno: &str) -> Vec<PathBuf> {
        self.0.directories(dyno)
    }

    /// The group of the shims in each hierarchy.
    pub(crate) fn shim_directories(&self) -> Vec<PathBuf> {
        self.0.directories(SHIMS)
    }

    /// The group of a dyno, for its shim.
    pub(crate) fn place(&self, dyno: &str) -> Place {
        self.0.place(dyno)
    }

    /// The group that shims live in.
    pub(crate) fn shims(&self) -> Place {
        self.place(SHIMS)
    }

    /// What a dyno sees of its own group, so that runtimes find their limits.
    pub(crate) fn views(&self, dyno: &str) -> Vec<View> {
        self.0.views(dyno)
    }

    /// Where every dyno sees that.
    pub(crate) fn view_places(&self) -> Vec<PathBuf> {
        let views = self.views(SHIMS).into_iter();
        views.map(|view| view.target).collect()
    }

    /// What a dyno uses; zeros where that is unknown.
    pub(crate) fn usage(&self, dyno: &str) -> Usage {
        self.0.usage(dyno)
    }

    /// Memory that counts against the quota, bytes; zero if unknown.
    pub(crate) fn memory_bytes(&self, dyno: &str) -> u64 {
        let usage = self.usage(dyno);
        usage.memory_bytes + usage.swap_bytes
    }

    /// Gives back what memory of a frozen dyno can be given back. Best effort: it takes as long
    /// as writing that memory to swap, so not on a runtime's thread.
    pub(crate) fn reclaim(&self, dyno: &str) -> io::Result<()> {
        self.0.reclaim(dyno)
    }

    /// The same for every dyno, frozen or not, and for the shims.
    pub(crate) fn reclaim_everything(&self) -> io::Result<()> {
        let dynos = self.dynos();
        let mut leaves = dynos.iter().map(String::as_str).chain([SHIMS]);
        leaves.try_for_each(|leaf| self.reclaim(leaf))
    }

    /// Names of the dynos that have a group.
    pub(crate) fn dynos(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .parents()
            .iter()
            .filter_map(|parent| fs::read_dir(parent).ok())
            .flatten()
            .filter_map(|entry| {
                let entry = entry.ok()?;
                entry
                    .file_type()
                    .ok()?
                    .is_dir()
                    .then(|| entry.file_name().into_string().ok())?
            })
            .filter(|name| name != SHIMS)
            .chain(self.0.dynos_elsewhere())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Kills every process of a dyno and removes its group.
    pub(crate) async fn remove(&self, dyno: &str) -> io::Result<()> {
        let directories = self.0.directories(dyno);
        for directory in &directories {
            kill(directory);
        }
        remove_empty(&directories).await
    }

    /// Removes the slot's groups, once no dyno has one.
    pub(crate) async fn remove_everything(&self) -> io::Result<()> {
        // Shims end by themselves right after their dynos.
        remove_empty(&self.0.directories(SHIMS)).await?;
        version_1::precede_no_more(Path::new(MOUNT));
        remove_empty(&self.parents()).await
    }

    /// The slot's groups in each hierarchy.
    fn parents(&self) -> Vec<PathBuf> {
        let shims = self.0.directories(SHIMS);
        let parents = shims.iter().filter_map(|path| path.parent());
        parents.map(Path::to_owned).collect()
    }
}

/// Puts this process, and with it those it starts from now on, before all dynos for processor time,
/// where the platform's own group does not do that already. For server and router: without it they
/// would get no more of a busy machine than any one dyno.
pub fn precede_dynos() {
    let mount = Path::new(MOUNT);
    if mount.join("cgroup.controllers").exists() || crate::alone::is_alone() {
        return;
    }
    if let Err(error) = version_1::precede_dynos(mount) {
        tracing::warn!(%error, "the platform gets no more processor time than a dyno");
    }
}

/// This process's group on the version 2 hierarchy: `/system.slice/landfall.service`.
fn own_group() -> String {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = groups.lines().find_map(|line| line.strip_prefix("0::"));
    own.unwrap_or("/").to_owned()
}
