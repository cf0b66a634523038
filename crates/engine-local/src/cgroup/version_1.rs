//! Version 1: a hierarchy for each controller, and often (hybrid) a version 2 one beside them.
//!
//! Where the latter is there it has no controllers that matter, but groups of its serve to put a
//! process in at its birth, to freeze it and to kill it. Memory and swap are limited together, to
//! twice the quota, so swap makes no difference to when a dyno is killed.
//!
//! **Processor.** The scheduler shares time level by level, and whoever has had its share waits. With
//! all dynos below one group a dyno that takes all it can get uses up what is due to the group, and
//! its neighbours wait with it for everything else that the host runs. So in the `cpu` hierarchy each
//! dyno's group is at the root, among the host's own programs, and the platform's processes are in
//! one of their own ([`precede_dynos`]), so that many busy dynos do not outweigh them.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use shim::start::Place;

use super::{CPU_PERIOD, Hierarchy, MOUNT, SHIMS, Setting, Usage, View, Wanted, usage};

/// Controllers that limit a dyno.
pub(super) const NEEDED: [&str; 3] = ["memory", "pids", "cpu"];
/// The version 2 hierarchy.
pub(super) const UNIFIED: &str = "unified";
const CPU: &str = "cpu";
const FREEZER: &str = "freezer";
const DISK: &str = "blkio";
/// The group of the platforms' own processes in the hierarchy [`CPU`].
const PLATFORM: &str = "landfall.platform";
/// What that weighs: as much as sixteen dynos of the smallest size. It needs little, but at once.
const PLATFORM_SHARES: u64 = 16 * 1024;

/// See the module.
#[derive(Debug)]
pub(super) struct Version1 {
    mount: PathBuf,
    /// Below each hierarchy's root: `landfall/007`.
    name: String,
    has_unified: bool,
    has_freezer: bool,
    /// Whether some disk's scheduler weighs groups.
    weighs_disks: bool,
}

impl Version1 {
    pub(super) fn open(mount: &Path, name: &str) -> io::Result<Self> {
        let is_mounted = |hierarchy: &str| mount.join(hierarchy).join("cgroup.procs").exists();
        if let Some(missing) = NEEDED.into_iter().find(|hierarchy| !is_mounted(hierarchy)) {
            let what = format!("the controller `{missing}` is not mounted");
            return Err(io::Error::new(io::ErrorKind::Unsupported, what));
        }
        let has_unified = is_mounted(UNIFIED);
        Ok(Self {
            mount: mount.to_owned(),
            name: name.to_owned(),
            has_unified,
            // The version 2 one is better: a process can be killed while it is frozen.
            has_freezer: !has_unified && is_mounted(FREEZER),
            weighs_disks: is_mounted(DISK) && weighs_disks(),
        })
    }

    fn group(&self, hierarchy: &str, leaf: &str) -> PathBuf {
        let root = self.mount.join(hierarchy);
        if hierarchy == CPU && leaf != SHIMS {
            return root.join(flat(&self.name) + leaf);
        }
        root.join(&self.name).join(leaf)
    }

    fn file(&self, hierarchy: &str, leaf: &str, name: &str) -> PathBuf {
        self.group(hierarchy, leaf).join(name)
    }

    fn read(&self, hierarchy: &str, leaf: &str, name: &str) -> String {
        fs::read_to_string(self.file(hierarchy, leaf, name)).unwrap_or_default()
    }

    /// Version 1 hierarchies that a dyno has a group in, the freezer first.
    fn hierarchies(&self) -> impl Iterator<Item = &'static str> {
        let freezer = self.has_freezer.then_some(FREEZER);
        let disk = self.weighs_disks.then_some(DISK);
        freezer.into_iter().chain(NEEDED).chain(disk)
    }
}

impl Hierarchy for Version1 {
    fn directories(&self, leaf: &str) -> Vec<PathBuf> {
        let unified = self.has_unified.then_some(UNIFIED);
        let all = unified.into_iter().chain(self.hierarchies());
        all.map(|hierarchy| self.group(hierarchy, leaf)).collect()
    }

    fn dynos_elsewhere(&self) -> Vec<String> {
        let prefix = flat(&self.name);
        let groups = fs::read_dir(self.mount.join(CPU)).into_iter().flatten();
        groups
            .filter_map(|group| group.ok()?.file_name().into_string().ok())
            .filter_map(|name| name.strip_prefix(&prefix).map(str::to_owned))
            .collect()
    }

