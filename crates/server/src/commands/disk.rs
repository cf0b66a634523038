//! `landfall disk`: what apps take of the disk and when it will be full, as the server last saw it.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use api::disk_use::{DiskUse, FILE};

use super::say;
use crate::config::Choices;

/// Arguments of `landfall disk`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    choices: Choices,
    /// All of it as JSON
    #[arg(long)]
    json: bool,
}

/// Prints it.
pub(super) fn run(arguments: Arguments) -> Result<ExitCode> {
    let path = super::config(arguments.choices)?.data.join(FILE);
    let text = match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            bail!(
                "the server has not looked yet\n  hint: it does so when it starts and every ten minutes"
            )
        }
        text => text.with_context(|| format!("cannot read {}", path.display()))?,
    };
    if arguments.json {
        say(text);
        return Ok(ExitCode::SUCCESS);
    }
    let seen: DiskUse =
        serde_json::from_str(&text).with_context(|| format!("{} is torn", path.display()))?;
    for line in told(&seen) {
        say(line);
    }
    Ok(ExitCode::SUCCESS)
}

fn told(seen: &DiskUse) -> Vec<String> {
    let mebibytes = |bytes: u64| format!("{}M", bytes.div_ceil(1 << 20));
    let forecast = match seen.full_in_seconds {
        Some(seconds) if seconds >= 2 * 86_400 => {
            format!("in {} days, if it goes on so", seconds / 86_400)
        }
        Some(seconds) => format!("in {} hours, if it goes on so", seconds / 3600),
        None => "not in sight".to_owned(),
    };
    let at = seen
        .at
        .map_or_else(|| "never".to_owned(), |at| at.to_string());
    let mut lines = vec![
        format!("Looked at: {at}"),
        format!(
            "Free:      {}, of which builds leave {}",
            mebibytes(seen.free_bytes),
            mebibytes(seen.reserve_bytes)
        ),
        format!("Full:      {forecast}"),
        String::new(),
        format!(
            "{:<30} {:>9} {:>9} {:>9} {:>9}",
            "app", "all", "layers", "git", "output"
        ),
    ];
    lines.extend(seen.apps.iter().map(|app| {
        format!(
            "{:<30} {:>9} {:>9} {:>9} {:>9}",
            app.app.as_str(),
            mebibytes(app.total_bytes()),
            mebibytes(app.layer_bytes),
            mebibytes(app.git_bytes),
            mebibytes(app.output_bytes)
        )
    }));
    lines
}

#[cfg(test)]
mod tests {
    use api::disk_use::AppDisk;

    use super::*;

    #[test]
    fn the_disk_is_told_in_a_few_lines() {
        let seen = DiskUse {
            free_bytes: 5 << 30,
            reserve_bytes: 1 << 30,
            full_in_seconds: Some(3 * 86_400 + 5),
            apps: vec![AppDisk {
                app: "shop".parse().unwrap(),
                layer_bytes: 30 << 20,
                git_bytes: 1,
                output_bytes: 0,
            }],
            ..DiskUse::default()
        };
        let lines = told(&seen);
        assert_eq!(lines[1], "Free:      5120M, of which builds leave 1024M");
        assert_eq!(lines[2], "Full:      in 3 days, if it goes on so");
        assert_eq!(
            lines[5],
            "shop                                 31M       30M        1M        0M"
        );
        assert_eq!(told(&DiskUse::default())[2], "Full:      not in sight");
    }
}
