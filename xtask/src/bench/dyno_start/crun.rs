//! `crun run`, confined as a dyno is: the same root filesystem, limits, namespaces, system calls, no
//! capabilities, and a network that was made beforehand.
//!
//! Where both versions of cgroups are mounted crun refuses to run. So a driver (this program, called
//! with [`DRIVE`]) runs it in a mount namespace of its own, from which version 2 is taken away.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::{LIMITS, MEMORY_BYTES, PIDS, Starter, answers, time};
use crate::{host, out, process, stack, workspace};

/// The hidden command that starts the program by crun, once for each line it reads.
pub(crate) const DRIVE: &str = "bench-crun";

/// Its network namespace, and the link into it: the host's end, both addresses.
const NETNS: &str = "landfall-bench";
const LINK: &str = "lfbench1";
const HOST_ADDRESS: &str = "10.254.253.0/31";
const ADDRESS: [u8; 4] = [10, 254, 253, 1];
const PORT: u16 = 5000;
/// Host ids that ids inside stand for.
const FIRST_UID: u32 = 0x7fc0_0000;
const UIDS: u32 = 65_536;
const UNIFIED: &str = "/sys/fs/cgroup/unified";
/// Above the control groups of its own.
const GROUP: &str = "landfall-bench";
/// What a dyno may ask the kernel, from its engine's own list.
const SECCOMP: &str = include_str!("../../../../crates/engine-local/src/seccomp.rs");

/// The driver.
pub(super) struct Crun {
    child: Child,
    go: Option<ChildStdin>,
    said: BufReader<ChildStdout>,
}

impl Crun {
    /// Installs crun if it is missing, and tries it.
    pub(super) fn open(program: &Path) -> Result<Self> {
        host::prepare(host::Purpose::CompareWithCrun)?;
        make_network()?;
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--propagation", "private"])
            .arg(std::env::current_exe()?)
            .arg(DRIVE)
            .arg(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().context("could not start unshare")?;
        let go = child.stdin.take();
        let said = child.stdout.take().context("its output is piped")?;
        let said = BufReader::new(said);
        let mut crun = Self { child, go, said };
        crun.start()?;
        Ok(crun)
    }
}

impl Starter for Crun {
    fn start(&mut self) -> Result<f64> {
        self.go.as_mut().context("it is open")?.write_all(b"\n")?;
        let mut line = String::new();
        if self.said.read_line(&mut line)? == 0 {
            bail!("it said why above");
        }
        line.trim().parse().context("it says seconds")
    }
}

impl Drop for Crun {
    /// The end of its input ends it.
    fn drop(&mut self) {
        drop(self.go.take());
        drop(self.child.wait());
        // The link goes with its namespace.
        drop(ip(&["netns", "delete", NETNS]));
        let hierarchies = fs::read_dir("/sys/fs/cgroup").into_iter().flatten();
        for hierarchy in hierarchies.flatten() {
            drop(fs::remove_dir(hierarchy.path().join(GROUP)));
        }
    }
}

/// The driver's life.
pub(crate) fn drive(arguments: &[String]) -> Result<()> {
    let [program] = arguments else {
        bail!("{DRIVE} takes a program");
    };
    if Path::new(UNIFIED).join("cgroup.procs").exists() {
        process::output(Command::new("umount").arg(UNIFIED))?;
    }
    let bundle = workspace::target().join("bench").join("crun");
    fs::create_dir_all(&bundle)?;
    for (number, line) in std::io::stdin().lines().enumerate() {
        line?;
        out::say(start(&bundle, Path::new(program), number)?);
    }
    Ok(())
}

fn make_network() -> Result<()> {
    let address = format!("{}/31", std::net::Ipv4Addr::from(ADDRESS));
    let peer = ["peer", "name", "eth0", "netns", NETNS];
    ip(&["netns", "add", NETNS])?;
    ip(&[&["link", "add", LINK, "type", "veth"], &peer[..]].concat())?;
    ip(&["address", "add", HOST_ADDRESS, "dev", LINK])?;
    ip(&["link", "set", LINK, "up"])?;
    ip(&["-netns", NETNS, "address", "add", &address, "dev", "eth0"])?;
    ip(&["-netns", NETNS, "link", "set", "eth0", "up"])
}

fn ip(arguments: &[&str]) -> Result<()> {
    process::output(Command::new("ip").args(arguments)).map(drop)
}

fn start(bundle: &Path, program: &Path, number: usize) -> Result<f64> {
    let name = format!("{GROUP}-{}-{number}", std::process::id());
    let config = config(program, &name);
    fs::write(bundle.join("config.json"), serde_json::to_vec(&config)?)?;
    let mut command = Command::new("crun");
    command.arg("run").arg("--bundle").arg(bundle).arg(&name);
    time(&mut command, (ADDRESS, PORT).into(), || {
        // It may answer before crun has written down that it runs.
        out::wait_until("crun to delete it", LIMITS, || {
            let mut delete = Command::new("crun");
            Ok(process::output(delete.args(["delete", "--force", &name])).ok())
        })?;
        out::wait_until("the program to be gone", LIMITS, || {
            Ok((!answers((ADDRESS, PORT).into())).then_some(()))
        })
    })
}

fn config(program: &Path, name: &str) -> Value {
    let root: PathBuf = stack::directory();
    let none: [&str; 0] = [];
    let ids = json!([{"containerID": 0, "hostID": FIRST_UID, "size": UIDS}]);
    json!({
        "ociVersion": "1.0.2",
        "root": {"path": root, "readonly": true},
        "hostname": "web.1",
        "process": {
            "user": {"uid": 1000, "gid": 1000},
            "cwd": "/",
            "args": ["/run/program"],
            "env": [format!("PORT={PORT}"), "PATH=/usr/bin:/bin"],
            "capabilities": {
                "bounding": none, "effective": none, "permitted": none, "ambient": none,
            },
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 10_000, "soft": 10_000}],
            "noNewPrivileges": true,
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
            {"destination": "/run", "type": "tmpfs", "source": "tmpfs"},
            {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"},
            {
                "destination": "/run/program",
                "type": "bind",
                "source": program,
                "options": ["bind", "ro"],
            },
        ],
        "linux": {
            "cgroupsPath": format!("/{GROUP}/{name}"),
            "resources": {
                "memory": {"limit": MEMORY_BYTES},
                "pids": {"limit": PIDS},
                "cpu": {"shares": 1024},
            },
            "namespaces": [
                {"type": "user"}, {"type": "pid"}, {"type": "mount"}, {"type": "ipc"},
                {"type": "uts"}, {"type": "cgroup"},
                {"type": "network", "path": format!("/run/netns/{NETNS}")},
            ],
            "uidMappings": ids,
            "gidMappings": ids,
            "maskedPaths": ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"],
            "seccomp": {
                "defaultAction": "SCMP_ACT_ERRNO",
                "syscalls": [{"names": allowed(SECCOMP), "action": "SCMP_ACT_ALLOW"}],
            },
        },
    })
}

/// Names of system calls in the engine's source: `SYS_read` → `read`.
fn allowed(source: &str) -> Vec<&str> {
    let is_of_a_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let mut names: Vec<&str> = source
        .split(|letter| !is_of_a_name(letter))
        .filter_map(|word| word.strip_prefix("SYS_"))
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_the_engine_is_found() {
        let names = allowed(SECCOMP);
        assert!(names.len() > 200, "{}", names.len());
        assert!(names.contains(&"execve") && names.contains(&"accept4"));
        assert_eq!(allowed("calls![SYS_b SYS_a\n SYS_b]"), ["a", "b"]);
    }
}
