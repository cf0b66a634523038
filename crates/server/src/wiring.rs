//! Joins the rooms into one server. Nothing is decided here; read [`open`].

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use api::clock::Clock;
use builder::{Builder, BuilderConfig};
use engine::Engine;
use engine_local::{LocalEngine, LocalEngineConfig, network::NetworkConfig};
use logs::{Logs, LogsConfig};
use platform::{Platform, Rooms, Settings};
use router::Feed;
use source::{GitDoor, SourceConfig, SshDoor};
use store::{Store, StoreConfig};

use crate::{
    authority::{Authority, Names},
    config::Config,
    files,
    http::{self, HttpState},
    in_process::InProcessTransport,
    keys::Keys,
};

/// How long a dyno may take to end after SIGTERM, as at Heroku.
const STOP_GRACE: Duration = Duration::from_secs(30);
/// Builds at once.
const CONCURRENT_BUILDS: usize = 2;

/// A server whose rooms are joined.
pub(crate) struct Server {
    /// The control plane.
    pub(crate) platform: Platform,
    /// API and git over HTTP.
    pub(crate) routes: axum::Router,
    /// Git, for its other ways in.
    pub(crate) git: GitDoor,
    /// What git over SSH shows and asks.
    pub(crate) ssh: SshDoor,
    /// Certificates.
    pub(crate) authority: Authority,
    /// What it will say of itself.
    pub(crate) ready: cli::Ready,
    /// Leads to the router.
    pub(crate) feed: Feed,
}

/// Opens every room of a server that listens on `listen`.
pub(crate) async fn open(config: &Config, listen: SocketAddr) -> Result<Server> {
    let clock = Clock::system();
    let data = &config.data;
    // Of the directory itself nothing is secret; what is, lies in its private parts.
    files::open_directory(data).with_context(|| format!("cannot make {}", data.display()))?;
    for part in [
        "git", "layers", "sources", "build", "logs", "outputs", "router", "run",
    ] {
        files::private_directory(&data.join(part))
            .with_context(|| format!("cannot make {}", data.join(part).display()))?;
    }
    let keys = Keys::open(&data.join("keys"))?;
    let authority = Authority::open(&data.join("ca"), names(config), clock.clone())?;
    let store = Store::open(StoreConfig {
        url: config.database.clone(),
        root_key: keys.root,
        clock: clock.clone(),
    });
    let store = store.await.context("cannot open the database")?;
    let engine: Arc<dyn Engine> = open_engine(config).await?;
    let builder = Builder::new(Arc::clone(&engine), builder_config(config, &clock))
        .with_host_vars(config.host_variables.clone())
        .with_own_buildpacks(data.join("buildpacks"));
    builder
        .sweep()
        .await
        .context("cannot sweep up after interrupted builds")?;
    let logs = Logs::open(LogsConfig::new(data.join("logs"), clock.clone()))
        .context("cannot open the logs")?;
    let feed = Feed::connect(data.join("run/router.sock"));
    let rooms = Rooms {
        store,
        engine,
        builder: Arc::new(builder),
        logs,
        feed: feed.clone(),
        clock,
    };
    let platform = Platform::open(rooms, settings(config, &keys, listen.port())?)?;
    platform
        .ensure_account(&config.admin_email, &keys.admin_token)
        .await
        .context("cannot make the first account")?;
    let api = http::routes(HttpState::new(platform.clone()));
    let transport = InProcessTransport::new(api.clone(), "git");
    let git = git_door(config, &transport)?;
    let ssh = SshDoor::new(
        &keys.ssh_host,
        Arc::new(move |sha256: &str| Arc::new(transport.with_key(sha256))),
    );
    let routes = git.routes().merge(api);
    let ready = cli::Ready {
        ssh_addr: config.ssh.map(|address| address.to_string()),
        ssh_host_key: config.ssh.map(|_| ssh.host_key()),
        ..ready(config, &authority, &keys, listen.port())
    };
    Ok(Server {
        platform,
        routes,
        git,
        ssh,
        authority,
        ready,
        feed,
    })
}

