//! The proxies under test, started with one thread each in front of the same app.

use std::{
    cell::RefCell,
    fs::{self, File},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};

use super::{
    configs::{self, Place},
    programs::{Partner, Programs},
};
use crate::{
    host, out,
    process::{self, Killed},
};

/// Ours, in tables.
pub(super) const OURS: &str = "landfall";
/// What it is compared with, as in figures.
pub(super) const PEERS: &[&str] = &["nginx", "haproxy", "caddy"];
/// Hosts that each proxy knows.
pub(super) const HOSTS: usize = 100;
/// For a proxy to listen.
const LIMITS: (Duration, Duration) = (Duration::from_secs(20), Duration::from_millis(20));

/// One that runs.
pub(super) struct Proxy {
    pub(super) name: &'static str,
    place: Place,
    log: Log,
    process: Killed,
}

/// Where its access lines are.
enum Log {
    /// A line each, in a file.
    File(PathBuf),
    /// Counted by who takes them off the router's hands.
    Spool(RefCell<Partner>),
}

/// Ours first, then every peer that this machine has or can get.
pub(super) fn start_all(programs: &Programs, app: u16) -> Result<Vec<Proxy>> {
    fs::create_dir_all(super::directory())?;
    let ours = start_ours(programs, app, HOSTS)?;
    let (certificate, key) = (ours.place.certificate.clone(), ours.place.key.clone());
    let mut proxies = vec![ours];
    if let Err(error) = host::prepare(host::Purpose::CompareWithProxies) {
        out::say(format_args!("no peers could be installed: {error:#}"));
    }
    for &name in PEERS {
        let Some(program) = process::find(name) else {
            out::say(format_args!("{name}: not installed, left out"));
            continue;
        };
        let place = Place::new(&super::directory().join(name), app)?;
        let place = Place {
            certificate: certificate.clone(),
            key: key.clone(),
            ..place
        };
        match start_peer(name, &program, place) {
            Ok(peer) => proxies.push(peer),
            Err(error) => out::say(format_args!("{name}: left out: {error:#}")),
        }
    }
    Ok(proxies)
}

/// Takes the router out of the group of processes that it may have joined to go before others for
/// processor time: who does is woken sooner, for less to do each time, and the peers are not in it.
fn weigh_alike(router: u32) -> Result<()> {
    let group = |pid: &str| -> Result<Option<String>> {
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
        let named = |line: &str| Some(line.split_once(":cpu:/")?.1.to_owned());
        Ok(groups.lines().find_map(named))
    };
    let router = router.to_string();
    if let (Some(ours), Some(theirs)) = (group("self")?, group(&router)?)
        && ours != theirs
    {
        let processes = Path::new("/sys/fs/cgroup/cpu")
            .join(ours)
            .join("cgroup.procs");
        fs::write(processes, router)?;
    }
    Ok(())
}

/// The real `landfall router`, told its routes as by a server.
pub(super) fn start_ours(programs: &Programs, app: u16, hosts: usize) -> Result<Proxy> {
    let directory = super::directory().join(format!("{OURS}-{hosts}"));
    let (place, process) = start_router(programs, &directory, app)?;
    let (partner, ready) = programs.start(&[
        "routes".to_owned(),
        format!("socket={}", socket(&directory)),
        format!("spool={}", directory.join("router/spool").display()),
        format!("upstream={app}"),
        format!("apps={hosts}"),
    ])?;
    if ready != "ready" {
        bail!("the routes were not taken: {ready}");
    }
    Ok(Proxy {
        name: OURS,
        place,
        log: Log::Spool(RefCell::new(partner)),
        process,
    })
}

/// The router alone, without any route.
pub(super) fn start_router(
    programs: &Programs,
    directory: &Path,
    app: u16,
) -> Result<(Place, Killed)> {
    let place = Place::new(directory, app)?;
    let log = File::create(directory.join("output"))?;
    let mut command = Command::new(&programs.landfall);
    command
        .args(["router", "--threads", "1", "--data"])
        .arg(directory)
        .args(["--http", &place.plain, "--https", &place.tls])
        .stdout(log.try_clone()?)
        .stderr(log);
    let mut process = Killed::spawn(&mut command)?;
    await_listening(OURS, &place, &mut process)?;
    weigh_alike(process.0.id())?;
    let place = Place {
        certificate: directory.join("ca/server.pem"),
        key: directory.join("ca/server.key"),
        ..place
    };
    Ok((place, process))
}

