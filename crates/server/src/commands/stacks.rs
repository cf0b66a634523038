//! `landfall stacks:build`: the root filesystem that builds and dynos see.

use std::process::ExitCode;

use anyhow::{Context, Result};
use api::names::StackName;

use super::say;
use crate::config::Choices;

/// Arguments of `landfall stacks:build`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    choices: Choices,
    /// Which stack; the one of new apps unless named
    name: Option<String>,
}

/// Builds it unless it is there.
pub(super) fn run(arguments: Arguments) -> Result<ExitCode> {
    let config = super::config(arguments.choices)?;
    super::start_logging(&config)?;
    let name: StackName = match arguments.name {
        Some(name) => name.parse()?,
        None => config.stack.clone(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let built = engine_local::stacks::build(&config.cache, &name, |line| say(line));
    let root = runtime
        .block_on(built)
        .with_context(|| format!("cannot build stack {name}"))?;
    say(format_args!("{name} is in {}", root.display()));
    Ok(ExitCode::SUCCESS)
}
