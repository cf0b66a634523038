//! `landfall builds` and its like: finds the running platform and hands over to the `cli` room.

use std::{path::Path, process::ExitCode};

use anyhow::Result;

use super::config;
use crate::config::Choices;

/// What can be done with builds.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List an app's builds: landfall builds -a APP
    Builds(List),
    /// Show how a build went; --explain: each step, cached or why not
    #[command(name = "builds:info")]
    BuildsInfo(Show),
    /// Print what a build printed, live while it goes on
    #[command(name = "builds:output")]
    BuildsOutput(One),
    /// Stop a build that waits or runs
    #[command(name = "builds:cancel")]
    BuildsCancel(One),
    /// Build the source of an earlier build again
    #[command(name = "builds:rebuild")]
    BuildsRebuild(One),
    /// Show or set what of an app's source is built, and when: landfall build-settings -a APP --root DIRECTORY
    #[command(name = "build-settings")]
    BuildSettings(Settings),
}

#[derive(Debug, clap::Args)]
pub(super) struct List {
    #[command(flatten)]
    choices: Choices,
    #[command(flatten)]
    arguments: cli::BuildsArguments,
}

#[derive(Debug, clap::Args)]
pub(super) struct Show {
    #[command(flatten)]
    choices: Choices,
    #[command(flatten)]
    arguments: cli::BuildInfoArguments,
}

/// A command about one build.
#[derive(Debug, clap::Args)]
pub(super) struct One {
    #[command(flatten)]
    choices: Choices,
    #[command(flatten)]
    arguments: cli::BuildArguments,
}

/// Does one of them.
pub(super) fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Builds(arguments) => list(arguments),
        Command::BuildsInfo(arguments) => info(arguments),
        Command::BuildsOutput(arguments) => one(arguments, cli::print_build_output),
        Command::BuildsCancel(arguments) => one(arguments, cli::cancel_build),
        Command::BuildsRebuild(arguments) => one(arguments, cli::rebuild),
        Command::BuildSettings(arguments) => settings(arguments),
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Settings {
    #[command(flatten)]
    choices: Choices,
    #[command(flatten)]
    arguments: cli::BuildSettingsArguments,
}

fn settings(Settings { choices, arguments }: Settings) -> Result<ExitCode> {
    let ready = cli::Ready::path_in(&config(choices)?.data);
    cli::run_build_settings(&ready, &arguments).map(|()| ExitCode::SUCCESS)
}

fn list(List { choices, arguments }: List) -> Result<ExitCode> {
    let ready = cli::Ready::path_in(&config(choices)?.data);
    cli::list_builds(&ready, &arguments).map(|()| ExitCode::SUCCESS)
}

fn info(Show { choices, arguments }: Show) -> Result<ExitCode> {
    let ready = cli::Ready::path_in(&config(choices)?.data);
    cli::show_build(&ready, &arguments).map(|()| ExitCode::SUCCESS)
}

fn one(
    One { choices, arguments }: One,
    command: fn(&Path, &cli::BuildArguments) -> Result<()>,
) -> Result<ExitCode> {
    let ready = cli::Ready::path_in(&config(choices)?.data);
    command(&ready, &arguments).map(|()| ExitCode::SUCCESS)
}
