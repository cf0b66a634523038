//! What this machine holds of a platform: dynos' directories, processes, control groups, networks.
//!
//! It looks at the machine alone and must not ask the platform, whose word is what it is compared
//! with. Read [`Host`] first.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::Platform;

const CGROUPS: &str = "/sys/fs/cgroup";
const SLOTS: &str = "/run/landfall/slots";
const NETWORKS: &str = "/run/landfall/netns";
/// First of all dynos' user ids, and how many belong to one platform.
const FIRST_UID: u32 = 0x4000_0000;
const UIDS_PER_SLOT: u32 = 2048 * 2048;

/// One platform's part of this machine.
#[derive(Clone, Debug)]
pub struct Host {
    data: PathBuf,
    slot: u32,
}

/// A dyno as its directory tells of it.
#[derive(Clone, Debug)]
pub struct Held {
    /// The dyno's id.
    pub id: String,
    /// The app's id.
    pub app: String,
    /// The process id of its keeper.
    pub shim: i32,
    /// The process id of its first process.
    pub process: i32,
    /// Which of the platform's networks it has.
    network: u64,
    /// Whether its keeper and its first process live, and its end is not on record.
    pub is_alive: bool,
}

impl Host {
    /// The part of a running platform.
    ///
    /// # Panics
    /// When it has none.
    pub fn of(platform: &Platform) -> Self {
        let data = platform.data().canonicalize().expect("it has a directory");
        let slot = names(Path::new(SLOTS)).into_iter().find_map(|name| {
            let owner = fs::read_to_string(Path::new(SLOTS).join(&name)).ok()?;
            (Path::new(&owner) == data).then(|| name.parse().ok())?
        });
        Self {
            data,
            slot: slot.expect("it has a slot"),
        }
    }

    /// Every dyno that has a directory and has been started.
    pub fn dynos(&self) -> Vec<Held> {
        self.directories()
            .iter()
            .filter_map(|name| self.dyno(name))
            .collect()
    }

    fn directories(&self) -> Vec<String> {
        names(&self.data.join("run/dynos"))
    }

    fn dyno(&self, id: &str) -> Option<Held> {
        let directory = self.data.join("run/dynos").join(id);
        let state: Value = serde_json::from_slice(&fs::read(directory.join("state")).ok()?).ok()?;
        let number = |name: &str| i32::try_from(state[name].as_i64()?).ok();
        let (shim, process) = (number("shim")?, number("process")?);
        let began = state["process_started_ticks"].as_u64();
        Some(Held {
            id: id.to_owned(),
            app: state["notes"]["app"].as_str()?.to_owned(),
            shim,
            process,
            network: state["notes"]["index"].as_u64()?,
            is_alive: !directory.join("exit").exists()
                && is_alive(shim)
                && is_alive(process)
                && started(process) == began,
        })
    }

    /// The host's end of a dyno's link.
    pub fn link_of(&self, dyno: &Held) -> String {
        format!("lf{:03}-{}", self.slot, dyno.network)
    }

    /// The platform's firewall table, in family `inet`.
    pub fn table(&self) -> String {
        format!("landfall_{:03}", self.slot)
    }

    /// Whether the router has been told to send requests to this dyno.
    pub fn is_routed(&self, dyno: &str) -> bool {
        let routes = fs::read_to_string(self.data.join("router/routes.json"));
        let mut newest: BTreeMap<String, bool> = BTreeMap::new();
        for line in routes.unwrap_or_default().lines() {
            let (_sum, json) = line.split_once(' ').unwrap_or_default();
            let record: Value = serde_json::from_str(json).unwrap_or_default();
            if let Some(app) = record
                .pointer("/set/app/app")
                .or(record.pointer("/unset/app"))
            {
                newest.insert(app.to_string(), json.contains(dyno));
            }
        }
        newest.values().any(|names_it| *names_it)
    }

    /// Compares the machine with what the platform says that it runs (ids of all dynos on record,
    /// and of those that are up). Everything that should not be so, a line each.
    pub fn compare(&self, known: &BTreeSet<String>, up: &BTreeSet<String>) -> Vec<String> {
        let mut wrong = Vec::new();
        let dynos = self.dynos();
        let alive: Vec<&Held> = dynos.iter().filter(|dyno| dyno.is_alive).collect();
        for id in up {
            if !alive.iter().any(|dyno| dyno.id == *id) {
                wrong.push(format!("dyno {id} is dead and shown up"));
            }
        }
        for name in self.directories() {
            if !known.contains(&name) {
                wrong.push(format!("directory of a dyno that nobody knows: {name}"));
            }
        }
        let expected: BTreeSet<String> = alive.iter().map(|dyno| dyno.id.clone()).collect();
        for group in self.cgroups() {
            let name = name_of(&group);
            let name = name.rsplit('.').next().unwrap_or(&name);
            if name.len() == 36 && !expected.contains(name) {
                wrong.push(format!("control group of no dyno: {}", group.display()));
            }
        }
        self.compare_processes(&alive, &mut wrong);
        self.compare_networks(&dynos, &mut wrong);
        wrong
    }

