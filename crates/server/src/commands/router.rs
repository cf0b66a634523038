//! `landfall router`: the data plane, a process of its own.

use std::process::ExitCode;

use anyhow::Result;
use api::clock::Clock;

use crate::{
    authority::Authority,
    config::{Choices, Config},
    wiring,
};

/// Arguments of `landfall router`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    choices: Choices,
    /// Started by `landfall up`: end with it
    #[arg(long, hide = true)]
    supervised: bool,
}

/// Runs until SIGTERM.
pub(super) fn run(arguments: Arguments) -> Result<ExitCode> {
    let config = super::config(arguments.choices)?;
    super::start_logging(&config)?;
    engine_local::cgroup::precede_dynos();
    let clock = Clock::system();
    let authority = Authority::open(&config.data.join("ca"), wiring::names(&config), clock)?;
    router::run(router_config(&config, &authority))?;
    Ok(ExitCode::SUCCESS)
}

fn router_config(config: &Config, authority: &Authority) -> router::RouterConfig {
    router::RouterConfig {
        certificate: authority.certificate(),
        key: authority.key(),
        http: config.http,
        https: config.https,
        threads: config.threads,
        ..router::RouterConfig::new(&config.data)
    }
}
