//! Version 2 against a tree of files and against the hierarchy that a hybrid host has beside
//! version 1; version 1 for real, with and without that. The real ones need root.
#![expect(
    unsafe_code,
    reason = "a process born in a group takes a raw system call"
)]

use std::{
    os::{fd::AsRawFd, unix::fs::symlink},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use super::{describe::describe_at, *};

const LIMITS: Limits = Limits {
    memory_bytes: 512 << 20,
    cpu_weight: 100,
    pids: 256,
    cpu_percent: None,
    open_files: 10_000,
    disk_bytes: None,
    log_lines_per_second: 1_000,
};
/// `CLONE_INTO_CGROUP` of `linux/sched.h`.
const CLONE_INTO_CGROUP: u64 = 1 << 33;
const DEADLINE: Duration = Duration::from_mins(1);

fn open(tree: &Path) -> Cgroups {
    Cgroups::open(tree, "landfall/007").unwrap()
}

/// File below the tree → what is written there.
fn written(tree: &Path, limits: &Limits, kind: DynoKind) -> Vec<(String, String)> {
    let settings = open(tree).0.settings("d", &Wanted::new(limits, kind));
    let relative = |path: &Path| path.strip_prefix(tree).unwrap().display().to_string();
    settings
        .into_iter()
        .map(|setting| (relative(&setting.path), setting.value))
        .collect()
}

fn pairs(group: &str, expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected
        .iter()
        .map(|(file, value)| (file.replace("D/", group), (*value).to_owned()))
        .collect()
}

fn tree_2() -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    fs::write(tree.path().join("cgroup.controllers"), "cpu memory pids\n").unwrap();
    tree
}

fn tree_1(hierarchies: &[&str]) -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    for hierarchy in hierarchies {
        fs::create_dir(tree.path().join(hierarchy)).unwrap();
        fs::write(tree.path().join(hierarchy).join("cgroup.procs"), "").unwrap();
    }
    tree
}

#[test]
fn version_2_hands_controllers_down() {
    let tree = tree_2();
    let groups = open(tree.path());
    for group in ["", "landfall", "landfall/007"] {
        let control = tree.path().join(group).join("cgroup.subtree_control");
        assert!(fs::read_to_string(control).is_ok(), "{group}");
    }
    assert!(tree.path().join("landfall/007/shims").is_dir());
    let place = groups.place("d");
    assert_eq!(place.into, Some(tree.path().join("landfall/007/d")));
    assert!(place.tasks.is_empty());
    assert_eq!(groups.views("d")[0].target, Path::new(MOUNT));
}

#[test]
fn version_2_limits_a_leaf() {
    let tree = tree_2();
    let mut limits = LIMITS;
    limits.cpu_percent = Some(150);
    assert_eq!(
        written(tree.path(), &limits, DynoKind::Formation),
        pairs(
            "landfall/007/d/",
            &[
                ("D/memory.max", "1073741824"),
                ("D/memory.high", "max"),
                ("D/memory.swap.max", "0"),
                ("D/memory.oom.group", "1"),
                ("D/pids.max", "257"),
                ("D/cpu.weight", "100"),
                ("D/io.weight", "100"),
                ("D/io.bfq.weight", "100"),
                ("D/cpu.max", "150000 100000"),
            ]
        )
    );
    let build = written(tree.path(), &LIMITS, DynoKind::Build);
    assert_eq!(build[5].1, "10");
    assert_eq!(build.len(), 8);
}

#[test]
fn a_limit_that_cannot_be_set_fails_the_start_unless_it_is_optional() {
    let tree = tempfile::tempdir().unwrap();
    let setting = Setting::needed(tree.path().join("absent/memory.max"), &1);
    assert!(setting.write().is_err());
    let setting = Setting::optional(tree.path().join("absent/memory.swap.max"), &1);
    assert!(setting.write().is_ok());
}

#[test]
fn version_2_tells_what_a_dyno_uses() {
    let tree = tree_2();
    let groups = open(tree.path());
    groups.create("d", &LIMITS, DynoKind::Formation).unwrap();
    let at = tree.path().join("landfall/007/d");
    let files = [
        ("memory.stat", "anon 4096\nfile 100\nshmem 96\n"),
        ("memory.swap.current", "8\n"),
        ("cpu.stat", "usage_usec 77\nuser_usec 7\n"),
        ("memory.events", "low 0\nhigh 0\nmax 3\noom 1\noom_kill 1\n"),
    ];
    for (name, text) in files {
        fs::write(at.join(name), text).unwrap();
    }
    let expected = Usage {
        memory_bytes: 4192,
        swap_bytes: 8,
        cache_bytes: 4,
        cpu_micros: Some(77),
        kills: 1,
        pressure: None,
    };
    assert_eq!(groups.usage("d"), expected);
    assert_eq!(groups.memory_bytes("d"), 4200);
    assert_eq!(groups.usage("nobody"), Usage::default());
    assert_eq!(groups.dynos(), ["d"]);
}