    /// Every process of this platform must belong to a dyno that lives.
    fn compare_processes(&self, alive: &[&Held], wrong: &mut Vec<String>) {
        for pid in processes() {
            let is_stray = if self.is_shim(pid) && !is_nest(pid) {
                // A dyno's first process is its keeper's program too.
                !alive
                    .iter()
                    .any(|dyno| dyno.shim == pid || dyno.process == pid)
            } else if self.has_our_uid(pid) {
                let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
                !alive.iter().any(|dyno| groups.contains(&dyno.id))
            } else {
                false
            };
            // A process that has ended since was no stray.
            if is_stray && is_alive(pid) {
                wrong.push(format!("stray process {pid}: {}", command_of(pid)));
            }
        }
    }

    /// Every living dyno has a network, and no more than a few are kept ready.
    fn compare_networks(&self, dynos: &[Held], wrong: &mut Vec<String>) {
        let (namespaces, links) = (self.networks(), self.links());
        let mounted = self.mounts();
        if namespaces != links || namespaces.len() != mounted.len() {
            wrong.push(format!(
                "namespaces {namespaces:?}, links {links:?}, mounts {mounted:?}"
            ));
        }
        let taken: BTreeSet<String> = dynos
            .iter()
            .map(|dyno| format!("{}{}", self.prefix(), dyno.network))
            .collect();
        for dyno in dynos.iter().filter(|dyno| dyno.is_alive) {
            if !namespaces.contains(&format!("{}{}", self.prefix(), dyno.network)) {
                wrong.push(format!("dyno {} has lost its network", dyno.id));
            }
        }
        let spare: Vec<&String> = namespaces.difference(&taken).collect();
        if spare.len() > SPARE_NETWORKS {
            wrong.push(format!("networks of no dyno: {spare:?}"));
        }
    }

    /// What is left of a platform that was taken down, a line each; `None` if another platform of
    /// this machine has taken its number since.
    pub fn leftovers(&self) -> Option<Vec<String>> {
        let mut left: Vec<String> = Vec::new();
        let mut found = |what: &str, name: String| left.push(format!("{what} {name}"));
        for directory in self.directories() {
            found("directory", directory);
        }
        for group in self.cgroups() {
            found("control group", group.display().to_string());
        }
        for network in self.networks().union(&self.links()) {
            found("network", network.clone());
        }
        for mount in self.mounts() {
            found("mount", mount);
        }
        for pid in processes() {
            if (self.is_shim(pid) || self.has_our_uid(pid)) && is_alive(pid) {
                found("process", format!("{pid}: {}", command_of(pid)));
            }
        }
        let owner = fs::read_to_string(Path::new(SLOTS).join(format!("{:03}", self.slot)));
        match owner {
            Ok(owner) if Path::new(&owner) != self.data => None,
            Ok(_) => Some(left.into_iter().chain(["its slot".to_owned()]).collect()),
            Err(_) => Some(left),
        }
    }

    fn prefix(&self) -> String {
        format!("lf{:03}-", self.slot)
    }

    /// The platform's control groups in every hierarchy, and all below them.
    fn cgroups(&self) -> Vec<PathBuf> {
        let ours = format!("landfall/{:03}", self.slot);
        let hierarchies = subdirectories(Path::new(CGROUPS));
        let roots = hierarchies
            .iter()
            .map(PathBuf::as_path)
            .chain([Path::new(CGROUPS)]);
        let mut found: Vec<PathBuf> = roots
            .map(|root| root.join(&ours))
            .filter(|group| group.is_dir())
            .collect();
        // Those of dynos that are among the host's own.
        let flat = format!("landfall.{:03}.", self.slot);
        let at_root = hierarchies.iter().flat_map(|root| subdirectories(root));
        found.extend(at_root.filter(|group| name_of(group).starts_with(&flat)));
        let mut next = 0;
        while let Some(group) = found.get(next) {
            let below = subdirectories(group);
            found.extend(below);
            next += 1;
        }
        found
    }

