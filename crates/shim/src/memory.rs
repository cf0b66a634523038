//! Lack of memory: what the kernel has killed in the dyno's cgroup.
//!
//! Under version 2 it kills the whole dyno by itself; under version 1 one process, so the shim asks
//! to be told and kills the rest.

use std::{
    fs::{self, File},
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use crate::sys;

/// Version 1's file to ask for notices.
const NOTICES: &str = "cgroup.event_control";
/// The kernel gives notice before it kills: for how long its count is looked at, and how often.
const LOOK_MS: i64 = 2_000;
/// The pause between.
const LOOK_PAUSE_MS: i64 = 2;

/// See the module.
#[derive(Debug)]
pub(crate) struct Memory {
    /// The file that counts.
    counts: Option<PathBuf>,
    /// What was counted before the program was started.
    before: u64,
    /// Becomes readable when this cgroup, or one above, is out of memory.
    notices: Option<OwnedFd>,
    looking_until_ms: Option<i64>,
}

impl Memory {
    /// Watches the cgroup that this file of counts belongs to.
    pub(crate) fn watch(counts: Option<PathBuf>) -> Self {
        // Without notices one process is killed, as the kernel does it.
        let notices = counts.as_deref().and_then(|path| ask(path).ok());
        let mut memory = Self {
            counts,
            before: 0,
            notices,
            looking_until_ms: None,
        };
        memory.begin();
        memory
    }

    /// A program begins: what was before does not count.
    pub(crate) fn begin(&mut self) {
        self.before = self.killed();
        self.looking_until_ms = None;
    }

    /// What to poll.
    pub(crate) fn notices(&self) -> Option<BorrowedFd<'_>> {
        self.notices.as_ref().map(AsFd::as_fd)
    }

    /// There was a notice.
    pub(crate) fn take_notice(&mut self, now_ms: i64) {
        let count = self.notices.as_ref().and_then(|fd| fd.try_clone().ok());
        // What it counts does not matter; reading it makes it wait for the next.
        if let Some(fd) = count {
            drop(io::Read::read(&mut File::from(fd), &mut [0; 8]));
        }
        self.looking_until_ms = Some(now_ms + LOOK_MS);
    }

    /// When to look for a kill.
    pub(crate) fn look_at_ms(&self, now_ms: i64) -> Option<i64> {
        self.looking_until_ms.map(|_| now_ms + LOOK_PAUSE_MS)
    }

    /// Whether the kernel has killed a process since the notice; once.
    pub(crate) fn has_just_killed(&mut self, now_ms: i64) -> bool {
        let Some(until) = self.looking_until_ms else {
            return false;
        };
        let has_killed = self.has_killed();
        if has_killed || now_ms >= until {
            self.looking_until_ms = None;
        }
        has_killed
    }

    /// Whether the kernel has killed a process of this run.
    pub(crate) fn has_killed(&self) -> bool {
        self.killed() > self.before
    }

    fn killed(&self) -> u64 {
        self.counts.as_deref().map_or(0, oom_kills)
    }
}

/// Asks version 1 for notices; an error under version 2, which needs none.
fn ask(counts: &Path) -> io::Result<OwnedFd> {
    let control = counts.with_file_name(NOTICES);
    let mut control = File::options().write(true).open(control)?;
    let counts = File::open(counts)?;
    let notices = sys::event()?;
    let line = format!("{} {}", notices.as_raw_fd(), counts.as_raw_fd());
    io::Write::write_all(&mut control, line.as_bytes())?;
    Ok(notices)
}

/// The count in the `oom_kill N` line of `memory.events` (version 2) or `memory.oom_control` (1).
fn oom_kills(path: &Path) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    count
        .and_then(|count| count.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_kills_of_this_run_count() {
        let path = std::env::temp_dir().join(format!("shim-memory-{}", std::process::id()));
        let count = |kills: u64| fs::write(&path, format!("oom 7\noom_kill {kills}\n")).unwrap();
        count(3);
        let mut memory = Memory::watch(Some(path.clone()));
        assert!(!memory.has_killed() && memory.look_at_ms(0).is_none());
        memory.take_notice(0);
        assert!(!memory.has_just_killed(1) && memory.look_at_ms(1).is_some());
        count(4);
        assert!(memory.has_just_killed(2) && !memory.has_just_killed(3));
        assert!(memory.has_killed());
        memory.begin();
        assert!(!memory.has_killed());
        memory.take_notice(0);
        assert!(!memory.has_just_killed(LOOK_MS) && memory.look_at_ms(0).is_none());
        fs::remove_file(&path).unwrap();
    }
}