#[test]
fn version_2_reclaims_all_there_is_and_forbids_swap_again() {
    let tree = tree_2();
    let groups = open(tree.path());
    groups.create("d", &LIMITS, DynoKind::Formation).unwrap();
    let at = tree.path().join("landfall/007/d");
    fs::write(at.join("memory.current"), "4096\n").unwrap();
    groups.reclaim("d").unwrap();
    let read = |name| fs::read_to_string(at.join(name)).unwrap();
    assert_eq!(read("memory.reclaim"), "4096");
    assert_eq!(read("memory.swap.max"), "0");
}

#[test]
fn a_delegated_group_is_found_again_after_processes_were_moved() {
    for (own, expected) in [
        ("/", "/cg"),
        ("/user.slice/u", "/cg/user.slice/u"),
        ("/user.slice/u/landfall-platform", "/cg/user.slice/u"),
        ("/landfall-platform", "/cg"),
    ] {
        let found = version_2::delegated(Path::new("/cg"), own);
        assert_eq!(found, Path::new(expected), "{own}");
    }
}

#[test]
fn version_1_uses_each_hierarchy_and_the_unified_one_to_kill() {
    let tree = tree_1(&["memory", "pids", "cpu", "unified", "freezer"]);
    let mut limits = LIMITS;
    limits.cpu_percent = Some(50);
    assert_eq!(
        written(tree.path(), &limits, DynoKind::Build),
        pairs(
            "/landfall/007/d/",
            &[
                ("memoryD/memory.limit_in_bytes", "1073741824"),
                ("memoryD/memory.memsw.limit_in_bytes", "1073741824"),
                ("memoryD/memory.kmem.tcp.limit_in_bytes", "536870912"),
                ("pidsD/pids.max", "257"),
                ("cpu/landfall.007.d/cpu.shares", "102"),
                ("cpu/landfall.007.d/cpu.cfs_period_us", "100000"),
                ("cpu/landfall.007.d/cpu.cfs_quota_us", "50000"),
            ]
        )
    );
    let groups = open(tree.path());
    let place = groups.place("d");
    let unified = tree.path().join("unified/landfall/007/d");
    assert_eq!(place.freeze, Some(unified.join("cgroup.freeze")));
    assert_eq!(place.into, Some(unified));
    assert_eq!(place.tasks.len(), 3);
    assert_eq!(place.directories.len(), 4);
    assert_eq!(
        groups.views("d")[0].target,
        Path::new("/sys/fs/cgroup/memory")
    );
}

#[test]
fn version_1_sets_dynos_and_the_platform_among_the_hosts_own_programs() {
    let tree = tree_1(&["memory", "pids", "cpu"]);
    let at = |path: &str| tree.path().join(path);
    let groups = open(tree.path());
    groups.create("d", &LIMITS, DynoKind::Formation).unwrap();
    assert_eq!(groups.dynos(), ["d"]);
    // Half removed, it is still found.
    for hierarchy in ["memory", "pids"] {
        fs::remove_dir_all(at(hierarchy).join("landfall/007/d")).unwrap();
    }
    assert_eq!(groups.dynos(), ["d"]);
    assert!(at("cpu/landfall/007/shims").is_dir() && at("cpu/landfall.007.d").is_dir());
    version_1::precede_dynos(tree.path()).unwrap();
    let platform = |file: &str| fs::read_to_string(at("cpu/landfall.platform").join(file));
    assert_eq!(platform("cpu.shares").unwrap(), "16384");
    assert_eq!(
        platform("cgroup.procs").unwrap(),
        std::process::id().to_string()
    );
    assert_eq!(groups.dynos(), ["d"]);
}

#[test]
fn version_1_alone_freezes_by_its_freezer() {
    let tree = tree_1(&["memory", "pids", "cpu", "freezer"]);
    let place = open(tree.path()).place("d");
    let freezer = tree.path().join("freezer/landfall/007/d");
    assert_eq!(place.freeze, Some(freezer.join("freezer.state")));
    assert_eq!(place.into, None);
    assert_eq!(place.tasks[0], freezer.join("tasks"));
    let tree = tree_1(&["memory", "pids", "cpu"]);
    assert_eq!(open(tree.path()).place("d").freeze, None);
}

#[test]
fn version_1_refuses_a_host_without_limits() {
    let tree = tree_1(&["memory", "cpu", "unified"]);
    let refused = Cgroups::open(tree.path(), "landfall/007").unwrap_err();
    let text = format!("{refused:?}");
    assert!(text.contains("`pids` is not mounted"), "{text}");
}

