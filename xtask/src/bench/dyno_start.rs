//! `xtask bench dyno-start`: from starting a dyno to its first HTTP 200, against the same tiny
//! program started by fork/exec, and by `crun` where installed.
//!
//! The program is this very `xtask`, called with [`SERVE`]: a web server in a few lines.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};
use serde_json::json;

use super::samples::{Series, ratio, report};
use crate::{
    http,
    out::{self, Stopwatch},
    process, stack, workspace,
};

/// The hidden command that serves `200 ok` on `$PORT`.
pub(crate) const SERVE: &str = "bench-serve";

const ROUNDS: usize = 30;
const LIMITS: (Duration, Duration) = (Duration::from_secs(10), Duration::from_micros(200));

/// Runs it.
pub(crate) fn run(profile: &str) -> Result<()> {
    let program = std::env::current_exe()?;
    out::step("fork/exec");
    let bare = Series::new(
        "fork_exec",
        rounds(|port| start(&mut plain(&program, port)))?,
    );
    out::step("dyno");
    let dyno = Series::new("dyno", dynos(profile, &program)?);
    let mut series = vec![bare, dyno];
    if process::find("crun").is_none() {
        out::say("crun: not installed, left out");
    } else {
        out::step("crun");
        let bundle = workspace::target().join("bench").join("crun");
        match rounds(|port| crun(&bundle, &program, port)) {
            Ok(seconds) => series.push(Series::new("crun", seconds)),
            // It refuses hosts with cgroups of both versions.
            Err(error) => out::say(format_args!("crun: does not run here, left out: {error:#}")),
        }
    }
    report("dyno-start", &series)?;
    ratio("dyno-start.dyno_vs_fork_exec", &series[1], &series[0]);
    if let Some(crun) = series.get(2) {
        ratio("dyno-start.dyno_vs_crun", &series[1], crun);
    }
    Ok(())
}

fn rounds(mut one: impl FnMut(u16) -> Result<f64>) -> Result<Vec<f64>> {
    (0..ROUNDS).map(|_| one(free_port()?)).collect()
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// The engine's own measurements: `landfall bench:dyno-start` prints seconds, one per line.
fn dynos(profile: &str, program: &Path) -> Result<Vec<f64>> {
    let mut command = Command::new(workspace::landfall(profile));
    command
        .args(["bench:dyno-start", "--count", &ROUNDS.to_string(), "--data"])
        .arg(workspace::target().join("bench").join("dyno-start"))
        .arg("--program")
        .arg(program)
        .args(["--argument", SERVE]);
    let printed = process::output(&mut command)?;
    printed
        .lines()
        .map(|line| line.parse().context("a line is no number"))
        .collect()
}

fn plain(program: &Path, port: u16) -> Command {
    let mut command = Command::new(program);
    command.arg(SERVE).env("PORT", port.to_string());
    command
}

/// Starts a command and gives the seconds until port `PORT` of its environment answered.
fn start(command: &mut Command) -> Result<f64> {
    let port = command
        .get_envs()
        .find_map(|(name, value)| (name == "PORT").then_some(value?.to_str()?.to_owned()))
        .context("PORT is set")?;
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let watch = Stopwatch::start();
    let mut child = process::Killed::spawn(command)?;
    let address = format!("127.0.0.1:{port}");
    out::wait_until("the first answer", LIMITS, || {
        child
            .0
            .try_wait()?
            .map_or(Ok(()), |status| Err(anyhow::anyhow!("it ended: {status}")))?;
        Ok(http::get(&address, "localhost", "/")
            .ok()
            .filter(|answer| answer.status == 200))
    })?;
    Ok(watch.seconds())
}

/// The same in a container of `crun` on the stack's root filesystem. It keeps the host's
/// network, which spares it the cost of a virtual link that a dyno pays.
fn crun(bundle: &Path, program: &Path, port: u16) -> Result<f64> {
    fs::create_dir_all(bundle)?;
    let name = format!("landfall-bench-{port}");
    let config = json!({
        "ociVersion": "1.0.2",
        "root": {"path": stack::directory(), "readonly": true},
        "process": {
            "user": {"uid": 0, "gid": 0},
            "cwd": "/",
            "args": ["/run/xtask", SERVE],
            "env": [format!("PORT={port}"), "PATH=/usr/bin:/bin"],
            "noNewPrivileges": true,
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/run", "type": "tmpfs", "source": "tmpfs"},
            {"destination": "/run/xtask", "type": "bind", "source": program, "options": ["bind", "ro"]},
        ],
        "linux": {"namespaces": [
            {"type": "pid"}, {"type": "mount"}, {"type": "ipc"}, {"type": "uts"},
        ]},
    });
    fs::write(bundle.join("config.json"), serde_json::to_vec(&config)?)?;
    let mut command = Command::new("crun");
    command
        .arg("run")
        .arg("--bundle")
        .arg(bundle)
        .arg(&name)
        .env("PORT", port.to_string());
    let measured = start(&mut command);
    drop(process::output(
        Command::new("crun").args(["delete", "--force", &name]),
    ));
    measured
}

/// The program that is started: answers every connection with 200.
pub(crate) fn serve() -> Result<()> {
    let port = process::variable("PORT").context("PORT is not set")?;
    let port: u16 = port.to_string_lossy().parse()?;
    let listener = TcpListener::bind(("0.0.0.0", port))?;
    for stream in listener.incoming() {
        let mut stream = stream?;
        let mut request = [0; 1024];
        let read = stream.read(&mut request)?;
        if read > 0 {
            stream.write_all(
                b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
            )?;
        }
    }
    Ok(())
}
