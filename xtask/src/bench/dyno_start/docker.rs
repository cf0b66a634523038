//! `docker run` by a warm daemon of our own: its own directories and socket, no firewall rules, and
//! one bridge, all gone when it is dropped.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};

use super::{MEMORY_BYTES, PIDS, Starter, time};
use crate::{host, out, process, workspace};

const IMAGE: &str = "landfall-bench";
const NETWORK: &str = "landfall-bench";
const BRIDGE: &str = "lfbench0";
/// A network that hardly anybody uses; its first three numbers.
const SUBNET: [u8; 3] = [10, 254, 254];
const PORT: u16 = 5000;
const DAEMON: (Duration, Duration) = (Duration::from_mins(1), Duration::from_millis(50));

/// A daemon.
pub(super) struct Docker {
    daemon: Child,
    directory: PathBuf,
    next: u8,
}

impl Docker {
    /// Installs Docker if it is missing, starts a daemon, makes an image of nothing but the program.
    pub(super) fn open(program: &Path) -> Result<Self> {
        host::prepare(host::Purpose::CompareWithDocker)?;
        // The path of a socket must be short.
        let directory = PathBuf::from(format!("/tmp/landfall-bench-{}", std::process::id()));
        fs::create_dir_all(&directory)?;
        let log = fs::File::create(workspace::target().join("bench").join("dockerd.log"))?;
        let daemon = Command::new(process::find("dockerd").context("there is no dockerd")?)
            .arg("--data-root")
            .arg(directory.join("data"))
            .arg("--exec-root")
            .arg(directory.join("exec"))
            .arg("--pidfile")
            .arg(directory.join("pid"))
            .arg("--host")
            .arg(socket(&directory))
            .args(["--iptables=false", "--ip6tables=false", "--ip-masq=false"])
            .args(["--ip-forward=false", "--bridge=none"])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("could not start dockerd")?;
        let mut docker = Self {
            daemon,
            directory,
            next: 2,
        };
        docker.await_daemon()?;
        docker.import(program)?;
        docker.make_network()?;
        docker.start()?;
        Ok(docker)
    }

    fn await_daemon(&mut self) -> Result<()> {
        out::wait_until("dockerd", DAEMON, || {
            if let Some(status) = self.daemon.try_wait()? {
                anyhow::bail!("dockerd ended with {status}; see target/bench/dockerd.log");
            }
            Ok(process::output(self.docker().arg("version")).ok())
        })
        .map(drop)
    }

    fn import(&self, program: &Path) -> Result<()> {
        let root = self.directory.join("root");
        fs::create_dir_all(&root)?;
        fs::copy(program, root.join("program"))?;
        let archive = self.directory.join("root.tar");
        let mut tar = Command::new("tar");
        tar.arg("--create").arg("--file").arg(&archive);
        process::output(tar.arg("--directory").arg(&root).arg("."))?;
        let mut import = self.docker();
        process::output(import.arg("import").arg(&archive).arg(IMAGE)).map(drop)
    }

    fn make_network(&self) -> Result<()> {
        let [one, two, three] = SUBNET;
        let subnet = format!("{one}.{two}.{three}.0/24");
        let name = format!("com.docker.network.bridge.name={BRIDGE}");
        let mut create = self.docker();
        create.args(["network", "create", "--subnet", &subnet, "--opt", &name]);
        process::output(create.arg(NETWORK)).map(drop)
    }

    fn docker(&self) -> Command {
        let mut docker = Command::new("docker");
        docker.arg("--host").arg(socket(&self.directory));
        docker.env("DOCKER_CONFIG", &self.directory);
        docker
    }
}

impl Starter for Docker {
    fn start(&mut self) -> Result<f64> {
        let [one, two, three] = SUBNET;
        let number = self.next;
        self.next = if number == 250 { 2 } else { number + 1 };
        let address = Ipv4Addr::new(one, two, three, number);
        let (ip, mac) = (address.to_string(), format!("02:42:0a:fe:fe:{number:02x}"));
        // Whoever asks for an address that nobody has is kept waiting for a second; so the
        // neighbour, which Docker names after its address, is known before it is there.
        let mut neighbour = Command::new("ip");
        neighbour.args(["neighbour", "replace", &ip, "lladdr", &mac]);
        process::output(neighbour.args(["nud", "permanent", "dev", BRIDGE]))?;
        let name = format!("{IMAGE}-{number}");
        let mut run = self.docker();
        run.args(["run", "--rm", "--name", &name, "--network", NETWORK])
            .args(["--ip", &ip])
            .args(["--memory", &MEMORY_BYTES.to_string()])
            .args(["--pids-limit", &PIDS.to_string()])
            .args(["--user", "1000:1000", "--cap-drop", "ALL"])
            .args(["--env", &format!("PORT={PORT}"), IMAGE, "/program"])
            .stderr(Stdio::inherit());
        time(&mut run, (address, PORT).into(), || {
            drop(process::output(self.docker().args(["kill", &name])));
            // `--rm` works in the background; the next start shall not compete with it.
            out::wait_until("the last one to be gone", DAEMON, || {
                let mut list = self.docker();
                let names = process::output(list.args(["ps", "--all", "--quiet"]))?;
                Ok(names.trim().is_empty().then_some(()))
            })
        })
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        drop(process::output(
            self.docker().args(["network", "rm", NETWORK]),
        ));
        let pid = self.daemon.id().to_string();
        drop(process::output(Command::new("kill").args(["-TERM", &pid])));
        let ended = out::wait_until("dockerd to end", DAEMON, || Ok(self.daemon.try_wait()?));
        if ended.is_err() {
            drop(self.daemon.kill());
            drop(self.daemon.wait());
        }
        drop(process::output(
            Command::new("ip").args(["link", "delete", BRIDGE]),
        ));
        if let Err(error) = fs::remove_dir_all(&self.directory) {
            let place = self.directory.display();
            out::complain(format_args!("warning: {place} is not gone: {error}"));
        }
        let hierarchies = fs::read_dir("/sys/fs/cgroup").into_iter().flatten();
        for hierarchy in hierarchies.flatten() {
            drop(fs::remove_dir(hierarchy.path().join("docker")));
        }
    }
}

fn socket(directory: &Path) -> String {
    format!("unix://{}", directory.join("docker.sock").display())
}
