//! What the probe sees and reaches by ordinary means: files, processes, addresses.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    net::TcpListener,
    os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt},
    path::Path,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
};

use crate::{outcome::Outcome, tell};

/// More threads than a dyno may have.
const MANY_THREADS: usize = 4096;

/// Fields of `/proc/self/status`.
const STATUS: &[&str] = &[
    "Uid",
    "Gid",
    "Groups",
    "CapInh",
    "CapPrm",
    "CapEff",
    "CapBnd",
    "CapAmb",
    "NoNewPrivs",
    "Seccomp",
];
/// Places a dyno might try to write to: a new file is made in a directory, a file is opened.
const WRITES: &[&str] = &[
    "/",
    "/app",
    "/tmp",
    "/dev/shm",
    "/dev",
    "/etc",
    "/usr",
    "/usr/bin",
    "/usr/lib",
    "/var",
    "/var/lib",
    "/root",
    "/proc",
    "/sys",
    "/sys/fs/cgroup",
    "/etc/passwd",
    "/etc/ld.so.cache",
    "/usr/bin/bash",
    "/dev/null",
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/modprobe",
    "/proc/sys/kernel/hostname",
    "/proc/sys/net/ipv4/ip_forward",
    "/proc/sys/vm/drop_caches",
    "/proc/sysrq-trigger",
    "/proc/irq/default_smp_affinity",
    "/proc/self/oom_score_adj",
    "/proc/1/mem",
    "/sys/fs/cgroup/cgroup.procs",
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    "/sys/kernel/uevent_helper",
];
/// Files a dyno might try to read.
const READS: &[&str] = &[
    "/etc/os-release",
    "/etc/resolv.conf",
    "/dev/urandom",
    "/proc/meminfo",
    "/etc/shadow",
    "/proc/kcore",
    "/proc/kmsg",
    "/proc/keys",
    "/proc/timer_list",
    "/proc/sched_debug",
    "/proc/1/environ",
    "/proc/1/maps",
    "/dev/mem",
    "/dev/kmem",
    "/dev/kmsg",
    "/dev/vda",
    "/dev/sda",
    "/dev/fuse",
    "/dev/net/tun",
    "/dev/vsock",
    "/dev/kvm",
    "/sys/firmware/dmi/tables/DMI",
];
/// Places that must not be there or must not be entered.
const PLACES: &[&str] = &[
    "/proc/1/root/etc",
    "/proc/1/cwd/etc",
    "/run/landfall",
    "/run/docker.sock",
    "/var/run/docker.sock",
    "/run/systemd",
    "/sys/kernel",
    "/sys/class/net",
    "/lib/modules",
    "/boot/vmlinuz",
];

/// Whether this is a dyno: outside of one, some attempts would succeed and do harm.
pub(crate) fn are_confined() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().last() != Some("4294967295")
}

pub(crate) fn tell_all() {
    tell_status();
    tell("descriptors", &descriptors());
    tell("processes", &processes());
    tell("threads", &threads());
    for path in WRITES {
        tell(&format!("write {path}"), &write(Path::new(path)));
    }
    for path in READS {
        tell(&format!("read {path}"), &read(path));
    }
    for path in PLACES {
        tell(&format!("enter {path}"), &look_at(path));
    }
    tell("own setuid file", &own_setuid_file());
    tell("bind port 80", &TcpListener::bind("0.0.0.0:80").into());
    tell("bind port 5000", &TcpListener::bind("0.0.0.0:5000").into());
    tell("mount flags", &mount_flags());
    tell("mounts", &mounts());
    tell("devices", &devices());
    tell("writable in /proc", &writable_below("/proc"));
    tell("writable in /sys", &writable_below("/sys"));
    tell("user of the stack's su", &user_of_su());
}

fn tell_status() {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    for name in STATUS {
        let value = status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let words: Vec<&str> = value.unwrap_or("absent").split_whitespace().collect();
        tell(name, &Outcome::Told(words.join(" ")));
    }
}

/// Numbers of the open descriptors; must run before this program opens its own.
fn descriptors() -> Outcome {
    let numbers =
        (0..1024).filter(|number| fs::read_link(format!("/proc/self/fd/{number}")).is_ok());
    Outcome::Told(
        numbers
            .map(|number| number.to_string())
            .collect::<Vec<_>>()
            .join(" "),
    )
}

/// Names of all visible processes.
fn processes() -> Outcome {
    let mut names = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().parse::<u32>().is_ok() {
            let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            names.push(name.trim().to_owned());
        }
    }
    Outcome::Told(names.join(" "))
}

/// Makes threads until the kernel refuses.
fn threads() -> Outcome {
    let mut waiting = Vec::new();
    for _ in 0..MANY_THREADS {
        let (release, released) = mpsc::channel::<()>();
        let wait = move || released.recv().unwrap_or_default();
        match thread::Builder::new().stack_size(16 * 1024).spawn(wait) {
            Ok(thread) => waiting.push((release, thread)),
            Err(error) => return end_threads(waiting, error.into()),
        }
    }
    end_threads(waiting, Outcome::Done)
}

