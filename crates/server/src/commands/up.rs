//! `landfall up`: server and router as two children, in the foreground.
//!
//! The children are restarted when they die. All listening sockets are made here and handed down
//! through their standard input, so that clients wait in the sockets' queues while a killed child
//! comes back. SIGHUP has a new router take over from the one that runs, from the program's file as
//! it is by then. Dynos outlive all three.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    path::PathBuf,
    process::{ExitCode, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use router::Sockets;
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::AsyncReadExt,
    net::UnixStream,
    process::{Child, Command},
    signal::unix::{Signal as SignalStream, SignalKind, signal},
    sync::mpsc,
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
/// And when asked a second time.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// A child that lived so long was started well; the next restart is quick again.
const STEADY: Duration = Duration::from_secs(5);
/// How long a router may take to take over.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(20);
/// What it says then.
const READY: &[u8; 6] = b"ready\n";
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
    let sockets = claim(config)?;
    let addresses = sockets.addresses()?;
    let config = Config {
        listen: listener.local_addr()?,
        http: addresses.http,
        https: addresses.https,
        ..config.clone()
    };
    // Before the router starts, which needs the certificate.
    Authority::open(
        &config.data.join("ca"),
        wiring::names(&config),
        api::clock::Clock::system(),
    )?;
    let mut end = Ends::new()?;
    let mut server = Kept::new("server", &config, Held::Server(listener))?;
    let mut router = Kept::new("router", &config, Held::Router(sockets))?;
    let mut hangup = signal(SignalKind::hangup())?;
    let (upgrade, upgrades) = mpsc::channel(1);
    let forward = async {
        while hangup.recv().await.is_some() {
            if upgrade.try_send(()).is_err() {
                tracing::debug!("an upgrade is already asked for");
            }
        }
        std::future::pending::<()>().await;
    };
    let (_never, nothing) = mpsc::channel(1);
    let failed = tokio::select! {
        error = server.keep(nothing) => Some(error),
        error = router.keep(upgrades) => Some(error),
        () = end.asked() => None,
        () = forward => None,
    };
    say("stopping");
    tokio::join!(server.end(), router.end());
    match failed {
        None => Ok(ExitCode::SUCCESS),
        Some(error) => Err(error),
    }
}

/// The router's sockets.
fn claim(config: &Config) -> Result<Sockets> {
    // Sharing is for our router alone: another platform on these addresses must be noticed.
    let metrics = config.metrics.map(|address| ("--metrics", address));
    let claimed = [("--http", config.http), ("--https", config.https)];
    for (flag, address) in claimed.into_iter().chain(metrics) {
        drop(TcpListener::bind(address).map_err(refused(flag, address))?);
    }
    Ok(Sockets::claim(config.http, config.https, config.threads)?)
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

/// The listening sockets of a child.
enum Held {
    Server(TcpListener),
    Router(Sockets),
}

/// One child that is started again whenever it dies.
struct Kept<'a> {
    name: &'static str,
    config: &'a Config,
    /// Whatever is in this file when it is started.
    program: PathBuf,
    held: Held,
    child: Option<Child>,
    /// Those that another has taken over from; they end by themselves.
    leaving: Vec<Child>,
}

impl<'a> Kept<'a> {
    fn new(name: &'static str, config: &'a Config, held: Held) -> Result<Self> {
        Ok(Self {
            name,
            config,
            program: std::env::current_exe().context("this program has no file")?,
            held,
            child: None,
            leaving: Vec::new(),
        })
    }

    /// Starts it for ever; gives up on one that refuses to start the first time.
    async fn keep(&mut self, mut upgrades: mpsc::Receiver<()>) -> anyhow::Error {
        let mut back_off = FIRST_BACK_OFF;
        let mut was_steady = false;
        loop {
            let started = Instant::now();
            let status = match self.run_once(&mut upgrades).await {
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

    async fn run_once(&mut self, upgrades: &mut mpsc::Receiver<()>) -> Result<ExitStatus> {
        let (child, _parent) = self.start()?;
        self.child = Some(child);
        loop {
            let child = self.child.as_mut().context("it was just started")?;
            tokio::select! {
                status = child.wait() => return Ok(status?),
                Some(()) = upgrades.recv() => {}
            }
            match self.upgrade().await {
                Ok(()) => tracing::info!(name = self.name, "a new one has taken over"),
                Err(error) => complain(&error.context(format!(
                    "the {} could not be upgraded; the one that runs goes on",
                    self.name
                ))),
            }
        }
    }

    /// Starts another, which takes over from the one that runs.
    async fn upgrade(&mut self) -> Result<()> {
        self.leaving
            .retain_mut(|child| matches!(child.try_wait(), Ok(None)));
        let (mut next, parent) = self.start()?;
        let ready = async {
            let mut parent = parent.context("it has no way to say that it is ready")?;
            let mut word = [0; READY.len()];
            parent.read_exact(&mut word).await?;
            anyhow::ensure!(word == *READY, "it says what nobody expects");
            Ok(())
        };
        match timeout(UPGRADE_TIMEOUT, ready)
            .await
            .map_err(anyhow::Error::from)
        {
            Ok(Ok(())) => {
                self.leaving.extend(self.child.replace(next));
                Ok(())
            }
            Ok(Err(error)) | Err(error) => {
                next.kill().await.context("it cannot be ended")?;
                Err(error)
            }
        }
    }

    /// A child, and the way by which it says that it is ready if it has one.
    fn start(&self) -> Result<(Child, Option<UnixStream>)> {
        let program = &self.program;
        let mut command = Command::new(program);
        command
            .arg(self.name)
            .args(self.config.to_flags())
            .envs(self.config.to_variables())
            .arg("--supervised");
        let (stdin, parent) = match &self.held {
            Held::Server(listener) => {
                command.arg("--listen-on-stdin");
                (OwnedFd::from(listener.try_clone()?), None)
            }
            Held::Router(sockets) => {
                command.arg("--sockets-on-stdin");
                let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
                sockets.send(&ours)?;
                ours.set_nonblocking(true)?;
                (OwnedFd::from(theirs), Some(UnixStream::from_std(ours)?))
            }
        };
        // A group of its own: Ctrl-C goes to us, and we end it in order.
        command.stdin(Stdio::from(stdin)).process_group(0);
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok((child, parent))
    }

    async fn end(&mut self) {
        for child in self.child.iter_mut().chain(&mut self.leaving) {
            end(self.name, child).await;
        }
    }
}

async fn end(name: &str, child: &mut Child) {
    let pid = child
        .id()
        .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let Some(pid) = pid else { return };
    if let Err(error) = kill_process(pid, Signal::TERM) {
        complain(&anyhow::Error::new(error).context(format!("cannot end the {name}")));
    }
    if timeout(FAREWELL, child.wait()).await.is_ok() {
        return;
    }
    // Asked twice, it ends at once, and says so to those whom it still serves.
    let asked = kill_process(pid, Signal::TERM);
    if asked.is_ok() && timeout(LAST_WORDS, child.wait()).await.is_ok() {
        return;
    }
    tracing::warn!(name, "did not end in time; killing it");
    if let Err(error) = child.kill().await {
        complain(&anyhow::Error::new(error).context(format!("cannot kill the {name}")));
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
