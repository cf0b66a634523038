//! `landfall up`: server and router as two children, in the foreground.
//!
//! The children are restarted when they die. The server's listening socket is made here and
//! handed down as its standard input, so that clients wait in the socket's queue while a killed
//! server comes back. The router makes its own sockets (one per core) on addresses that are held
//! here, so that it finds them free again. Dynos outlive all three.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    process::{ExitCode, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    net::TcpSocket,
    process::{Child, Command},
    signal::unix::{Signal as SignalStream, SignalKind, signal},
    time::{Instant, sleep, timeout},
};

use super::{complain, down, say};
use crate::{
    authority::Authority,
    config::{Choices, Config},
    files, ready, wiring,
};

/// How long a child may take to end when asked.
const FAREWELL: Duration = Duration::from_secs(10);
/// A child that lived so long was started well; the next restart is quick again.
const STEADY: Duration = Duration::from_secs(5);
const FIRST_BACK_OFF: Duration = Duration::from_millis(20);
const LAST_BACK_OFF: Duration = Duration::from_secs(5);

/// Arguments of `landfall up`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    choices: Choices,
    /// At the end, stop all dynos and give back what they hold
    #[arg(long)]
    stop_dynos: bool,
}

/// Runs until Ctrl-C or SIGTERM.
pub(super) fn run(arguments: Arguments) -> Result<ExitCode> {
    let config = super::config(arguments.choices)?;
    super::start_logging(&config)?;
    engine_local::cgroup::precede_dynos();
    look_around(&config)?;
    let _lock = lock(&config, Part::Up)?;
    ready::retract(&config.data, config.ready_file.as_deref())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let ended = runtime.block_on(supervise(&config));
    ready::retract(&config.data, config.ready_file.as_deref())?;
    if arguments.stop_dynos {
        say("stopping dynos");
        down::remove_everything(&config)?;
    }
    ended
}

/// Refuses a start that cannot succeed, before its children fail with less helpful words.
fn look_around(config: &Config) -> Result<()> {
    super::warn_if_alone(config);
    if !config.shim.is_file() {
        bail!(
            "there is no landfall-shim at {}\n  hint: `cargo xtask shim release` builds it; --shim \
             names another place",
            config.shim.display()
        );
    }
    let has_stack = engine_local::stacks::find(&config.cache, &config.stack).is_some();
    if !has_stack && !engine_local::alone::is_alone() {
        tracing::warn!(
            "there is no stack {} in {}: no app can be built or run until `landfall stacks:build` \
             has made it",
            config.stack,
            config.cache.display()
        );
    }
    Ok(())
}

async fn supervise(config: &Config) -> Result<ExitCode> {
    let listener = TcpListener::bind(config.listen).map_err(refused("--listen", config.listen))?;
    let (_http, http) = hold("--http", config.http)?;
    let (_https, https) = hold("--https", config.https)?;
    let config = Config {
        listen: listener.local_addr()?,
        http,
        https,
        ..config.clone()
    };
    // Before the router starts, which needs the certificate.
    Authority::open(
        &config.data.join("ca"),
        wiring::names(&config),
        api::clock::Clock::system(),
    )?;
    let mut end = Ends::new()?;
    let mut server = Kept::new("server", &config, Some(listener));
    let mut router = Kept::new("router", &config, None);
    let failed = tokio::select! {
        error = server.keep() => Some(error),
        error = router.keep() => Some(error),
        () = end.asked() => None,
    };
    say("stopping");
    tokio::join!(server.end(), router.end());
    match failed {
        None => Ok(ExitCode::SUCCESS),
        Some(error) => Err(error),
    }
}

/// Takes an address without listening on it: the router, of the same user, may listen there.
fn hold(flag: &str, address: SocketAddr) -> Result<(TcpSocket, SocketAddr)> {
    // Sharing is for our router alone: another platform on this address must be noticed.
    drop(TcpListener::bind(address).map_err(refused(flag, address))?);
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseport(true)?;
    socket.set_reuseaddr(true)?;
    socket.bind(address).map_err(refused(flag, address))?;
    let address = socket.local_addr()?;
    Ok((socket, address))
}

/// Says which flag chooses the address that cannot be had.
fn refused(flag: &str, address: SocketAddr) -> impl FnOnce(io::Error) -> anyhow::Error {
    move |error| {
        anyhow::anyhow!(
            "cannot listen on {address}: {error}\n  hint: choose another address with {flag}; port 0 \
             takes a free one"
        )
    }
}

