//! The files of a dyno's directory, `run/dynos/<dyno id>/`.
//!
//! The shim writes them; the engine reads them, also after both have been away.

use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::start::{Place, Step};

/// JSON [`State`], there from the moment the dyno runs.
pub const STATE: &str = "state";
/// JSON [`Exit`], there from the moment the dyno has ended and its log is complete.
pub const EXIT: &str = "exit";
/// One JSON [`Restart`] a line: crashes that nobody watched. Absent before the first.
pub const HISTORY: &str = "history";
/// Locked (flock) by the shim as long as it lives.
pub const LOCK: &str = "lock";
/// The control socket.
pub const CONTROL: &str = "ctl.sock";
/// The log spool, a directory; see [`crate::spool`].
pub const LOG: &str = "log";
/// What a dyno with a terminal or pipes wrote before it ended, if nobody attached.
pub const OUTPUT: &str = "output";
/// What is written to `/app` without a capture.
pub const UPPER: &str = "upper";
/// The overlay's scratch directory.
pub const WORK: &str = "work";
/// `/tmp`, if it is on disk.
pub const TMP: &str = "tmp";
/// The directory that the shim mounts things on, where nobody else sees them: one that it does not
/// look into meanwhile, because each directory costs memory.
pub const MOUNTS: &str = LOG;

/// A running dyno. Holds no secrets.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct State {
    /// The wire version of the shim that wrote it.
    pub version: u8,
    /// The shim's process id.
    pub shim: i32,
    /// The process id, on the host, of the dyno's first process.
    pub process: i32,
    /// When that process began, in clock ticks since boot: tells it from a later one of its id.
    pub process_started_ticks: u64,
    /// When, in microseconds since the epoch.
    pub started_at_micros: i64,
    /// Its cgroup.
    pub cgroup: Place,
    /// The overlay's scratch directory, where it is not in the dyno's own directory.
    pub capture_work: Option<PathBuf>,
    /// The notes of the start request.
    pub notes: serde_json::Value,
    /// How often the shim has started it again.
    #[serde(default)]
    pub restarts: u64,
    /// What its last start took: the step that ended, and microseconds since the one before.
    #[serde(default)]
    pub trace: Vec<(Step, u64)>,
}

/// A crash that nobody watched, and the start after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// Counts from 1.
    pub number: u64,
    /// How it ended.
    pub exit: Exit,
    /// When it was started again, microseconds since the epoch.
    pub started_at_micros: i64,
}

/// The most restarts that [`HISTORY`] is read for.
pub const HISTORY_LENGTH: usize = 1_000;
/// How many more it may hold before it is cut.
const HISTORY_SLACK: u64 = 100;

/// Adds a restart to the history of the dyno in `directory`.
pub fn append_restart(directory: &Path, restart: &Restart) -> io::Result<()> {
    let path = directory.join(HISTORY);
    if restart.number.is_multiple_of(HISTORY_SLACK) {
        cut(&path)?;
    }
    let mut line = serde_json::to_vec(restart)?;
    line.push(b'\n');
    let mut file = fs::File::options().create(true).append(true).open(path)?;
    file.write_all(&line)
}

/// Leaves room for the slack at most.
fn cut(path: &Path) -> io::Result<()> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    let lines = text.lines().count();
    let rest = text
        .split_inclusive('\n')
        .skip(lines.saturating_sub(HISTORY_LENGTH));
    write_whole(path, rest.collect::<String>().as_bytes())
}

/// The last restarts of the dyno in `directory`, oldest first.
pub fn read_restarts(directory: &Path) -> io::Result<Vec<Restart>> {
    let text = match fs::read_to_string(directory.join(HISTORY)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    // A torn last line is not there yet.
    let mut restarts: Vec<Restart> = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    restarts.drain(..restarts.len().saturating_sub(HISTORY_LENGTH));
    Ok(restarts)
}

/// How a dyno ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a record of facts that do not exclude each other"
)]
pub struct Exit {
    /// The wire version of the program that wrote it.
    pub version: u8,
    /// Exit status, unless a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Whether the kernel killed a process of it for lack of memory.
    pub is_out_of_memory: bool,
    /// Nobody saw it end.
    pub is_lost: bool,
    /// When, in microseconds since the epoch.
    pub at_micros: i64,
    /// Processor time it used in user mode, microseconds.
    pub user_micros: i64,
    /// Processor time the kernel used for it, microseconds.
    pub system_micros: i64,
    /// Log lines that could not be kept.
    pub dropped_lines: u64,
    /// It was ended for writing more than it may.
    #[serde(default)]
    pub is_over_disk: bool,
    /// It was killed when the grace after SIGTERM was over.
    #[serde(default)]
    pub was_forced: bool,
}

/// Writes `value` as JSON so that a reader finds all of it or nothing.
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    write_whole(path, &serde_json::to_vec(value)?)
}

/// Writes `bytes` so that a reader finds all of them or nothing.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    fs::write(&fresh, bytes)?;
    fs::rename(&fresh, path)
}

/// Reads what [`write_json`] wrote; `None` if it is not there.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The start time in the text of `/proc/<pid>/stat`, in clock ticks since boot.
pub fn start_ticks(stat: &str) -> Option<u64> {
    // The second field is a name in parentheses that may hold anything, so count from its end.
    stat.rsplit_once(')')?
        .1
        .split_ascii_whitespace()
        .nth(19)?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_history_keeps_the_last_restarts() {
        let directory = std::env::temp_dir().join(format!("history-{}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        assert!(read_restarts(&directory).unwrap().is_empty());
        for number in 1..=1_250 {
            let restart = Restart {
                number,
                exit: Exit::default(),
                started_at_micros: 0,
            };
            append_restart(&directory, &restart).unwrap();
        }
        let path = directory.join(HISTORY);
        let mut text = fs::read_to_string(&path).unwrap();
        text.push_str("{\"number\":12");
        fs::write(path, &text).unwrap();
        let restarts = read_restarts(&directory).unwrap();
        fs::remove_dir_all(&directory).unwrap();
        let numbers: Vec<u64> = restarts.iter().map(|restart| restart.number).collect();
        assert_eq!(numbers, (251..=1_250).collect::<Vec<_>>());
        assert!(text.lines().count() <= 1_101);
    }

    #[test]
    fn start_ticks_are_found_behind_any_name() {
        let fields: Vec<String> = (3..=52).map(|number| number.to_string()).collect();
        let stat = format!("12 (a ) 1 (b) {}", fields.join(" "));
        assert_eq!(start_ticks(&stat), Some(22));
        assert_eq!(start_ticks("12 (sh"), None);
    }
}
