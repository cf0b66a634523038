//! `crun run`, in a network that was made beforehand, in two ways: [`Confinement::Bare`], with the
//! root filesystem, limits and namespaces a dyno has and a plain list of system calls; and
//! [`Confinement::Dyno`], with what a dyno has beyond that, as far as crun can.
//!
//! Where both versions of cgroups are mounted crun refuses to run. So a driver (this program, called
//! with [`DRIVE`]) runs it in a mount namespace of its own, from which version 2 is taken away.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::Ipv4Addr,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::{LIMITS, MEMORY_BYTES, PIDS, Starter, answers, time};
use crate::{host, out, process, stack, workspace};

/// The hidden command that starts the program by crun, once for each line it reads.
pub(crate) const DRIVE: &str = "bench-crun";

const PORT: u16 = 5000;
/// Host ids that ids inside stand for.
const FIRST_UID: u32 = 0x7fc0_0000;
const UIDS: u32 = 65_536;
const UNIFIED: &str = "/sys/fs/cgroup/unified";
/// Above the control groups of its own.
const GROUP: &str = "landfall-bench";
/// Parts of `/proc` that a dyno has hidden, and has read-only.
const MASKED: [&str; 11] = [
    "kcore",
    "keys",
    "latency_stats",
    "timer_list",
    "sched_debug",
    "kallsyms",
    "kmsg",
    "acpi",
    "asound",
    "pressure",
    "scsi",
];
const READ_ONLY: [&str; 5] = ["bus", "fs", "irq", "sys", "sysrq-trigger"];

/// How much of a dyno's confinement it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Confinement {
    /// Root, limits, namespaces, and the names of system calls.
    Bare,
    /// Also the rules for arguments, sized file systems, overlays, files for `/etc`, all masks.
    Dyno,
}

impl Confinement {
    fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Dyno => "dyno",
        }
    }

    /// Its network namespace.
    fn netns(self) -> String {
        format!("landfall-bench-{}", self.name())
    }

    /// The link into that: the host's end.
    fn link(self) -> &'static str {
        match self {
            Self::Bare => "lfbench1",
            Self::Dyno => "lfbench2",
        }
    }

    /// The host's address, and the one inside.
    fn addresses(self) -> [Ipv4Addr; 2] {
        let first = match self {
            Self::Bare => 0,
            Self::Dyno => 2,
        };
        [first, first + 1].map(|last| Ipv4Addr::new(10, 254, 253, last))
    }
}

/// The driver.
pub(super) struct Crun {
    confinement: Confinement,
    child: Child,
    go: Option<ChildStdin>,
    said: BufReader<ChildStdout>,
}

impl Crun {
    /// Installs crun if it is missing, and tries it.
    pub(super) fn open(profile: &str, program: &Path, confinement: Confinement) -> Result<Self> {
        host::prepare(host::Purpose::CompareWithCrun)?;
        make_network(confinement)?;
        let mut rules = Command::new(workspace::landfall(profile));
        let rules = process::output(rules.arg("bench:oci-seccomp"))?;
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--propagation", "private"])
            .arg(std::env::current_exe()?)
            .arg(DRIVE)
            .arg(program)
            .arg(confinement.name())
            .arg(rules.trim())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().context("could not start unshare")?;
        let go = child.stdin.take();
        let said = child.stdout.take().context("its output is piped")?;
        let said = BufReader::new(said);
        let mut crun = Self {
            confinement,
            child,
            go,
            said,
        };
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
        drop(ip(&["netns", "delete", &self.confinement.netns()]));
        let hierarchies = fs::read_dir("/sys/fs/cgroup").into_iter().flatten();
        for hierarchy in hierarchies.flatten() {
            drop(fs::remove_dir(hierarchy.path().join(GROUP)));
        }
    }
}

/// The driver's life.
pub(crate) fn drive(arguments: &[String]) -> Result<()> {
    let [program, confinement, rules] = arguments else {
        bail!("{DRIVE} takes a program, its confinement and rules");
    };
    if Path::new(UNIFIED).join("cgroup.procs").exists() {
        process::output(Command::new("umount").arg(UNIFIED))?;
    }
    let confinement = if confinement == Confinement::Bare.name() {
        Confinement::Bare
    } else {
        Confinement::Dyno
    };
    let bundle = workspace::target().join("bench").join(confinement.netns());
    fs::create_dir_all(&bundle)?;
    let driver = Driver {
        confinement,
        program: program.into(),
        rules: serde_json::from_str(rules)?,
        bundle,
    };
    for (number, line) in std::io::stdin().lines().enumerate() {
        line?;
        out::say(driver.start(number)?);
    }
    fs::remove_dir_all(&driver.bundle).context("the bundle can be removed")
}

fn make_network(confinement: Confinement) -> Result<()> {
    let (netns, link) = (confinement.netns(), confinement.link());
    let [outside, inside] = confinement
        .addresses()
        .map(|address| format!("{address}/31"));
    let peer = ["peer", "name", "eth0", "netns", &netns];
    ip(&["netns", "add", &netns])?;
    ip(&[&["link", "add", link, "type", "veth"], &peer[..]].concat())?;
    ip(&["address", "add", &outside, "dev", link])?;
    ip(&["link", "set", link, "up"])?;
    ip(&["-netns", &netns, "address", "add", &inside, "dev", "eth0"])?;
    ip(&["-netns", &netns, "link", "set", "eth0", "up"])
}

fn ip(arguments: &[&str]) -> Result<()> {
    process::output(Command::new("ip").args(arguments)).map(drop)
}

struct Driver {
    confinement: Confinement,
    program: PathBuf,
    rules: Value,
    bundle: PathBuf,
}

