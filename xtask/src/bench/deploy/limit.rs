//! What a push costs without a platform: a `git push` to a bare repository on the same disk, plus
//! starting the very process that the dyno runs, with its files and environment, outside of any
//! isolation, until it answers.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};

use crate::{
    http,
    out::{self, Stopwatch},
    platform::Platform,
    process,
    push::Repository,
};

/// Both, in seconds.
pub(super) fn push_and_restart(
    platform: &Platform,
    app: &str,
    repository: &Repository,
    bare: &Path,
) -> Result<f64> {
    Ok(bare_push(repository, bare)? + bare_start(platform, app)?)
}

fn bare_push(repository: &Repository, bare: &Path) -> Result<f64> {
    if bare.exists() {
        fs::remove_dir_all(bare)?;
    }
    process::output(
        Command::new("git")
            .args(["init", "--quiet", "--bare"])
            .arg(bare),
    )?;
    repository.push_to(&bare.display().to_string(), None, false)
}

/// Starts the command of an app's running web dyno once more, in its root directory but in the host's
/// namespaces, on another port.
pub(in crate::bench) fn bare_start(platform: &Platform, app: &str) -> Result<f64> {
    let formation = platform
        .ready
        .call("GET", &format!("/apps/{app}/formation/web"), None)?;
    let command = formation["command"]
        .as_str()
        .context("the formation has no command")?;
    let dyno = find_dyno(&platform.slot()?).context("no process of the dyno was found")?;
    let port = std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port();
    let mut start = Command::new("chroot");
    start
        .arg(dyno.join("root"))
        .args(["/bin/sh", "-c", &format!("cd /app && {command}")])
        .env_clear()
        .envs(environment(&dyno)?)
        .env("PORT", port.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let watch = Stopwatch::start();
    let mut child = process::Killed::spawn(&mut start)?;
    let address = format!("127.0.0.1:{port}");
    let limits = (Duration::from_secs(30), Duration::from_millis(1));
    out::wait_until("the bare process", limits, || {
        child
            .0
            .try_wait()?
            .map_or(Ok(()), |status| Err(anyhow::anyhow!("it ended: {status}")))?;
        Ok(http::get(&address, "localhost", "/")
            .ok()
            .filter(|answer| answer.status < 500))
    })?;
    Ok(watch.seconds())
}

/// `/proc/PID` of a process in the web dyno of the platform with this slot number. The newest:
/// the program itself, after the shells that led to it.
fn find_dyno(slot: &str) -> Option<PathBuf> {
    let processes = fs::read_dir("/proc")
        .ok()?
        .filter_map(Result::ok)
        .map(|entry| entry.path());
    let is_ours = format!("/landfall/{slot}/");
    processes
        .filter(|path| {
            let groups = fs::read_to_string(path.join("cgroup")).unwrap_or_default();
            let environment = fs::read(path.join("environ")).unwrap_or_default();
            groups.contains(&is_ours)
                && environment
                    .split(|byte| *byte == 0)
                    .any(|variable| variable == b"DYNO=web.1")
        })
        .max_by_key(|path| path.file_name()?.to_str()?.parse::<u32>().ok())
}

fn environment(process: &Path) -> Result<Vec<(String, String)>> {
    let bytes = fs::read(process.join("environ"))?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let pairs = text
        .split('\0')
        .filter_map(|variable| variable.split_once('='));
    Ok(pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect())
}
