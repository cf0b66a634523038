//! Control groups: what a dyno may use, on version 2 and on version 1 hierarchies.
//!
//! Both put a dyno into a group of its own before its first instruction. On version 1 the unified
//! hierarchy, where it is mounted beside the others, serves to kill. This module must not know how
//! a process gets in; it says where ([`Place`]). Read [`Cgroups`] first.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use engine::{DynoKind, EngineError, Limits};
use rustix::process::{Pid, Signal, kill_process};
use shim::start::Place;

/// Where hierarchies are mounted.
pub(crate) const MOUNT: &str = "/sys/fs/cgroup";
/// The group of the shims.
const SHIMS: &str = "shims";
/// Version 1 controllers that limit a dyno.
const CONTROLLERS: [&str; 3] = ["memory", "pids", "cpu"];
/// Version 2 controllers handed down to dynos. A kernel without `io` is done with; without the
/// others dynos would be unlimited.
const HANDED_DOWN: [&str; 4] = ["memory", "pids", "cpu", "io"];
/// How a build's share of processor time compares to a dyno's of the same size.
const BUILD_SHARE: u64 = 10;
/// The dyno's own first process is not the app's.
const OWN_PROCESSES: u32 = 1;
/// How often removing a group is tried, and the pause between: the kernel lets go of the last
/// process a little late.
const REMOVALS: usize = 40;
const REMOVAL_PAUSE: Duration = Duration::from_millis(5);

/// The groups of one slot.
#[derive(Clone, Debug)]
pub(crate) struct Cgroups {
    version: Version,
    mount: PathBuf,
    /// Below each hierarchy's root: `landfall/007`.
    name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One { has_unified: bool },
    Two,
}

/// A directory a group has, and what to see it as inside the dyno.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) source: PathBuf,
    pub(crate) target: PathBuf,
}

impl Cgroups {
    /// Chooses the version the host has and makes the slot's groups.
    ///
    /// # Errors
    /// `Host` when the hierarchies cannot be written.
    pub(crate) fn open(mount: &Path, name: &str) -> Result<Self, EngineError> {
        let open = || {
            let version = if mount.join("cgroup.controllers").exists() {
                Version::Two
            } else {
                Version::One {
                    has_unified: mount.join("unified/cgroup.procs").exists(),
                }
            };
            let groups = Self {
                version,
                mount: mount.to_owned(),
                name: name.to_owned(),
            };
            groups.hand_down()?;
            for directory in groups.directories(SHIMS) {
                fs::create_dir_all(directory)?;
            }
            Ok(groups)
        };
        open().map_err(|source| EngineError::Host {
            step: "make control groups",
            source,
        })
    }

