//! `landfall down`: ends every dyno of a platform that is not running, and gives back what they
//! hold of the host: cgroups, networks, mounts, addresses.

use std::process::ExitCode;

use anyhow::{Context, Result};

use super::{say, up};
use crate::{
    config::{Choices, Config},
    wiring,
};

/// Arguments of `landfall down`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    choices: Choices,
}

/// Does it; the platform's state stays.
pub(super) fn run(arguments: Arguments) -> Result<ExitCode> {
    let config = super::config(arguments.choices)?;
    super::start_logging(&config)?;
    if !config.data.exists() {
        say(format_args!(
            "nothing to do: there is no {}",
            config.data.display()
        ));
        return Ok(ExitCode::SUCCESS);
    }
    remove_everything(&config)?;
    Ok(ExitCode::SUCCESS)
}

/// Ends all dynos and releases the host's resources.
///
/// # Errors
/// While a server runs on the data directory: it would start them again.
pub(super) fn remove_everything(config: &Config) -> Result<()> {
    let _lock = up::lock(config, up::Part::Server)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let engine = wiring::open_engine(config).await?;
        engine
            .remove_everything()
            .await
            .context("cannot remove everything")
    })
}
