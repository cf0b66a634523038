//! How git is started: with an environment and configuration of ours alone.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::Command,
};

use crate::{config::SourceConfig, error::SourceError};

/// Where git and the programs it starts are looked for.
const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// git refuses to have more than this in memory in one piece. A few kilobytes of a pack can claim
/// to be a tree of many gigabytes; blobs above `core.bigFileThreshold` (512m) are streamed.
const LARGEST_PIECE: &str = "520m";
/// As much of git's complaints is kept.
const STDERR_BYTES: u64 = 8 * 1024;

/// Starts git commands.
#[derive(Clone, Debug)]
pub(crate) struct Git {
    hooks_dir: PathBuf,
    max_push_bytes: u64,
}

/// Objects of a push that git has not yet taken over.
#[derive(Clone, Debug)]
pub(crate) struct Quarantine {
    pub(crate) objects: String,
    pub(crate) alternates: String,
}

impl Git {
    pub(crate) fn new(config: &SourceConfig) -> Self {
        Self {
            hooks_dir: config.hooks_dir.clone(),
            max_push_bytes: config.max_push_bytes,
        }
    }

    /// `git SUBCOMMAND` in `directory`, its output piped, in a process group of its own so that a
    /// Ctrl-C meant for the server does not end a push.
    pub(crate) fn command(&self, directory: &Path, subcommand: &str) -> Command {
        let mut command = Command::new("git");
        command
            .env_clear()
            .env("PATH", SEARCH_PATH)
            .env("HOME", "/nonexistent")
            .env("LC_ALL", "C.UTF-8")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ALLOC_LIMIT", LARGEST_PIECE)
            .current_dir(directory)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let settings = self.settings(directory);
        command.env("GIT_CONFIG_COUNT", settings.len().to_string());
        for (index, (key, value)) in settings.iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{index}"), key);
            command.env(format!("GIT_CONFIG_VALUE_{index}"), value);
        }
        command.arg(subcommand);
        command
    }

    fn settings(&self, directory: &Path) -> Vec<(&'static str, String)> {
        let text = str::to_owned;
        vec![
            ("core.hooksPath", self.hooks_dir.display().to_string()),
            ("safe.directory", directory.display().to_string()),
            // A pack stays a pack: exploding it into loose objects costs far more than it saves.
            // Each thread may hold two of the largest pieces.
            ("pack.threads", text("2")),
            ("receive.unpackLimit", text("1")),
            ("receive.maxInputSize", self.max_push_bytes.to_string()),
            ("receive.shallowUpdate", text("true")),
            ("receive.keepAlive", text("5")),
            ("receive.autogc", text("false")),
            ("gc.auto", text("0")),
            ("maintenance.auto", text("false")),
            ("transfer.fsckObjects", text("true")),
            // Harmless slips that old histories are full of.
            ("receive.fsck.badTimezone", text("ignore")),
            ("receive.fsck.missingSpaceBeforeDate", text("ignore")),
            ("receive.fsck.zeroPaddedFilemode", text("ignore")),
            ("uploadpack.allowFilter", text("true")),
            ("tar.umask", text("0022")),
        ]
    }

    /// Runs a command to its end and returns what it printed.
    pub(crate) async fn output(
        &self,
        mut command: Command,
        name: &'static str,
    ) -> Result<Vec<u8>, SourceError> {
        let output = command
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|source| SourceError::GitStart {
                command: name,
                source,
            })?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let mut stderr = output.stderr;
        stderr.truncate(usize::try_from(STDERR_BYTES).unwrap_or(usize::MAX));
        Err(SourceError::Git {
            command: name,
            status: output.status,
            stderr: String::from_utf8_lossy(&stderr).trim().to_owned(),
        })
    }
}

impl Quarantine {
    /// Lets a command see the quarantined objects too.
    pub(crate) fn admit(&self, command: &mut Command) {
        command.env("GIT_OBJECT_DIRECTORY", &self.objects);
        command.env("GIT_ALTERNATE_OBJECT_DIRECTORIES", &self.alternates);
    }
}

/// Reads all of what git complains about and keeps the start.
pub(crate) async fn read_stderr(stderr: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut stderr) = stderr else {
        return String::new();
    };
    let mut start = Vec::new();
    let read = (&mut stderr)
        .take(STDERR_BYTES)
        .read_to_end(&mut start)
        .await;
    if read.is_ok() {
        drop(tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await);
    }
    String::from_utf8_lossy(&start).trim().to_owned()
}