#[test]
fn a_host_is_described() {
    let tree = tree_2();
    let host = describe_at(tree.path());
    assert_eq!(host.version, CgroupVersion::Two);
    assert!(host.is_enough());
    let disk = host.controllers.last().unwrap();
    assert_eq!((disk.name, disk.is_there), ("io", false));
    assert_eq!(fs::read_dir(tree.path()).unwrap().count(), 1, "left behind");
    let tree = tree_1(&["memory", "cpu"]);
    let host = describe_at(tree.path());
    assert_eq!(host.version, CgroupVersion::One);
    assert!(!host.is_enough());
    let nothing = tempfile::tempdir().unwrap();
    assert_eq!(describe_at(nothing.path()).version, CgroupVersion::Absent);
}

/// Groups of a test on this host's real hierarchies, removed however it ends.
struct Real {
    groups: Cgroups,
    children: Vec<Child>,
}

impl Real {
    fn new(hierarchy: impl FnOnce(&str) -> io::Result<Arc<dyn Hierarchy>>) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("landfall-test-{}-{number}", std::process::id());
        let groups = hierarchy(&name).and_then(Cgroups::with_shims).unwrap();
        Self {
            groups,
            children: Vec::new(),
        }
    }

    /// A process in the dyno's groups, which it writes itself into before it runs `script`: it must
    /// end in an `exec`, so that it is one.
    fn run(&mut self, script: &str) -> u32 {
        let directories = self.groups.0.directories("d");
        let joins: Vec<String> = directories
            .iter()
            .map(|directory| format!("echo $$ > {}/cgroup.procs; ", directory.display()))
            .collect();
        let child = Command::new("sh")
            .arg("-ec")
            .arg(joins.concat() + script)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.children.push(child);
        self.children.last().unwrap().id()
    }

    fn processes(&self) -> Vec<String> {
        let directory = &self.groups.0.directories("d")[0];
        let processes = fs::read_to_string(directory.join("cgroup.procs")).unwrap();
        processes.lines().map(str::to_owned).collect()
    }

    /// Kills the dyno and reaps what this test started.
    async fn end(mut self) {
        for directory in self.groups.0.directories("d") {
            kill(&directory);
        }
        for mut child in std::mem::take(&mut self.children) {
            child.wait().unwrap();
        }
        self.groups.remove("d").await.unwrap();
        assert!(self.groups.dynos().is_empty());
        self.groups.remove_everything().await.unwrap();
        for directory in self.groups.0.directories(SHIMS) {
            assert!(!directory.parent().unwrap().exists());
        }
    }
}

impl Drop for Real {
    /// After a failure: nothing may be left to run, frozen or not.
    fn drop(&mut self) {
        for directory in self.groups.0.directories("d") {
            kill(&directory);
        }
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    #[expect(
        clippy::disallowed_methods,
        reason = "a deadline for the machine's own work"
    )]
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < DEADLINE, "never: {what}");
        std::thread::yield_now();
    }
}

/// The version 2 hierarchy of this host, whatever controllers it has; `None` without one.
fn unified() -> Option<PathBuf> {
    let mounts = [Path::new(MOUNT).join("unified"), MOUNT.into()];
    mounts
        .into_iter()
        .find(|mount| mount.join("cgroup.controllers").exists())
}

fn real_2() -> Option<Real> {
    let mount = unified()?;
    Some(Real::new(|name| {
        Ok(Arc::new(Version2::without_controllers(&mount, name)?))
    }))
}

/// Version 1 of this host, with or without the version 2 hierarchy beside it.
fn real_1(has_unified: bool) -> Option<(tempfile::TempDir, Real)> {
    let mount = Path::new(MOUNT);
    if !mount.join("memory/cgroup.procs").exists() {
        return None;
    }
    let tree = tempfile::tempdir().unwrap();
    for hierarchy in ["memory", "pids", "cpu", "freezer", "unified"] {
        let is_wanted = has_unified || hierarchy != "unified";
        if is_wanted && mount.join(hierarchy).exists() {
            symlink(mount.join(hierarchy), tree.path().join(hierarchy)).unwrap();
        }
    }
    let real = Real::new(|name| Ok(Arc::new(Version1::open(tree.path(), name)?)));
    Some((tree, real))
}

/// Forks into a group; the child sleeps until it is killed.
fn born_in(group: &Path) -> libc::pid_t {
    let group = fs::File::open(group).unwrap();
    let mut arguments = libc::clone_args {
        flags: CLONE_INTO_CGROUP,
        exit_signal: libc::SIGCHLD as u64,
        cgroup: u64::try_from(group.as_raw_fd()).unwrap(),
        // SAFETY: a structure of numbers, of which zero is each one's default.
        ..unsafe { std::mem::zeroed() }
    };
    // SAFETY: a fork without shared memory, whose child makes one system call over and over.
    unsafe {
        let child = libc::syscall(
            libc::SYS_clone3,
            &raw mut arguments,
            size_of::<libc::clone_args>(),
        );
        if child == 0 {
            libc::pause();
            libc::_exit(0);
        }
        assert!(child > 0, "{}", io::Error::last_os_error());
        libc::pid_t::try_from(child).unwrap()
    }
}

