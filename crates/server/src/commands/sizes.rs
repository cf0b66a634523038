//! `landfall sizes`: the table of dyno sizes, with what `landfall.toml` says laid over Heroku's.

use std::process::ExitCode;

use anyhow::Result;
use engine::Limits;

use super::say;
use crate::config::Choices;

/// Arguments of `landfall sizes`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    choices: Choices,
}

/// Prints a row a size.
pub(super) fn run(arguments: Arguments) -> Result<ExitCode> {
    let config = super::config(arguments.choices)?;
    say(
        "size               memory   cpu share  cpu limit   pids  files    disk  log lines/s  sleeps",
    );
    for size in config.sizes.iter() {
        let Limits {
            memory_bytes,
            cpu_weight,
            cpu_percent,
            pids,
            open_files,
            disk_bytes,
            log_lines_per_second,
        } = size.limits;
        let memory = format!("{}M", memory_bytes >> 20);
        let cpu = cpu_percent.map_or_else(|| "-".to_owned(), |percent| format!("{percent}%"));
        let disk = disk_bytes.map_or_else(|| "-".to_owned(), |bytes| format!("{}M", bytes >> 20));
        let sleeps = if size.sleeps { "yes" } else { "no" };
        say(format!(
            "{:<18} {memory:>7} {cpu_weight:>10} {cpu:>10} {pids:>6} {open_files:>6} {disk:>7} {log_lines_per_second:>12}  {sleeps}",
            size.name
        ));
    }
    Ok(ExitCode::SUCCESS)
}
