//! What a host's control groups offer, for people who look after it. Read [`describe`] first.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{MOUNT, own_group, version_1, version_2};

/// Which hierarchies there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupVersion {
    /// One for all.
    Two,
    /// One per controller, and a version 2 one beside them without those.
    Hybrid,
    /// One per controller.
    One,
    /// None is mounted where they belong.
    Absent,
}

/// What limits dynos on this host, and what is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostCgroups {
    /// Which hierarchies there are.
    pub version: CgroupVersion,
    /// What limits a dyno.
    pub controllers: Vec<Controller>,
    /// What else can be done to one.
    pub abilities: Vec<Ability>,
}

/// Something that limits a dyno.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Controller {
    /// The kernel's word: `memory`.
    pub name: &'static str,
    /// Without it dynos are refused.
    pub is_needed: bool,
    /// Whether the host has it.
    pub is_there: bool,
}

/// Something that can be done to a dyno.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ability {
    /// `freeze a dyno`.
    pub what: &'static str,
    /// The kernel's file or call that does it.
    pub by: &'static str,
    /// Whether the host has it.
    pub is_there: bool,
    /// What becomes of Landfall without it.
    pub without: &'static str,
}

impl HostCgroups {
    /// Whether dynos can be limited here at all.
    pub fn is_enough(&self) -> bool {
        let mut controllers = self.controllers.iter();
        self.version != CgroupVersion::Absent
            && controllers.all(|controller| controller.is_there || !controller.is_needed)
    }
}

/// Looks at this host's control groups. To see what a group can do, one is made and removed again;
/// a user who may not looks at the group it is in.
pub fn describe() -> HostCgroups {
    describe_at(Path::new(MOUNT))
}

pub(super) fn describe_at(mount: &Path) -> HostCgroups {
    let version = version(mount);
    let unified = match version {
        CgroupVersion::Two => Some(mount.to_owned()),
        CgroupVersion::Hybrid => Some(mount.join(version_1::UNIFIED)),
        CgroupVersion::One | CgroupVersion::Absent => None,
    };
    let controllers = controllers(mount, version);
    let unified = unified.map(|mount| Group::below(&mount));
    let memory = match version {
        CgroupVersion::Two => None,
        _ => Some(Group::below(&mount.join("memory"))),
    };
    let memory = memory.as_ref().or(unified.as_ref());
    HostCgroups {
        version,
        controllers,
        abilities: abilities(mount, unified.as_ref(), memory),
    }
}

fn version(mount: &Path) -> CgroupVersion {
    if mount.join("cgroup.controllers").exists() {
        CgroupVersion::Two
    } else if !mount.join("memory/cgroup.procs").exists() {
        CgroupVersion::Absent
    } else if mount.join(version_1::UNIFIED).join("cgroup.procs").exists() {
        CgroupVersion::Hybrid
    } else {
        CgroupVersion::One
    }
}

fn controllers(mount: &Path, version: CgroupVersion) -> Vec<Controller> {
    let handed_down = fs::read_to_string(mount.join("cgroup.controllers")).unwrap_or_default();
    let handed_down: Vec<&str> = handed_down.split_whitespace().collect();
    let is_there = |name: &str| match version {
        CgroupVersion::Two => handed_down.contains(&name),
        _ => mount.join(name).join("cgroup.procs").exists(),
    };
    let needed = version_2::NEEDED.map(|name| Controller {
        name,
        is_needed: true,
        is_there: is_there(name),
    });
    let (name, is_there) = match version {
        CgroupVersion::Two => (version_2::WELCOME, is_there(version_2::WELCOME)),
        _ => ("blkio", is_there("blkio") && version_1::weighs_disks()),
    };
    let disk = Controller {
        name,
        is_needed: false,
        is_there,
    };
    needed.into_iter().chain([disk]).collect()
}

fn abilities(mount: &Path, unified: Option<&Group>, memory: Option<&Group>) -> Vec<Ability> {
    let has = |name| unified.is_some_and(|group| group.has(name));
    let memory_has = |name| memory.is_some_and(|group| group.has(name));
    let is_at_least_5_7 = kernel() >= (5, 7);
    let has_freezer = mount.join("freezer/cgroup.procs").exists();
    vec![
        Ability {
            what: "start a dyno inside its group",
            by: "CLONE_INTO_CGROUP",
            is_there: unified.is_some() && is_at_least_5_7,
            without: "a dyno joins its group itself, which takes longer",
        },
        Ability {
            what: "freeze a dyno",
            by: "cgroup.freeze",
            is_there: has("cgroup.freeze") || has_freezer,
            without: "idle apps are stopped rather than put to sleep",
        },
        Ability {
            what: "kill a dyno at once",
            by: "cgroup.kill",
            is_there: has("cgroup.kill"),
            without: "processes are killed one by one",
        },
        Ability {
            what: "give back the memory of a sleeping dyno",
            by: "memory.reclaim",
            is_there: (memory_has("memory.reclaim") || memory_has("memory.force_empty"))
                && has_swap(),
            without: "sleeping apps keep their memory; add swap or zram",
        },
        Ability {
            what: "limit swap",
            by: "memory.swap.max",
            is_there: memory_has("memory.swap.max") || memory_has("memory.memsw.limit_in_bytes"),
            without: "a dyno over its quota fills the host's swap",
        },
        Ability {
            what: "tell what a dyno waits for",
            by: "cpu.pressure",
            is_there: has("cpu.pressure") && Path::new("/proc/pressure/cpu").exists(),
            without: "usage lacks pressure",
        },
    ]
}

/// A group to look into, removed again if it was made for that.
struct Group {
    path: PathBuf,
    is_made: bool,
}

impl Group {
    fn below(root: &Path) -> Self {
        let path = root.join(format!("landfall-look-{}", std::process::id()));
        match fs::create_dir(&path) {
            Ok(()) => Self {
                path,
                is_made: true,
            },
            Err(_) => Self {
                path: root.join(own_group().trim_matches('/')),
                is_made: false,
            },
        }
    }

    fn has(&self, name: &str) -> bool {
        self.path.join(name).exists()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.is_made
            && let Err(error) = fs::remove_dir(&self.path)
        {
            tracing::warn!(group = %self.path.display(), %error, "left behind");
        }
    }
}

fn has_swap() -> bool {
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
    swaps.lines().count() > 1
}

/// The kernel's version; zeros if it cannot be understood.
fn kernel() -> (u32, u32) {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy();
    let mut numbers = release.split('.').map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}
