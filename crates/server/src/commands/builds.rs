//! `landfall builds` and its like: finds the running platform and hands over to the `cli` room.

use std::{path::Path, process::ExitCode};

use anyhow::Result;

use super::config;
use crate::config::Choices;

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

pub(super) fn list(List { choices, arguments }: List) -> Result<ExitCode> {
    let ready = cli::Ready::path_in(&config(choices)?.data);
    cli::list_builds(&ready, &arguments).map(|()| ExitCode::SUCCESS)
}

pub(super) fn info(Show { choices, arguments }: Show) -> Result<ExitCode> {
    let ready = cli::Ready::path_in(&config(choices)?.data);
    cli::show_build(&ready, &arguments).map(|()| ExitCode::SUCCESS)
}

pub(super) fn run(
    One { choices, arguments }: One,
    command: fn(&Path, &cli::BuildArguments) -> Result<()>,
) -> Result<ExitCode> {
    let ready = cli::Ready::path_in(&config(choices)?.data);
    command(&ready, &arguments).map(|()| ExitCode::SUCCESS)
}