    fn settings(&self, leaf: &str, wanted: &Wanted) -> Vec<Setting> {
        let memory = |name: &str| self.file("memory", leaf, name);
        let cpu = |name: &str| self.file(CPU, leaf, name);
        let shares = (wanted.weight * 1024 / 100).clamp(2, 262_144);
        let mut settings = vec![
            Setting::needed(memory("memory.limit_in_bytes"), &wanted.most_bytes),
            // Accounting of swap is optional.
            Setting::optional(memory("memory.memsw.limit_in_bytes"), &wanted.most_bytes),
            // What sockets hold is not counted at all without a limit of its own.
            Setting::optional(
                memory("memory.kmem.tcp.limit_in_bytes"),
                &wanted.quota_bytes,
            ),
            Setting::needed(self.file("pids", leaf, "pids.max"), &wanted.processes),
            Setting::needed(cpu("cpu.shares"), &shares),
        ];
        if let Some(micros) = wanted.cpu_micros {
            settings.push(Setting::needed(cpu("cpu.cfs_period_us"), &CPU_PERIOD));
            settings.push(Setting::needed(cpu("cpu.cfs_quota_us"), &micros));
        }
        if self.weighs_disks {
            let weight = wanted.weight.clamp(10, 1_000);
            for name in ["blkio.weight", "blkio.bfq.weight"] {
                settings.push(Setting::optional(self.file(DISK, leaf, name), &weight));
            }
        }
        settings
    }

    fn place(&self, leaf: &str) -> Place {
        let freezer = self.has_freezer.then_some((FREEZER, "freezer.state"));
        let unified = self.has_unified.then_some((UNIFIED, "cgroup.freeze"));
        Place {
            into: self.has_unified.then(|| self.group(UNIFIED, leaf)),
            tasks: self
                .hierarchies()
                .map(|hierarchy| self.file(hierarchy, leaf, "tasks"))
                .collect(),
            memory_events: Some(self.file("memory", leaf, "memory.oom_control")),
            freeze: unified
                .or(freezer)
                .map(|(hierarchy, name)| self.file(hierarchy, leaf, name)),
            directories: self.directories(leaf),
        }
    }

    fn views(&self, leaf: &str) -> Vec<View> {
        let view = |controller: &str| View {
            source: self.group(controller, leaf),
            target: Path::new(MOUNT).join(controller),
        };
        NEEDED.into_iter().map(view).collect()
    }

    fn usage(&self, leaf: &str) -> Usage {
        let unified = |name: &str| self.read(UNIFIED, leaf, name);
        Usage {
            // Version 2 counts processor time without a controller; on version 1 it is another
            // controller, which often shares this hierarchy.
            cpu_micros: usage::field(&unified("cpu.stat"), "usage_usec").or_else(|| {
                let nanos = self.read(CPU, leaf, "cpuacct.usage").trim().parse::<u64>();
                nanos.ok().map(|nanos| nanos / 1_000)
            }),
            kills: usage::field(&self.read("memory", leaf, "memory.oom_control"), "oom_kill")
                .unwrap_or(0),
            pressure: usage::pressure(unified),
            ..usage::memory_1(&self.read("memory", leaf, "memory.stat"))
        }
    }

    fn reclaim(&self, leaf: &str) -> io::Result<()> {
        match fs::write(self.file("memory", leaf, "memory.force_empty"), "0") {
            // Something is always in use.
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Ok(()),
            other => other,
        }
    }
}

/// What the names of a slot's groups at the root of a hierarchy begin with: `landfall.007.`.
pub(super) fn flat(name: &str) -> String {
    name.replace('/', ".") + "."
}

/// Moves this process, and with it those it starts from now on, before all dynos.
pub(super) fn precede_dynos(mount: &Path) -> io::Result<()> {
    let group = mount.join(CPU).join(PLATFORM);
    fs::create_dir_all(&group)?;
    fs::write(group.join("cpu.shares"), PLATFORM_SHARES.to_string())?;
    fs::write(group.join("cgroup.procs"), std::process::id().to_string())
}

/// Removes the platforms' own group, unless one is still there.
pub(super) fn precede_no_more(mount: &Path) {
    let group = mount.join(CPU).join(PLATFORM);
    if let Err(error) = fs::remove_dir(&group) {
        tracing::debug!(group = %group.display(), %error, "another platform is there");
    }
}

/// Whether a disk of this machine is scheduled by the one scheduler that knows groups.
pub(super) fn weighs_disks() -> bool {
    let disks = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    disks
        .filter_map(|disk| fs::read_to_string(disk.path().join("queue/scheduler")).ok())
        .any(|schedulers| schedulers.contains("[bfq]") || schedulers.contains("[cfq]"))
}
