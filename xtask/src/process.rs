//! Starting other programs: with their output shown, or collected.

use std::{
    ffi::OsString,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::out::{self, Stopwatch};

/// Runs a program with its output shown, announced by `title`.
///
/// # Errors
/// When it cannot be started or ends with another status than 0.
pub(crate) fn run(title: &str, command: &mut Command) -> Result<()> {
    out::step(title);
    let watch = Stopwatch::start();
    let program = command.get_program().to_os_string();
    let status = command
        .status()
        .with_context(|| format!("could not start {}", program.display()))?;
    if !status.success() {
        bail!("{title}: {} ended with {status}", program.display());
    }
    if watch.seconds() > 2.0 {
        out::say(format_args!("    {:.0} s", watch.seconds()));
    }
    Ok(())
}

/// Runs a program and gives what it printed; its complaints become the error.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_os_string();
    let answer = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("could not start {}", program.display()))?;
    if !answer.status.success() {
        bail!(
            "{} ended with {}: {}",
            program.display(),
            answer.status,
            String::from_utf8_lossy(&answer.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&answer.stdout).into_owned())
}

/// Where a program is, looked for in PATH and the system administrator's directories.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = variable("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(program))
        .find(|candidate| candidate.is_file())
}

/// An environment variable of the person who calls.
pub(crate) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// Whether this process may change the host.
pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self")
        .is_ok_and(|entry| std::os::unix::fs::MetadataExt::uid(&entry) == 0)
}

/// `cargo` as it runs us, in the workspace.
pub(crate) fn cargo(root: &Path) -> Command {
    let mut command = Command::new(variable("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    // Set by the cargo that runs this very program, about this very program.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("CARGO_PKG_") || name == "CARGO_MANIFEST_DIR" {
            command.env_remove(name);
        }
    }
    command
}

/// A child in a process group of its own; the whole group is killed when this is dropped.
pub(crate) struct Killed(pub(crate) Child);

impl Killed {
    /// Starts a program in a group of its own.
    pub(crate) fn spawn(command: &mut Command) -> Result<Self> {
        let program = command.get_program().to_os_string();
        let child = command.process_group(0).spawn();
        child
            .map(Self)
            .with_context(|| format!("could not start {}", program.display()))
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        let group = format!("-{}", self.0.id());
        drop(Command::new("kill").args(["-KILL", "--", &group]).status());
        drop(self.0.wait());
    }
}
