//! `xtask bench dyno-start`: from starting a dyno to its first HTTP 200, against the same static
//! program started by fork/exec, by `crun` and by `docker run`.
//!
//! All take turns, round by round, so that whatever else the machine does hits all alike. crun is
//! confined as a dyno is, in a network made beforehand, and once more with less; Docker as it does by itself, by a warm daemon
//! that makes no firewall rules. A peer that cannot run here is left out, with the reason.

mod crun;
mod docker;
mod dyno;

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};

pub(crate) use self::crun::{DRIVE as DRIVE_CRUN, drive as drive_crun};
use self::{
    crun::{Confinement, Crun},
    docker::Docker,
    dyno::Dynos,
};
use super::{
    samples::{Series, figure, ratio, report},
    server,
};
use crate::{
    out::{self, Stopwatch},
    process,
};

/// Rounds that count, and rounds before them.
const ROUNDS: usize = 24;
const WARM_UP: usize = 2;
/// The longest wait for one start, and the pause between two looks.
const LIMITS: (Duration, Duration) = (Duration::from_secs(30), Duration::from_micros(200));
/// The longest wait for one connection: an address that nobody has yet must not hold up the next
/// look.
const CONNECT: Duration = Duration::from_millis(5);
/// Limits of every start that has any.
const MEMORY_BYTES: u64 = 512 << 20;
const PIDS: u64 = 256;

/// One way to start the program.
trait Starter {
    /// Starts it, waits for its answer, ends it; gives the seconds to the answer.
    fn start(&mut self) -> Result<f64>;
}

/// Runs it.
pub(crate) fn run(profile: &str) -> Result<()> {
    let program = server::build()?;
    let mut dynos = Dynos::open(profile, &program)?;
    let mut bare = Bare {
        program: program.clone(),
    };
    let crun_as = |confinement| present("crun", Crun::open(profile, &program, confinement));
    let mut crun = crun_as(Confinement::Dyno);
    let mut crun_bare = crun_as(Confinement::Bare);
    let mut docker = present("docker", Docker::open(&program));
    let mut times = [const { Vec::new() }; 5];
    out::step(format_args!("{ROUNDS} rounds"));
    for round in 0..WARM_UP + ROUNDS {
        let starters: [(&str, Option<&mut dyn Starter>); 5] = [
            ("fork_exec", Some(&mut bare)),
            ("dyno", Some(&mut dynos)),
            ("crun", crun.as_mut().map(|crun| crun as &mut dyn Starter)),
            ("crun_bare", crun_bare.as_mut().map(|crun| crun as _)),
            ("docker_run", docker.as_mut().map(|docker| docker as _)),
        ];
        for ((name, starter), times) in starters.into_iter().zip(&mut times) {
            let Some(starter) = starter else { continue };
            let seconds = starter.start().with_context(|| name.to_owned())?;
            if round >= WARM_UP {
                times.push(seconds);
            }
        }
    }
    let names = ["fork_exec", "dyno", "crun", "crun_bare", "docker_run"];
    let series: Vec<Series> = names
        .into_iter()
        .zip(times)
        .map(|(name, times)| Series::new(name, times))
        .collect();
    tell(&series, &dynos.phases())
}

fn tell(series: &[Series], phases: &[(String, f64)]) -> Result<()> {
    let measured: Vec<&Series> = series.iter().filter(|one| one.median() > 0.0).collect();
    report("dyno-start", &measured)?;
    for one in &measured {
        let name = format!("dyno-start.{}_p90", one.name());
        figure(&name, one.quantile(0.9) * 1e3, "ms");
    }
    let [bare, dyno, crun, crun_bare, docker] = series else {
        bail!("five ways were measured");
    };
    ratio("dyno_start_vs_exec", dyno, bare);
    ratio("dyno_start_vs_crun", dyno, crun);
    ratio("dyno_start_vs_crun_bare", dyno, crun_bare);
    ratio("dyno_start_vs_docker", dyno, docker);
    if !phases.is_empty() {
        out::say("\nwhat a dyno's start is made of, median:");
    }
    for (name, micros) in phases {
        out::say(format_args!("{name:<40} {:>8.3} ms", micros / 1e3));
    }
    Ok(())
}

fn present<T>(name: &str, opened: Result<T>) -> Option<T> {
    match opened {
        Ok(starter) => Some(starter),
        Err(error) => {
            out::say(format_args!(
                "{name}: left out, it does not run here: {error:#}"
            ));
            None
        }
    }
}

/// Nothing but the program.
struct Bare {
    program: std::path::PathBuf,
}

impl Starter for Bare {
    fn start(&mut self) -> Result<f64> {
        let port = free_port()?;
        let mut command = Command::new(&self.program);
        command.env("PORT", port.to_string());
        time(&mut command, ([127, 0, 0, 1], port).into(), || Ok(()))
    }
}

/// Runs a command until the address answers, and ends it, by `end` first of all; gives the seconds
/// until the answer.
fn time(
    command: &mut Command,
    address: SocketAddr,
    end: impl FnOnce() -> Result<()>,
) -> Result<f64> {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let watch = Stopwatch::start();
    let mut child = process::Killed::spawn(command)?;
    let answered = out::wait_until("the first answer", LIMITS, || {
        child
            .0
            .try_wait()?
            .map_or(Ok(()), |status| Err(anyhow::anyhow!("it ended: {status}")))?;
        Ok(answers(address).then_some(()))
    });
    let seconds = watch.seconds();
    let ended = end();
    answered.and(ended).map(|()| seconds)
}

/// Whether the server answers there now.
fn answers(address: SocketAddr) -> bool {
    use std::io::{Read, Write};
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&address, CONNECT)?;
        stream.set_read_timeout(Some(LIMITS.0))?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer.starts_with(b"HTTP/1.1 200 "))
    };
    ask().unwrap_or(false)
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