#[tokio::test]
async fn version_2_for_real_takes_in_freezes_and_kills() {
    let Some(real) = real_2() else { return };
    for directory in real.groups.0.directories("d") {
        fs::create_dir(directory).unwrap();
    }
    let place = real.groups.place("d");
    let directory = place.into.unwrap();
    let child = born_in(&directory);
    assert_eq!(real.processes(), [child.to_string()]);
    let events = || fs::read_to_string(directory.join("cgroup.events")).unwrap();
    assert!(events().contains("populated 1"));
    fs::write(place.freeze.as_ref().unwrap(), "1").unwrap();
    until("frozen", || events().contains("frozen 1"));
    let usage = real.groups.usage("d");
    assert!(usage.cpu_micros.is_some(), "{usage:?}");
    if Path::new("/proc/pressure/cpu").exists() {
        assert!(usage.pressure.is_some(), "{usage:?}");
    }
    // Frozen as it is.
    kill(&directory);
    let mut status = 0;
    // SAFETY: the child is this test's own; the status lives on.
    let ended = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!((ended, libc::WTERMSIG(status)), (child, libc::SIGKILL));
    until("empty", || events().contains("populated 0"));
    real.end().await;
}

#[tokio::test]
async fn version_2_for_real_moves_the_platform_out_of_the_way() {
    let Some(mut real) = real_2() else { return };
    let directory = real.groups.0.directories("d").remove(0);
    fs::create_dir(&directory).unwrap();
    let process = real.run("exec sleep 1000");
    until("joined", || real.processes() == [process.to_string()]);
    version_2::evacuate(&directory).unwrap();
    assert!(real.processes().is_empty());
    let below = directory.join("landfall-platform");
    let moved = fs::read_to_string(below.join("cgroup.procs")).unwrap();
    assert_eq!(moved.trim(), process.to_string());
    kill(&below);
    until("gone", || fs::remove_dir(&below).is_ok());
    real.end().await;
}

#[tokio::test]
async fn version_1_for_real_limits_counts_and_reclaims() {
    let Some((_tree, mut real)) = real_1(true) else {
        return;
    };
    let mut limits = LIMITS;
    limits.cpu_percent = Some(50);
    real.groups
        .create("d", &limits, DynoKind::Formation)
        .unwrap();
    for setting in real
        .groups
        .0
        .settings("d", &Wanted::new(&limits, DynoKind::Formation))
    {
        if let Ok(found) = fs::read_to_string(&setting.path) {
            assert_eq!(found.trim(), setting.value, "{}", setting.path.display());
        }
    }
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("file");
    // Dirty pages are no help in telling what can be reclaimed. `tail` keeps 16 MiB until its input
    // ends: memory of its own, many times what the kernel's counts are off by (a batch of pages per
    // core, so that a few pages may even be counted as none).
    let script = format!(
        "dd if=/dev/zero of={file} bs=1M count=32 conv=fsync 2>/dev/null; \
         {{ head -c 16M /dev/zero; touch {file}.done; exec sleep 1000; }} | tail -c 16M",
        file = file.display()
    );
    real.run(&script);
    until("written", || files.path().join("file.done").exists());
    let used = real.groups.usage("d");
    // A host that is short of memory takes pages back by itself meanwhile.
    assert!(used.cache_bytes >= 8 << 20, "{used:?}");
    assert!(
        (12 << 20..24 << 20).contains(&used.memory_bytes),
        "{used:?}"
    );
    assert!(used.cpu_micros.is_some_and(|micros| micros > 0), "{used:?}");
    real.groups.reclaim("d").unwrap();
    let left = real.groups.usage("d");
    assert!(left.cache_bytes < used.cache_bytes / 2, "{left:?}");
    real.end().await;
}

#[tokio::test]
async fn version_1_for_real_kills_what_is_frozen() {
    let Some((_tree, mut real)) = real_1(false) else {
        return;
    };
    real.groups
        .create("d", &LIMITS, DynoKind::Formation)
        .unwrap();
    let process = real.run("exec sleep 1000");
    until("joined", || real.processes() == [process.to_string()]);
    let freeze = real.groups.place("d").freeze.unwrap();
    assert!(freeze.ends_with("freezer.state"), "{freeze:?}");
    fs::write(&freeze, "FROZEN").unwrap();
    until("frozen", || {
        fs::read_to_string(&freeze).unwrap().trim() == "FROZEN"
    });
    real.end().await;
}