fn end_threads(
    waiting: Vec<(mpsc::Sender<()>, thread::JoinHandle<()>)>,
    outcome: Outcome,
) -> Outcome {
    for (release, thread) in waiting {
        drop(release);
        thread.join().expect("it only waited");
    }
    outcome
}

/// Makes a file in a directory, or opens a file for writing. What it can open it leaves unchanged.
fn write(path: &Path) -> Outcome {
    if path.is_dir() {
        let file = path.join(".probe");
        let made = File::create(&file).and_then(|mut file| file.write_all(b"probe"));
        drop(fs::remove_file(file));
        return made.into();
    }
    OpenOptions::new().write(true).open(path).into()
}

/// `ok` if there was something to read, `empty` if not.
pub(crate) fn read(path: &str) -> Outcome {
    let mut byte = [0];
    match File::open(path).and_then(|mut file| file.read(&mut byte)) {
        Ok(0) => Outcome::Told("empty".to_owned()),
        other => other.into(),
    }
}

/// Whether something is there, and if a directory, something in it.
pub(crate) fn look_at(path: &str) -> Outcome {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => match fs::read_dir(path).map(Iterator::count) {
            Ok(0) => Outcome::Told("empty".to_owned()),
            other => other.into(),
        },
        other => other.into(),
    }
}

/// Whether a set-user-id bit of this user's own making can be set and stays without effect.
fn own_setuid_file() -> Outcome {
    let attempt = || -> io::Result<Outcome> {
        let directory = Path::new("/tmp/setuid");
        fs::DirBuilder::new().mode(0o755).create(directory)?;
        let program = directory.join("probe");
        fs::copy("/proc/self/exe", &program)?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o6755))?;
        Ok(run_whoami(&program.to_string_lossy()))
    };
    attempt().unwrap_or_else(Outcome::from)
}

/// The effective user of a program that may have a set-user-id bit: this one under another name.
pub(crate) fn run_whoami(program: &str) -> Outcome {
    match Command::new(program).arg("whoami").output() {
        Ok(output) => Outcome::Told(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        Err(error) => error.into(),
    }
}

pub(crate) fn effective_uid() -> Outcome {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    let effective = ids.and_then(|ids| ids.split_whitespace().nth(1));
    Outcome::Told(effective.unwrap_or("unknown").to_owned())
}

/// Mounts that lack `nosuid`, or `nodev` where devices are not meant to be: outside of `/dev`, and
/// of single files, behind which `/dev/null` may stand.
fn mount_flags() -> Outcome {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mut weak = Vec::new();
    for line in mounts.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let [_, place, _, options, ..] = fields.as_slice() else {
            continue;
        };
        let has = |option| options.split(',').any(|present| present == option);
        let may_be_device = place.starts_with("/dev") || !Path::new(place).is_dir();
        if !has("nosuid") || !(has("nodev") || may_be_device) {
            weak.push(format!("{place} ({options})"));
        }
    }
    Outcome::Told(if weak.is_empty() {
        "all strict".to_owned()
    } else {
        weak.join(", ")
    })
}

/// Types of all mounted file systems.
fn mounts() -> Outcome {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let types: BTreeSet<&str> = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(2))
        .collect();
    Outcome::Told(types.into_iter().collect::<Vec<_>>().join(" "))
}

/// Names of all device nodes.
fn devices() -> Outcome {
    let mut names = BTreeSet::new();
    for directory in ["/dev", "/dev/pts", "/dev/shm"] {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let is_device = entry
                .file_type()
                .is_ok_and(|kind| kind.is_char_device() || kind.is_block_device());
            if is_device {
                names.insert(entry.file_name().to_string_lossy().into_owned());
            }
        }
    }
    Outcome::Told(names.into_iter().collect::<Vec<_>>().join(" "))
}

/// Files that can be opened for writing, but for those of processes, which are the dyno's own.
fn writable_below(root: &str) -> Outcome {
    let mut found = Vec::new();
    let mut directories = vec![Path::new(root).to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let is_process = name.to_string_lossy().parse::<u32>().is_ok();
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            if kind.is_dir() && !is_process {
                directories.push(entry.path());
            } else if kind.is_file() && is_writable_file(&entry.path()) {
                found.push(entry.path().to_string_lossy().into_owned());
            }
        }
    }
    if found.is_empty() {
        found.push("none".to_owned());
    }
    found.sort_unstable();
    Outcome::Told(found.join(" "))
}

/// Whether it can be opened for writing and is not `/dev/null` laid over a file.
fn is_writable_file(path: &Path) -> bool {
    let opened = OpenOptions::new().write(true).open(path);
    opened.is_ok_and(|file| file.metadata().is_ok_and(|metadata| metadata.is_file()))
}

/// Which user a program runs as that the stack marks to run as root.
fn user_of_su() -> Outcome {
    let started = Command::new("/usr/bin/su")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut su = match started {
        Ok(su) => su,
        Err(error) => return error.into(),
    };
    let status = fs::read_to_string(format!("/proc/{}/status", su.id())).unwrap_or_default();
    // It may have ended by itself.
    drop(su.kill());
    drop(su.wait());
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    let ids: Vec<&str> = ids.unwrap_or("unknown").split_whitespace().collect();
    Outcome::Told(ids.join(" "))
}
