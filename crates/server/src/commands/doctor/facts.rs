//! Looking at this machine. Nothing is changed but for moments: control groups and mounts are
//! tried out in places of their own.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Command, Stdio},
};

use engine_local::{
    cgroup::{self, HostCgroups},
    trials::{self, Trials},
};

use crate::{
    commands::up,
    config::{Config, Surroundings},
};

/// What was seen.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts that do not exclude each other"
)]
pub(super) struct Facts {
    pub(super) is_root: bool,
    /// As `uname -r` says.
    pub(super) kernel: String,
    pub(super) cgroups: HostCgroups,
    /// What the shim could do, or why that is not known.
    pub(super) trials: Result<Trials, String>,
    /// Whether `AppArmor` keeps user namespaces from ordinary users.
    pub(super) apparmor_restricts: bool,
    /// Whether nobody may have user namespaces.
    pub(super) userns_is_off: bool,
    pub(super) firewall: Result<(), String>,
    pub(super) forwards: Option<bool>,
    pub(super) has_git: bool,
    pub(super) has_mmdebstrap: bool,
    pub(super) shim: String,
    pub(super) has_shim: bool,
    pub(super) stack: String,
    pub(super) stack_root: Option<String>,
    pub(super) memory_bytes: u64,
    pub(super) available_bytes: u64,
    pub(super) has_pressure: bool,
    /// Names of swap devices and files.
    pub(super) swap: Vec<String>,
    pub(super) data: String,
    pub(super) disk_bytes: u64,
    pub(super) free_bytes: u64,
    pub(super) has_project_quota: bool,
    pub(super) ports: Vec<Port>,
}

/// An address the platform listens on.
#[derive(Debug)]
pub(super) struct Port {
    /// What chooses it.
    pub(super) flag: &'static str,
    pub(super) address: SocketAddr,
    /// Why it cannot be had.
    pub(super) taken: Option<String>,
    /// Whether this platform runs, and has it.
    pub(super) is_ours: bool,
}

/// Looks.
pub(super) fn look(config: &Config, surroundings: &Surroundings) -> Facts {
    let data = existing(&config.data);
    let places = [data, existing(&config.cache)];
    let memory = read("/proc/meminfo");
    let disk = rustix::fs::statvfs(data).ok();
    let bytes = |blocks: fn(&rustix::fs::StatVfs) -> u64| {
        disk.as_ref()
            .map_or(0, |disk| blocks(disk).saturating_mul(disk.f_frsize))
    };
    let is_ours = config.data.exists() && up::is_running(config);
    let stack_root = engine_local::stacks::find(&config.cache, &config.stack);
    Facts {
        is_root: surroundings.is_root,
        kernel: read("/proc/sys/kernel/osrelease"),
        cgroups: cgroup::describe(),
        trials: trials::run(&config.shim, &places).map_err(|error| error.to_string()),
        apparmor_restricts: read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1",
        userns_is_off: read("/proc/sys/user/max_user_namespaces") == "0"
            || read("/proc/sys/kernel/unprivileged_userns_clone") == "0",
        firewall: firewall(surroundings),
        forwards: match read("/proc/sys/net/ipv4/ip_forward").as_str() {
            "" => None,
            value => Some(value != "0"),
        },
        has_git: surroundings.find_program("git").is_some(),
        has_mmdebstrap: surroundings.find_program("mmdebstrap").is_some(),
        shim: config.shim.display().to_string(),
        has_shim: config.shim.is_file(),
        stack: config.stack.to_string(),
        stack_root: stack_root.map(|root| root.display().to_string()),
        memory_bytes: kilobytes(&memory, "MemTotal:"),
        available_bytes: kilobytes(&memory, "MemAvailable:"),
        has_pressure: Path::new("/proc/pressure/memory").exists(),
        swap: swap(&read("/proc/swaps")),
        data: config.data.display().to_string(),
        disk_bytes: bytes(|disk| disk.f_blocks),
        free_bytes: bytes(|disk| disk.f_bavail),
        has_project_quota: has_project_quota(data, &read("/proc/self/mountinfo")),
        ports: [
            ("--listen", config.listen),
            ("--http", config.http),
            ("--https", config.https),
        ]
        .map(|(flag, address)| Port {
            flag,
            address,
            taken: TcpListener::bind(address)
                .err()
                .map(|error| error.to_string()),
            is_ours,
        })
        .into(),
    }
}

/// The directory, or the nearest above it that is there.
fn existing(path: &Path) -> &Path {
    let mut ancestors = path.ancestors();
    ancestors
        .find(|ancestor| ancestor.is_dir())
        .unwrap_or(Path::new("/"))
}

fn read(path: &str) -> String {
    fs::read_to_string(path)
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// A line of `/proc/meminfo`, in bytes.
fn kilobytes(meminfo: &str, name: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or(0) << 10
}

fn swap(swaps: &str) -> Vec<String> {
    let lines = swaps.lines().skip(1);
    let names = lines.filter_map(|line| line.split_whitespace().next());
    names.map(str::to_owned).collect()
}

/// Whether the mount that `path` is on counts projects: the longest mount point above it.
fn has_project_quota(path: &Path, mountinfo: &str) -> bool {
    let Ok(path) = path.canonicalize() else {
        return false;
    };
    let mounts = mountinfo.lines().filter_map(|line| {
        let point = line.split(' ').nth(4)?;
        path.starts_with(point).then_some((point.len(), line))
    });
    let options = mounts
        .max_by_key(|(length, _)| *length)
        .map(|(_, line)| line);
    let mut words = options.into_iter().flat_map(|line| line.split([' ', ',']));
    words.any(|word| ["prjquota", "pquota"].contains(&word))
}

/// Whether the firewall's program does what it is for.
fn firewall(surroundings: &Surroundings) -> Result<(), String> {
    let program = surroundings
        .find_program("nft")
        .ok_or("there is no `nft`")?;
    let listed = Command::new(program)
        .args(["list", "tables"])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    if listed.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&listed.stderr);
    Err(said
        .lines()
        .next()
        .unwrap_or("`nft list tables` failed")
        .to_owned())
}