/// SIGINT and SIGTERM.
struct Ends {
    interrupt: SignalStream,
    terminate: SignalStream,
}

impl Ends {
    fn new() -> Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// One child that is started again whenever it dies.
struct Kept<'a> {
    name: &'static str,
    config: &'a Config,
    listener: Option<TcpListener>,
    child: Option<Child>,
}

impl<'a> Kept<'a> {
    fn new(name: &'static str, config: &'a Config, listener: Option<TcpListener>) -> Self {
        Self {
            name,
            config,
            listener,
            child: None,
        }
    }

    /// Starts it for ever; gives up on one that refuses to start the first time.
    async fn keep(&mut self) -> anyhow::Error {
        let mut back_off = FIRST_BACK_OFF;
        let mut was_steady = false;
        loop {
            let started = Instant::now();
            let status = match self.run_once().await {
                Ok(status) => status,
                Err(error) => return error,
            };
            was_steady |= started.elapsed() > STEADY;
            if !was_steady && status.code().is_some() {
                return anyhow::anyhow!("the {} did not start: {status}", self.name);
            }
            if started.elapsed() > STEADY {
                back_off = FIRST_BACK_OFF;
            }
            tracing::warn!(name = self.name, %status, "ended; starting it again");
            sleep(back_off).await;
            back_off = (back_off * 2).min(LAST_BACK_OFF);
        }
    }

    async fn run_once(&mut self) -> Result<ExitStatus> {
        let child = self.child.insert(self.start()?);
        Ok(child.wait().await?)
    }

    fn start(&self) -> Result<Child> {
        let program = std::env::current_exe().context("this program has no file")?;
        let mut command = Command::new(&program);
        command
            .arg(self.name)
            .args(self.config.to_flags())
            .envs(self.config.to_variables())
            .arg("--supervised");
        match &self.listener {
            Some(listener) => {
                let socket = OwnedFd::from(listener.try_clone()?);
                command.arg("--listen-on-stdin").stdin(Stdio::from(socket));
            }
            None => {
                command.stdin(Stdio::null());
            }
        }
        // A group of its own: Ctrl-C goes to us, and we end it in order.
        command.process_group(0);
        command
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))
    }

    async fn end(&mut self) {
        let Some(child) = &mut self.child else { return };
        let pid = child
            .id()
            .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let Some(pid) = pid else { return };
        if let Err(error) = kill_process(pid, Signal::TERM) {
            complain(&anyhow::Error::new(error).context(format!("cannot end the {}", self.name)));
        }
        if timeout(FAREWELL, child.wait()).await.is_ok() {
            return;
        }
        tracing::warn!(name = self.name, "did not end in time; killing it");
        if let Err(error) = child.kill().await {
            complain(&anyhow::Error::new(error).context(format!("cannot kill the {}", self.name)));
        }
    }
}

/// Ends when the `landfall up` that started this process is gone.
pub(super) async fn abandoned(parent: u32) {
    while std::os::unix::process::parent_id() == parent {
        sleep(Duration::from_millis(500)).await;
    }
    tracing::warn!("the process that started this one is gone");
}

/// What runs once on a data directory.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    /// `landfall up`.
    Up,
    /// `landfall server`.
    Server,
}

/// Whether `landfall up` or a server runs on the data directory.
pub(super) fn is_running(config: &Config) -> bool {
    ["up.lock", "server.lock"].iter().any(|name| {
        let lock = std::fs::File::open(config.data.join("run").join(name));
        lock.is_ok_and(|lock| lock.try_lock_shared().is_err())
    })
}

/// Refuses to run twice on one data directory; held until dropped.
pub(super) fn lock(config: &Config, part: Part) -> Result<std::fs::File> {
    let run = config.data.join("run");
    files::open_directory(&config.data)
        .with_context(|| format!("cannot make {}", config.data.display()))?;
    files::private_directory(&run).with_context(|| format!("cannot make {}", run.display()))?;
    let path = run.join(match part {
        Part::Up => "up.lock",
        Part::Server => "server.lock",
    });
    let file =
        std::fs::File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    if file.try_lock().is_err() {
        bail!(
            "another platform runs on {}\n  hint: end it first, or choose another --data",
            config.data.display()
        );
    }
    Ok(file)
}