    /// Version 2 groups only have the controllers that every group above hands down.
    fn hand_down(&self) -> io::Result<()> {
        if self.version != Version::Two {
            return Ok(());
        }
        // At the root of the hierarchy and not below the server's own unit: systemd cannot start
        // a unit again whose group has groups with controllers in it.
        let mut group = self.mount.clone();
        let names: Vec<&str> = self.name.split('/').collect();
        for depth in 0..=names.len() {
            if let Some(name) = depth.checked_sub(1).and_then(|above| names.get(above)) {
                group.push(name);
                fs::create_dir_all(&group)?;
            }
            for controller in HANDED_DOWN {
                match fs::write(
                    group.join("cgroup.subtree_control"),
                    format!("+{controller}"),
                ) {
                    Err(error) if controller != "io" => return Err(error),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Makes a dyno's group with its limits.
    pub(crate) fn create(&self, dyno: &str, limits: &Limits, kind: DynoKind) -> io::Result<()> {
        for directory in self.directories(dyno) {
            fs::create_dir(directory)?;
        }
        for (path, value) in self.settings(dyno, limits, kind) {
            match fs::write(&path, value) {
                // Accounting of swap is optional.
                Err(_) if !path.exists() => {}
                other => other?,
            }
        }
        Ok(())
    }

    fn settings(&self, dyno: &str, limits: &Limits, kind: DynoKind) -> Vec<(PathBuf, String)> {
        // Heroku lets a dyno exceed its quota (R14) and ends it at twice that (R15).
        let memory = limits.memory_bytes.saturating_mul(2).to_string();
        let pids = limits.pids.saturating_add(OWN_PROCESSES).to_string();
        let share = if kind == DynoKind::Build {
            BUILD_SHARE
        } else {
            1
        };
        let weight = u64::from(limits.cpu_weight) / share;
        match self.version {
            Version::Two => {
                let at = |file: &str| self.mount.join(&self.name).join(dyno).join(file);
                vec![
                    (at("memory.max"), memory),
                    (at("memory.swap.max"), "0".to_owned()),
                    (at("memory.oom.group"), "1".to_owned()),
                    (at("pids.max"), pids),
                    (at("cpu.weight"), weight.clamp(1, 10_000).to_string()),
                ]
            }
            Version::One { .. } => {
                let at = |controller: &str, file: &str| self.group_1(controller, dyno).join(file);
                let shares = (weight * 1024 / 100).clamp(2, 262_144).to_string();
                vec![
                    (at("memory", "memory.limit_in_bytes"), memory.clone()),
                    (at("memory", "memory.memsw.limit_in_bytes"), memory),
                    (at("pids", "pids.max"), pids),
                    (at("cpu", "cpu.shares"), shares),
                ]
            }
        }
    }

    /// The group of a dyno, for its shim.
    pub(crate) fn place(&self, dyno: &str) -> Place {
        let directories = self.directories(dyno);
        match self.version {
            Version::Two => {
                let directory = self.mount.join(&self.name).join(dyno);
                Place {
                    memory_events: Some(directory.join("memory.events")),
                    freeze: Some(directory.join("cgroup.freeze")),
                    into: Some(directory),
                    tasks: Vec::new(),
                    directories,
                }
            }
            Version::One { has_unified } => Place {
                into: has_unified.then(|| self.group_1("unified", dyno)),
                tasks: self
                    .groups_1(dyno)
                    .map(|group| group.join("tasks"))
                    .collect(),
                memory_events: Some(self.group_1("memory", dyno).join("memory.oom_control")),
                freeze: has_unified.then(|| self.group_1("unified", dyno).join("cgroup.freeze")),
                directories,
            },
        }
    }

    /// The group that shims live in.
    pub(crate) fn shims(&self) -> Place {
        self.place(SHIMS)
    }

    /// What a dyno sees of its own group, so that runtimes find their limits.
    pub(crate) fn views(&self, dyno: &str) -> Vec<View> {
        let target = Path::new(MOUNT);
        match self.version {
            Version::Two => vec![View {
                source: self.mount.join(&self.name).join(dyno),
                target: target.to_owned(),
            }],
            Version::One { .. } => CONTROLLERS
                .iter()
                .map(|controller| View {
                    source: self.group_1(controller, dyno),
                    target: target.join(controller),
                })
                .collect(),
        }
    }

    /// Memory in use, bytes; zero if unknown.
    pub(crate) fn memory_bytes(&self, dyno: &str) -> u64 {
        let path = match self.version {
            Version::Two => self
                .mount
                .join(&self.name)
                .join(dyno)
                .join("memory.current"),
            Version::One { .. } => self.group_1("memory", dyno).join("memory.usage_in_bytes"),
        };
        let text = fs::read_to_string(path).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
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
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Kills every process of a dyno and removes its group.
    pub(crate) async fn remove(&self, dyno: &str) -> io::Result<()> {
        self.remove_directories(&self.directories(dyno)).await
    }

    /// Removes the slot's groups, once no dyno has one.
    pub(crate) async fn remove_everything(&self) -> io::Result<()> {
        // Shims end by themselves right after their dynos.
        remove_empty(&self.directories(SHIMS)).await?;
        remove_empty(&self.parents()).await
    }

    async fn remove_directories(&self, directories: &[PathBuf]) -> io::Result<()> {
        for directory in directories {
            kill(directory);
        }
        remove_empty(directories).await
    }

    fn parents(&self) -> Vec<PathBuf> {
        self.directories("")
            .into_iter()
            .map(|path| path.components().collect())
            .collect()
    }

    fn directories(&self, leaf: &str) -> Vec<PathBuf> {
        match self.version {
            Version::Two => vec![self.mount.join(&self.name).join(leaf)],
            Version::One { has_unified } => {
                let unified = has_unified.then(|| self.group_1("unified", leaf));
                self.groups_1(leaf).chain(unified).collect()
            }
        }
    }

    fn groups_1(&self, leaf: &str) -> impl Iterator<Item = PathBuf> {
        CONTROLLERS
            .iter()
            .map(move |controller| self.group_1(controller, leaf))
    }

    fn group_1(&self, hierarchy: &str, leaf: &str) -> PathBuf {
        self.mount.join(hierarchy).join(&self.name).join(leaf)
    }
}

/// Kills every process of a group, however many it makes meanwhile.
pub(crate) fn kill(directory: &Path) {
    if fs::write(directory.join("cgroup.kill"), "1").is_ok() {
        return;
    }
    for _ in 0..REMOVALS {
        let processes = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
        let processes: Vec<Pid> = processes
            .lines()
            .filter_map(|line| Pid::from_raw(line.parse().ok()?))
            .collect();
        if processes.is_empty() {
            return;
        }
        for process in processes {
            if let Err(error) = kill_process(process, Signal::KILL) {
                tracing::debug!(?process, %error, "it has ended meanwhile");
            }
        }
    }
}

async fn remove_empty(directories: &[PathBuf]) -> io::Result<()> {
    for directory in directories {
        let mut outcome = Ok(());
        for _ in 0..REMOVALS {
            outcome = fs::remove_dir(directory);
            match &outcome {
                Ok(()) => break,
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(_) => tokio::time::sleep(REMOVAL_PAUSE).await,
            }
        }
        match outcome {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        memory_bytes: 512 << 20,
        cpu_weight: 100,
        pids: 256,
        cpu_percent: None,
        open_files: 10_000,
        disk_bytes: None,
        log_lines_per_second: 1_000,
    };

    fn written(groups: &Cgroups, kind: DynoKind) -> Vec<(String, String)> {
        let settings = groups.settings("d", &LIMITS, kind);
        settings
            .into_iter()
            .map(|(path, value)| {
                let path = path
                    .strip_prefix(&groups.mount)
                    .unwrap()
                    .display()
                    .to_string();
                (path, value)
            })
            .collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected
            .iter()
            .map(|(path, value)| ((*path).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn version_2_hands_controllers_down_and_limits_a_leaf() {
        let tree = tempfile::tempdir().unwrap();
        fs::write(tree.path().join("cgroup.controllers"), "cpu memory pids\n").unwrap();
        let groups = Cgroups::open(tree.path(), "landfall/007").unwrap();
        for group in ["", "landfall", "landfall/007"] {
            let control = tree.path().join(group).join("cgroup.subtree_control");
            assert!(fs::read_to_string(control).is_ok(), "{group}");
        }
        assert!(tree.path().join("landfall/007/shims").is_dir());
        assert_eq!(
            written(&groups, DynoKind::Formation),
            pairs(&[
                ("landfall/007/d/memory.max", "1073741824"),
                ("landfall/007/d/memory.swap.max", "0"),
                ("landfall/007/d/memory.oom.group", "1"),
                ("landfall/007/d/pids.max", "257"),
                ("landfall/007/d/cpu.weight", "100"),
            ])
        );
        assert_eq!(written(&groups, DynoKind::Build)[4].1, "10");
        let place = groups.place("d");
        assert_eq!(place.into, Some(tree.path().join("landfall/007/d")));
        assert!(place.tasks.is_empty());
        groups.create("d", &LIMITS, DynoKind::Formation).unwrap();
        assert_eq!(groups.dynos(), ["d"]);
        fs::write(tree.path().join("landfall/007/d/memory.current"), "4096\n").unwrap();
        assert_eq!(groups.memory_bytes("d"), 4096);
    }

    #[test]
    fn version_1_uses_each_hierarchy_and_the_unified_one_to_kill() {
        let tree = tempfile::tempdir().unwrap();
        for hierarchy in ["memory", "pids", "cpu", "unified"] {
            fs::create_dir(tree.path().join(hierarchy)).unwrap();
        }
        fs::write(tree.path().join("unified/cgroup.procs"), "").unwrap();
        let groups = Cgroups::open(tree.path(), "landfall/007").unwrap();
        assert_eq!(
            written(&groups, DynoKind::Build),
            pairs(&[
                ("memory/landfall/007/d/memory.limit_in_bytes", "1073741824"),
                (
                    "memory/landfall/007/d/memory.memsw.limit_in_bytes",
                    "1073741824"
                ),
                ("pids/landfall/007/d/pids.max", "257"),
                ("cpu/landfall/007/d/cpu.shares", "102"),
            ])
        );
        let place = groups.place("d");
        assert_eq!(place.into, Some(tree.path().join("unified/landfall/007/d")));
        assert_eq!(place.tasks.len(), 3);
        assert_eq!(place.directories.len(), 4);
        assert_eq!(
            groups.views("d")[0].target,
            Path::new("/sys/fs/cgroup/memory")
        );
    }
}
