//! `landfall doctor`: what this machine offers the platform, and what is missing.

use std::{path::Path, process::ExitCode};

use anyhow::Result;

use super::say;
use crate::config::{Choices, Surroundings};

/// Programs the platform calls.
const PROGRAMS: &[(&str, &str)] = &[
    ("git", "pushes"),
    ("nft", "the dynos' firewall"),
    ("ip", "the dynos' network"),
    ("mmdebstrap", "building a stack"),
];

/// Arguments of `landfall doctor`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    choices: Choices,
}

/// Prints a line per fact; the status says whether all is there.
pub(super) fn run(arguments: Arguments) -> Result<ExitCode> {
    let surroundings = Surroundings::of_this_process();
    let config = super::config(arguments.choices)?;
    let mut missing = 0;
    let mut fact = |name: &str, found: Result<String, String>| {
        let text = match found {
            Ok(text) => format!("ok       {name:<18} {text}"),
            Err(hint) => {
                missing += 1;
                format!("missing  {name:<18} {hint}")
            }
        };
        say(text);
    };
    fact("kernel", Ok(read("/proc/sys/kernel/osrelease")));
    fact("cgroups", cgroups());
    let is_root = surroundings.is_root;
    fact(
        "root",
        if is_root {
            Ok("yes".to_owned())
        } else {
            Err("run as root".to_owned())
        },
    );
    for (program, purpose) in PROGRAMS {
        let found = surroundings.find_program(program);
        let found = found.map(|path| path.display().to_string());
        fact(
            program,
            found.ok_or_else(|| format!("needed for {purpose}")),
        );
    }
    let shim = config.shim.display().to_string();
    let has_shim = config.shim.is_file();
    fact(
        "landfall-shim",
        if has_shim {
            Ok(shim)
        } else {
            Err(format!(
                "expected at {shim}; `cargo xtask shim release` builds it"
            ))
        },
    );
    let stack = engine_local::stacks::find(&config.cache, &config.stack);
    let stack = stack.map(|root| root.display().to_string());
    let hint = format!("`landfall stacks:build {}` builds it", config.stack);
    fact(config.stack.as_str(), stack.ok_or(hint));
    fact("data", Ok(config.data.display().to_string()));
    Ok(if missing == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path)
        .unwrap_or_default()
        .trim()
        .to_owned()
}

fn cgroups() -> Result<String, String> {
    if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        Ok("version 2".to_owned())
    } else if Path::new("/sys/fs/cgroup/memory").is_dir() {
        Ok("version 1".to_owned())
    } else {
        Err("mount them at /sys/fs/cgroup".to_owned())
    }
}