/// The engine of this machine.
pub(crate) async fn open_engine(config: &Config) -> Result<Arc<LocalEngine>> {
    let engine = LocalEngine::open(LocalEngineConfig {
        environment: config.host_variables.clone(),
        network: NetworkConfig {
            allowed: config.reach.networks(),
            public_ports: config.public_ports(),
            ..NetworkConfig::default()
        },
        ..LocalEngineConfig::new(
            config.data.clone(),
            config.cache.clone(),
            config.shim.clone(),
        )
    });
    engine.await.context("cannot open the engine")
}

/// What the certificate is for: this machine, the API's name, apps.
pub(crate) fn names(config: &Config) -> Names {
    let mut hosts = vec![
        "localhost".to_owned(),
        config.host.clone(),
        // Where the official CLI looks for the registry.
        format!("registry.{}", config.host),
        config.app_domain.clone(),
        format!("*.{}", config.app_domain),
    ];
    // By name, too: clients do not take a wildcard directly below `localhost`.
    hosts.extend(config.status_hosts());
    let is_host_name = |name: &str| {
        name.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte))
    };
    if !config.hostname.is_empty() && is_host_name(&config.hostname) {
        hosts.push(config.hostname.clone());
    }
    hosts.sort();
    hosts.dedup();
    let mut addresses = vec![[127, 0, 0, 1].into(), std::net::Ipv6Addr::LOCALHOST.into()];
    for address in [config.listen.ip(), config.https.ip()] {
        if !address.is_unspecified() && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Names { hosts, addresses }
}

fn builder_config(config: &Config, clock: &Clock) -> BuilderConfig {
    BuilderConfig {
        layers: config.data.join("layers"),
        work: config.data.join("build"),
        cache: config.cache.clone(),
        layer_owner: engine_local::layer_owner(),
        clock: clock.clone(),
    }
}

fn settings(config: &Config, keys: &Keys, port: u16) -> Result<Settings> {
    let data = &config.data;
    Ok(Settings {
        app_domain: config.app_domain.clone(),
        http_addr: config.http,
        https_addr: config.https,
        api_url: config.api_url(port),
        git_url: config.git_url(port),
        rendezvous: format!("{}:{port}", config.host),
        default_stack: config.stack.clone(),
        stacks: vec![config.stack.clone()],
        layers_dir: data.join("layers"),
        outputs_dir: data.join("outputs"),
        sources_dir: data.join("sources"),
        git_dir: data.join("git"),
        router_spool_dir: data.join("router/spool"),
        boot_timeout: config.boot_timeout,
        stop_grace: STOP_GRACE,
        attach_within: platform::rendezvous::PATIENCE,
        disk_reserve_bytes: config.disk_reserve_mb.saturating_mul(1 << 20),
        app_disk_bytes: config.app_disk_mb.saturating_mul(1 << 20),
        concurrent_builds: CONCURRENT_BUILDS,
        sizes: config.sizes.clone(),
        cycle_every: config.cycle_every,
        processors: std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get),
        private_targets: config
            .reach
            .networks()
            .iter()
            .map(engine_local::network::Subnet::parts)
            .collect(),
        acme: config.acme.settings()?,
        url_secret: keys.derive("secrets in URLs"),
    })
}

/// Git as a client of the API.
fn git_door(config: &Config, transport: &InProcessTransport) -> Result<GitDoor> {
    let program = std::env::current_exe().context("this program has no file")?;
    let config = source_config(&config.data, &program);
    GitDoor::open(config, Arc::new(transport.clone())).context("cannot open the git front door")
}

fn source_config(data: &Path, program: &Path) -> SourceConfig {
    SourceConfig::new(data, program)
}

fn ready(config: &Config, authority: &Authority, keys: &Keys, port: u16) -> cli::Ready {
    cli::Ready {
        api_url: config.api_url(port),
        git_url: config.git_url(port),
        http_addr: config.http.to_string(),
        https_addr: config.https.to_string(),
        rendezvous_addr: format!("{}:{port}", config.host),
        ssh_addr: None,
        ssh_host_key: None,
        ca_pem_path: authority.ca_pem(),
        admin_email: config.admin_email.clone(),
        admin_token: keys.admin_token.clone(),
        status_host: config.status_hosts().swap_remove(0),
        status_url: config.status_url(config.http, config.https),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}
