//! The end of a group: its processes are killed, then its directories are removed.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

/// How often removing a group is tried, and the pause between: the kernel lets go of the last
/// process a little late.
const REMOVALS: usize = 40;
const REMOVAL_PAUSE: Duration = Duration::from_millis(5);

/// Kills every process of a group, however many it makes meanwhile.
pub(crate) fn kill(directory: &Path) {
    if fs::write(directory.join("cgroup.kill"), "1").is_ok() {
        return;
    }
    for _ in 0..REMOVALS {
        // Frozen, it makes no more; and a frozen process of version 1 dies when it thaws.
        set_freezer(directory, "FROZEN");
        let processes = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
        let processes: Vec<Pid> = processes
            .lines()
            .filter_map(|line| Pid::from_raw(line.parse().ok()?))
            .collect();
        for process in &processes {
            if let Err(error) = kill_process(*process, Signal::KILL) {
                tracing::debug!(?process, %error, "it has ended meanwhile");
            }
        }
        set_freezer(directory, "THAWED");
        if processes.is_empty() {
            return;
        }
    }
}

/// Sets a version 1 freezer, where the group has one.
fn set_freezer(directory: &Path, state: &str) {
    let file = directory.join("freezer.state");
    if file.exists()
        && let Err(error) = fs::write(file, state)
    {
        tracing::debug!(directory = %directory.display(), %error, "its freezer is stuck");
    }
}

/// Removes directories of groups; those that are gone are done with.
pub(super) async fn remove_empty(directories: &[PathBuf]) -> io::Result<()> {
    for directory in directories {
        let mut outcome = Ok(());
        for _ in 0..REMOVALS {
            outcome = fs::remove_dir(directory);
            match &outcome {
                Ok(()) => break,
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(_) => tokio::time::sleep(REMOVAL_PAUSE).await,
            }
        }
        match outcome {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