/// Where a router in this directory waits for the server.
pub(super) fn socket(directory: &Path) -> String {
    directory.join("run/router.sock").display().to_string()
}

fn start_peer(name: &'static str, program: &Path, place: Place) -> Result<Proxy> {
    let access = place.directory.join("access.log");
    let log = File::options().create(true).append(true).open(&access)?;
    let output = File::create(place.directory.join("output"))?;
    let mut command = Command::new(program);
    command.stderr(output.try_clone()?);
    match name {
        "nginx" => {
            let file = place.keep("nginx.conf", &configs::nginx(&place))?;
            command.arg("-p").arg(&place.directory).arg("-c").arg(file);
            command.stdout(output);
        }
        "haproxy" => {
            place.keep("hosts.map", &configs::haproxy_map())?;
            let pair = [&place.certificate, &place.key].map(fs::read_to_string);
            let [certificate, key] = pair;
            place.keep("server.pem", &format!("{}{}", certificate?, key?))?;
            let file = place.keep("haproxy.cfg", &configs::haproxy(&place))?;
            command.arg("-db").arg("-f").arg(file).stdout(log);
        }
        "caddy" => {
            let file = place.keep("caddy.json", &configs::caddy(&place).to_string())?;
            command.args(["run", "--config"]).arg(file).stdout(output);
            command.env("GOMAXPROCS", "1").env("HOME", &place.directory);
        }
        other => bail!("there is no peer {other}"),
    }
    let mut process = Killed::spawn(command.stdin(Stdio::null()))?;
    await_listening(name, &place, &mut process)?;
    Ok(Proxy {
        name,
        place,
        log: Log::File(access),
        process,
    })
}

fn await_listening(name: &str, place: &Place, process: &mut Killed) -> Result<()> {
    out::wait_until(&format!("{name} to listen"), LIMITS, || {
        if let Some(status) = process.0.try_wait()? {
            let output = fs::read_to_string(place.directory.join("output"))?;
            bail!("{name} ended with {status}: {output}");
        }
        let is_there =
            [&place.plain, &place.tls].map(|address| TcpStream::connect(address).is_ok());
        Ok((is_there == [true; 2]).then_some(()))
    })
}

impl Proxy {
    /// Where it takes requests.
    pub(super) fn address(&self, is_tls: bool) -> &str {
        if is_tls {
            &self.place.tls
        } else {
            &self.place.plain
        }
    }

    /// Of its first process.
    pub(super) fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// How many access lines it has written.
    pub(super) fn lines(&self) -> Result<usize> {
        match &self.log {
            Log::File(path) => {
                let text = fs::read_to_string(path)?;
                Ok(text
                    .lines()
                    .filter(|line| line.contains(".localhost"))
                    .count())
            }
            Log::Spool(partner) => {
                let count = partner.borrow_mut().answer()?;
                count.parse().context("a count of lines")
            }
        }
    }

    /// Keeps the disk from filling up.
    pub(super) fn forget_log(&self) {
        if let Log::File(path) = &self.log {
            drop(File::options().write(true).truncate(true).open(path));
        }
    }
}

impl Place {
    /// An empty directory and two free ports.
    fn new(directory: &Path, app: u16) -> Result<Self> {
        match fs::remove_dir_all(directory) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        fs::create_dir_all(directory)?;
        let [plain, tls] = [
            TcpListener::bind("127.0.0.1:0")?,
            TcpListener::bind("127.0.0.1:0")?,
        ];
        Ok(Self {
            directory: directory.to_owned(),
            plain: plain.local_addr()?.to_string(),
            tls: tls.local_addr()?.to_string(),
            app,
            certificate: PathBuf::new(),
            key: PathBuf::new(),
        })
    }

    fn keep(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.directory.join(name);
        fs::write(&path, text)?;
        Ok(path)
    }
}
