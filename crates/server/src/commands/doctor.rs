//! `landfall doctor`: what this machine offers the platform, what is missing, and how to mend it.
//!
//! [`facts`] looks, [`judge`] decides what it means, [`report`] says it. Read [`judge::Finding`]
//! first.

mod facts;
mod judge;
mod report;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

use anyhow::Result;

use super::say;
use crate::config::{Choices, Surroundings};

/// Arguments of `landfall doctor`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    choices: Choices,
    /// Say it as JSON
    #[arg(long)]
    json: bool,
}

/// Prints what was found; the status says whether the platform can keep its apps apart here.
pub(super) fn run(arguments: Arguments) -> Result<ExitCode> {
    let surroundings = Surroundings::of_this_process();
    let config = super::config(arguments.choices)?;
    let examination = judge::judge(&facts::look(&config, &surroundings));
    if arguments.json {
        say(serde_json::to_string_pretty(&examination)?);
    } else {
        say(report::text(&examination).trim_end());
        if examination.tenancy == judge::Tenancy::One {
            super::warn_if_alone(&config);
        }
    }
    Ok(match examination.tenancy {
        judge::Tenancy::Many => ExitCode::SUCCESS,
        judge::Tenancy::One | judge::Tenancy::None => ExitCode::FAILURE,
    })
}