impl Driver {
    fn start(&self, number: usize) -> Result<f64> {
        let name = format!(
            "{GROUP}-{}-{}-{number}",
            self.confinement.name(),
            std::process::id()
        );
        let writable = self.bundle.join(number.to_string());
        let config = match self.confinement {
            Confinement::Bare => self.bare(&name),
            Confinement::Dyno => self.dyno(&name, &writable)?,
        };
        fs::write(
            self.bundle.join("config.json"),
            serde_json::to_vec(&config)?,
        )?;
        let mut command = Command::new("crun");
        command
            .arg("run")
            .arg("--bundle")
            .arg(&self.bundle)
            .arg(&name);
        let [_, address] = self.confinement.addresses();
        time(&mut command, (address, PORT).into(), || {
            // It may answer before crun has written down that it runs.
            out::wait_until("crun to delete it", LIMITS, || {
                let mut delete = Command::new("crun");
                Ok(process::output(delete.args(["delete", "--force", &name])).ok())
            })?;
            out::wait_until("the program to be gone", LIMITS, || {
                Ok((!answers((address, PORT).into())).then_some(()))
            })
        })
    }

    fn bare(&self, name: &str) -> Value {
        let root: PathBuf = stack::directory();
        let none: [&str; 0] = [];
        let ids = json!([{"containerID": 0, "hostID": FIRST_UID, "size": UIDS}]);
        let netns = format!("/run/netns/{}", self.confinement.netns());
        let with_conditions = json!({
            "names": ["clone", "clone3", "personality", "socket"],
            "action": "SCMP_ACT_ALLOW",
        });
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
                "rlimits": [limit("NOFILE", 10_000)],
                "noNewPrivileges": true,
            },
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
                {"destination": "/run", "type": "tmpfs", "source": "tmpfs"},
                {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"},
                self.program(),
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
                    {"type": "uts"}, {"type": "cgroup"}, {"type": "network", "path": netns},
                ],
                "uidMappings": ids,
                "gidMappings": ids,
                "maskedPaths": ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list"],
                "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"],
                "seccomp": {
                    "defaultAction": self.rules["defaultAction"],
                    "syscalls": [self.rules["syscalls"][0], with_conditions],
                },
            },
        })
    }

    /// The rest of what a dyno has. Directories of its own are made beforehand, as the engine does.
    fn dyno(&self, name: &str, writable: &Path) -> Result<Value> {
        let all = |names: &[&str]| names.iter().map(|name| format!("/proc/{name}")).collect();
        let [masked, read_only]: [Vec<String>; 2] = [all(&MASKED), all(&READ_ONLY)];
        let most = 2 * MEMORY_BYTES;
        let mut config = self.bare(name);
        config["process"]["cwd"] = json!("/app");
        config["process"]["oomScoreAdj"] = json!(500);
        config["process"]["rlimits"] = json!([
            limit("NOFILE", 10_000),
            limit("CORE", 0),
            limit("MEMLOCK", 64 << 10),
        ]);
        config["linux"]["resources"] = json!({
            "memory": {"limit": most, "swap": most, "kernelTCP": MEMORY_BYTES},
            "pids": {"limit": PIDS + 1},
            "cpu": {"shares": 1024},
        });
        config["linux"]["maskedPaths"] = json!(masked);
        config["linux"]["readonlyPaths"] = json!(read_only);
        config["linux"]["seccomp"] = self.rules.clone();
        config["mounts"] = json!(self.mounts(writable)?);
        Ok(config)
    }

    fn mounts(&self, writable: &Path) -> Result<Vec<Value>> {
        let [lower, upper, work, etc] =
            ["lower", "upper", "work", "etc"].map(|part| writable.join(part));
        for directory in [&lower, &upper, &work, &etc] {
            fs::create_dir_all(directory)?;
        }
        for owned in [&upper, &work] {
            chown(owned, Some(FIRST_UID), Some(FIRST_UID))?;
        }
        for (file, content) in [
            ("hosts", "127.0.0.1 localhost\n"),
            ("hostname", "web.1\n"),
            ("resolv.conf", "nameserver 10.254.253.2\n"),
        ] {
            fs::write(etc.join(file), content)?;
        }
        let app = format!(
            "nosuid,nodev,lowerdir={},upperdir={},workdir={},volatile",
            lower.display(),
            upper.display(),
            work.display()
        );
        let system = stack::directory().join("etc");
        let etc = format!(
            "nosuid,nodev,ro,lowerdir={}:{}",
            etc.display(),
            system.display()
        );
        let pts = "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620";
        Ok(vec![
            mount("/proc", "proc", "nosuid,nodev,noexec"),
            mount("/dev", "tmpfs", "nosuid,noexec,mode=755,size=64k"),
            mount("/dev/pts", "devpts", pts),
            mount(
                "/dev/shm",
                "tmpfs",
                "nosuid,nodev,noexec,mode=1777,size=512m",
            ),
            mount("/run", "tmpfs", "nosuid,nodev,mode=755,size=16m"),
            mount("/tmp", "tmpfs", "nosuid,nodev,mode=1777,size=512m"),
            mount("/app", "overlay", &app),
            mount("/etc", "overlay", &etc),
            self.program(),
        ])
    }

    fn program(&self) -> Value {
        json!({
            "destination": "/run/program",
            "type": "bind",
            "source": self.program,
            "options": ["bind", "ro"],
        })
    }
}

fn limit(name: &str, value: u64) -> Value {
    json!({"type": format!("RLIMIT_{name}"), "hard": value, "soft": value})
}

fn mount(destination: &str, kind: &str, options: &str) -> Value {
    let options: Vec<&str> = options.split(',').collect();
    json!({"destination": destination, "type": kind, "source": kind, "options": options})
}
