//! `landfall runtimes`, `runtimes:add`, `runtimes:mirror` and `runtimes:fetch`: the mirror directory of
//! language runtimes, for what no other source has and for machines without a way out.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, Result};
use builder::runtimes::{self, Reachable, Runtime};

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
    /// Writes the mirror directory elsewhere, with an index of checksums, to carry it to another machine
    #[command(name = "runtimes:mirror")]
    RuntimesMirror(CarryArguments),
    /// Takes what another machine's runtimes:mirror has written, where the checksums are right
    #[command(name = "runtimes:fetch")]
    RuntimesFetch(FetchArguments),
}

/// Arguments of `landfall runtimes:mirror`.
#[derive(Debug, clap::Args)]
pub(super) struct CarryArguments {
    #[command(flatten)]
    choices: Choices,
    /// The directory, made if missing
    directory: PathBuf,
}

/// Arguments of `landfall runtimes:fetch`.
#[derive(Debug, clap::Args)]
pub(super) struct FetchArguments {
    #[command(flatten)]
    choices: Choices,
    /// The directory, with its SHA256SUMS
    directory: PathBuf,
    /// Only runtimes of this language
    #[arg(long)]
    language: Option<String>,
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
        Command::RuntimesMirror(arguments) => mirror(arguments),
        Command::RuntimesFetch(arguments) => fetch(arguments),
    }
}

/// Writes all of it elsewhere.
fn mirror(arguments: CarryArguments) -> Result<ExitCode> {
    let config = super::config(arguments.choices)?;
    for name in runtimes::carry::write(&config.cache, &arguments.directory)? {
        say(name);
    }
    Ok(ExitCode::SUCCESS)
}

/// Takes what is not there yet.
fn fetch(arguments: FetchArguments) -> Result<ExitCode> {
    let config = super::config(arguments.choices)?;
    let language = arguments.language.as_deref();
    let fetched = runtimes::carry::fetch(&config.cache, &arguments.directory, language)?;
    if fetched.is_empty() {
        say("All of it is there already.");
    }
    for name in fetched {
        say(name);
    }
    Ok(ExitCode::SUCCESS)
}

/// So many of a source's versions are shown, the last ones.
const SHOWN: usize = 6;

/// A line of a source.
fn told(reachable: &Reachable) -> String {
    let versions = &reachable.versions;
    let hidden = versions.len().saturating_sub(SHOWN);
    let last = versions[hidden..].join(", ");
    let more = if hidden == 0 {
        String::new()
    } else {
        format!(" and {hidden} more")
    };
    let (language, source, at) = (&reachable.language, &reachable.source, reachable.at);
    format!("{language:<8} {source:<24} {at}  {last}{more}")
}

/// Prints the archives and their checksums, and what builds have found elsewhere.
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
    let reachable = runtimes::reachable(&config.cache).context("cannot read the catalogues")?;
    if !reachable.is_empty() {
        say("\nWhat builds have found elsewhere, when they last looked:");
    }
    for source in &reachable {
        say(told(source));
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
