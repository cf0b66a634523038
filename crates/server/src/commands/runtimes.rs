//! `landfall runtimes` and `runtimes:add`: the mirror directory of language runtimes, for what no
//! other source has and for machines without a way out.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, Result};
use builder::runtimes::{self, Runtime};

use super::say;
use crate::config::Choices;

/// What can be done with the mirror directory.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Lists the runtimes in the mirror directory
    Runtimes(ListArguments),
    /// Adds a runtime to the mirror directory, if its checksum is right
    #[command(name = "runtimes:add")]
    RuntimesAdd(AddArguments),
}

/// Arguments of `landfall runtimes`.
#[derive(Debug, clap::Args)]
pub(super) struct ListArguments {
    #[command(flatten)]
    choices: Choices,
}

/// Arguments of `landfall runtimes:add`.
#[derive(Debug, clap::Args)]
pub(super) struct AddArguments {
    #[command(flatten)]
    choices: Choices,
    /// Which language: bun, deno, java, python or rust
    language: String,
    /// Which version: 21.0.5
    version: String,
    /// A .tar.gz, .tar.xz or .tar.zst, with the runtime at its top or in one directory below
    archive: PathBuf,
    /// What the archive must be, as those who made it say
    #[arg(long)]
    sha256: String,
}

/// Does one of them.
pub(super) fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Runtimes(arguments) => list(arguments),
        Command::RuntimesAdd(arguments) => add(arguments),
    }
}

/// Prints the archives and their checksums.
fn list(arguments: ListArguments) -> Result<ExitCode> {
    let config = super::config(arguments.choices)?;
    let found = runtimes::list(&config.cache).context("cannot read the mirror directory")?;
    if found.is_empty() {
        say("The mirror directory holds no runtimes: builds use the package registries.");
    }
    for (name, pinned) in found {
        let pinned = pinned.as_deref().unwrap_or("not pinned");
        say(format_args!("{name}  {pinned}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Copies an archive in.
fn add(arguments: AddArguments) -> Result<ExitCode> {
    let config = super::config(arguments.choices)?;
    let runtime = Runtime {
        language: arguments.language,
        version: arguments.version,
        stack: config.stack.clone(),
    };
    let (archive, sha256) = (&arguments.archive, &arguments.sha256);
    let added = runtimes::add(&config.cache, &runtime, archive, sha256)?;
    say(format_args!(
        "{} is there for the next build",
        added.display()
    ));
    Ok(ExitCode::SUCCESS)
}