    fn networks(&self) -> BTreeSet<String> {
        self.ours(Path::new(NETWORKS))
    }

    fn links(&self) -> BTreeSet<String> {
        self.ours(Path::new("/sys/class/net"))
    }

    fn ours(&self, directory: &Path) -> BTreeSet<String> {
        names(directory)
            .into_iter()
            .filter(|name| name.starts_with(&self.prefix()))
            .collect()
    }

    /// Mount points of this platform that the whole machine sees.
    fn mounts(&self) -> Vec<String> {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let data = self.data.display().to_string();
        let network = format!("{NETWORKS}/{}", self.prefix());
        mounts
            .lines()
            .filter_map(|line| line.split(' ').nth(1))
            .filter(|point| point.starts_with(&data) || point.starts_with(&network))
            .map(str::to_owned)
            .collect()
    }

    /// Whether it runs from this platform's copy of the shim.
    fn is_shim(&self, pid: i32) -> bool {
        fs::read_link(format!("/proc/{pid}/exe"))
            .is_ok_and(|program| program.starts_with(self.data.join("shim")))
    }

    /// Whether it runs as a user that belongs to this platform's dynos.
    fn has_our_uid(&self, pid: i32) -> bool {
        let first = FIRST_UID + self.slot * UIDS_PER_SLOT;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let uid = status
            .lines()
            .find_map(|line| line.strip_prefix("Uid:"))
            .and_then(|uids| uids.split_whitespace().next()?.parse::<u32>().ok());
        uid.is_some_and(|uid| (first..first + UIDS_PER_SLOT).contains(&uid))
    }
}

/// How many networks a platform keeps ready, and one that is being made.
const SPARE_NETWORKS: usize = 5;

/// The processes below one, itself first.
pub fn family(pid: i32) -> Vec<i32> {
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(parent) = found.get(next) {
        let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
        let children = children.unwrap_or_default();
        found.extend(
            children
                .split_whitespace()
                .filter_map(|pid| pid.parse::<i32>().ok()),
        );
        next += 1;
    }
    found
}

/// Whether anything of a process runs: one that has ended and was not waited for does not, but one
/// does whose first thread has ended before the others. Until the last has, its sockets are open.
pub fn is_alive(pid: i32) -> bool {
    let threads = names(Path::new(&format!("/proc/{pid}/task")));
    threads.iter().any(|thread| {
        let fields = stat(&format!("{pid}/task/{thread}"));
        fields.is_some_and(|fields| !fields.starts_with('Z') && !fields.starts_with('X'))
    })
}

fn started(pid: i32) -> Option<u64> {
    stat(&pid.to_string())?
        .split_whitespace()
        .nth(19)?
        .parse()
        .ok()
}

/// The fields of `/proc/<task>/stat` behind the name.
fn stat(task: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{task}/stat")).ok()?;
    Some(text.rsplit_once(')')?.1.trim_start().to_owned())
}

fn command_of(pid: i32) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    text.replace('\0', " ")
}

fn processes() -> Vec<i32> {
    names(Path::new("/proc"))
        .iter()
        .filter_map(|name| name.parse().ok())
        .collect()
}

fn subdirectories(directory: &Path) -> Vec<PathBuf> {
    names(directory)
        .iter()
        .map(|name| directory.join(name))
        .filter(|path| path.is_dir() && !path.is_symlink())
        .collect()
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

fn name_of(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// Whether it only waits to become a shim: it belongs to no dyno, and ends with its server.
fn is_nest(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "landfall-nest")
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;
    use crate::{platform::kill, until};

    #[test]
    fn a_process_whose_first_thread_has_ended_is_alive() {
        let program = format!(
            "import ctypes, threading, time\n\
             threading.Thread(target=time.sleep, args=(60,)).start()\n\
             ctypes.CDLL(None).syscall({}, 0)",
            libc::SYS_exit
        );
        let mut child = Command::new("python3")
            .args(["-c", &program])
            .stdin(Stdio::null())
            .spawn()
            .expect("Python is there");
        let pid = i32::try_from(child.id()).expect("a process id");
        until("the first thread has ended", || {
            stat(&pid.to_string())?.starts_with('Z').then_some(())
        });
        let was_alive = is_alive(pid);
        kill(pid, libc::SIGKILL);
        until("all of it has ended", || (!is_alive(pid)).then_some(()));
        child.wait().expect("it is our child");
        assert!(was_alive);
    }
}
