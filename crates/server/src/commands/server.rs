//! `landfall server`: the control plane. It may die at any time: on start it takes up what the
//! store and the engine say.

use std::{net::SocketAddr, os::fd::AsFd, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use super::up;
use crate::{
    config::{Choices, Config},
    listener::Listener,
    ready,
    wiring::{self, Server},
};

/// How long to wait for the router before saying that the platform serves.
const ROUTER_PATIENCE: Duration = Duration::from_secs(30);
/// How long a server that was killed may keep the lock on the data directory.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);

/// Arguments of `landfall server`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    choices: Choices,
    /// Started by `landfall up`: end with it
    #[arg(long, hide = true)]
    supervised: bool,
    /// Standard input is the listening socket
    #[arg(long, hide = true)]
    listen_on_stdin: bool,
}

/// Runs until SIGTERM or SIGINT.
pub(super) fn run(arguments: Arguments) -> Result<ExitCode> {
    let parent = arguments.supervised.then(std::os::unix::process::parent_id);
    let config = super::config(arguments.choices)?;
    super::start_logging(&config)?;
    engine_local::cgroup::precede_dynos();
    let listener = if arguments.listen_on_stdin {
        let socket = std::io::stdin().as_fd().try_clone_to_owned()?;
        std::net::TcpListener::from(socket)
    } else {
        std::net::TcpListener::bind(config.listen)
            .with_context(|| format!("cannot listen on {}", config.listen))?
    };
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let ended = runtime.block_on(serve(&config, listener, parent));
    // Blocking work that still runs must not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended.map(|()| ExitCode::SUCCESS)
}

async fn serve(config: &Config, port: std::net::TcpListener, parent: Option<u32>) -> Result<()> {
    let _lock = lock(config).await?;
    let address = port
        .local_addr()
        .context("the listening socket has no address")?;
    let port = TcpListener::from_std(port)?;
    let ssh = listen_for_ssh(config).await?;
    // Dynos are let to the port that was found, if it was left open which.
    let config = &Config {
        ssh: ssh.as_ref().map(TcpListener::local_addr).transpose()?,
        ..config.clone()
    };
    let server = wiring::open(config, address).await?;
    let end = CancellationToken::new();
    let listener = Listener::new(
        server.authority.clone(),
        server.routes.clone(),
        Arc::new(server.platform.clone()),
    );
    let listening = tokio::spawn(listener.serve(port, end.clone()));
    let ended = tokio::select! {
        ended = server.platform.run() => ended.context("the reconcilers ended"),
        ended = server.authority.keep_renewed() => ended.context("certificates cannot be renewed"),
        () = serve_ssh(&server, ssh) => Ok(()),
        ended = announce(config, &server, address) => ended,
        ended = asked_to_end() => ended,
        () = orphaned(parent) => Ok(()),
    };
    end.cancel();
    listening.await.context("the listener broke")?;
    ended
}

/// Listens for git over SSH, where it is wanted.
async fn listen_for_ssh(config: &Config) -> Result<Option<TcpListener>> {
    let Some(address) = config.ssh else {
        return Ok(None);
    };
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address} for git over SSH"))?;
    Ok(Some(listener))
}

async fn serve_ssh(server: &Server, listener: Option<TcpListener>) {
    match listener {
        Some(listener) => {
            let host_key = server.ssh.host_key();
            tracing::info!(address = server.ready.ssh_addr, host_key, "git over SSH");
            server.git.serve_ssh(listener, server.ssh.clone()).await;
        }
        None => std::future::pending().await,
    }
}

/// Writes the ready file once all of it serves, and then waits for ever.
async fn announce(config: &Config, server: &Server, address: SocketAddr) -> Result<()> {
    let deadline = Instant::now() + ROUTER_PATIENCE;
    while server.feed.addresses().is_none() && Instant::now() < deadline {
        sleep(POLL).await;
    }
    match server.feed.addresses() {
        None => tracing::warn!("no router is connected: apps are not served yet"),
        Some(addresses) => {
            let ready = cli::Ready {
                http_addr: addresses.http.to_string(),
                https_addr: addresses.https.to_string(),
                ..server.ready.clone()
            };
            ready::announce(&ready, &config.data, config.ready_file.as_deref())
                .context("cannot write the ready file")?;
            tracing::info!(%address, api = ready.api_url, http = ready.http_addr, "ready");
            tracing::info!(
                "point the official CLI here: eval \"$(landfall heroku-env --data {} --api-key)\"",
                config.data.display()
            );
        }
    }
    std::future::pending().await
}

async fn asked_to_end() -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

async fn orphaned(parent: Option<u32>) {
    match parent {
        Some(parent) => up::abandoned(parent).await,
        None => std::future::pending().await,
    }
}

/// The kernel gives a killed server's lock back only once that process is gone.
async fn lock(config: &Config) -> Result<std::fs::File> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match up::lock(config, up::Part::Server) {
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => sleep(POLL).await,
            Ok(lock) => return Ok(lock),
        }
    }
}
