//! A dyno's sleep: its frozen cgroup, and the tickets that keep a wake from being lost.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::sys;

/// How a version 1 freezer is called.
const VERSION_1: &str = "freezer.state";
/// How often it is looked whether every process has stopped. It takes a fraction of a millisecond,
/// unless one is stuck in the kernel.
const LOOKS: usize = 100;
/// The pause between.
const LOOK_PAUSE_MS: i64 = 1;

/// See the module.
#[derive(Debug)]
pub(crate) struct Sleep {
    /// The file that does it; without one, the dyno never sleeps.
    switch: Option<PathBuf>,
    is_frozen: bool,
    /// Of the last freeze or thaw.
    ticket: u64,
    /// Of the last thaw: a freeze has to come after it.
    woken: u64,
}

impl Sleep {
    /// Awake.
    pub(crate) fn new(switch: Option<PathBuf>) -> Self {
        Self {
            switch,
            is_frozen: false,
            ticket: 0,
            woken: 0,
        }
    }

    /// Whether it is frozen.
    pub(crate) fn is_frozen(&self) -> bool {
        self.is_frozen
    }

    /// The ticket of the last freeze or thaw.
    pub(crate) fn ticket(&self) -> u64 {
        self.ticket
    }

    /// Freezes every process. Returns whether they are all frozen; if not, none is.
    pub(crate) fn freeze(&mut self, ticket: u64) -> bool {
        let Some(switch) = self.switch.as_deref().filter(|_| ticket > self.woken) else {
            return false;
        };
        if set(switch, true).is_err() || !(0..LOOKS).any(|_| has_frozen(switch)) {
            // One that was frozen before is awake now, which is what the caller is told.
            self.is_frozen = set(switch, false).is_err() && self.is_frozen;
            return false;
        }
        self.is_frozen = true;
        self.ticket = self.ticket.max(ticket);
        true
    }

    /// Thaws every process, and refuses freezes up to this ticket from now on. Returns whether
    /// they are awake.
    pub(crate) fn thaw(&mut self, ticket: u64) -> bool {
        let is_awake = self
            .switch
            .as_deref()
            .is_some_and(|switch| set(switch, false).is_ok());
        if is_awake {
            self.is_frozen = false;
            self.woken = self.woken.max(ticket);
            self.ticket = self.ticket.max(ticket);
        }
        is_awake
    }

    /// Wakes it for another reason than a ticket. Returns whether it was asleep.
    pub(crate) fn wake(&mut self) -> bool {
        self.is_frozen && self.thaw(self.ticket)
    }
}

fn set(switch: &Path, is_frozen: bool) -> io::Result<()> {
    let word = match (switch.ends_with(VERSION_1), is_frozen) {
        (true, true) => "FROZEN",
        (true, false) => "THAWED",
        (false, true) => "1",
        (false, false) => "0",
    };
    // Not `fs::write`: there is nothing to make or cut off in a cgroup.
    fs::File::options()
        .write(true)
        .open(switch)
        .and_then(|mut switch| io::Write::write_all(&mut switch, word.as_bytes()))
}

/// Looks once, and pauses if it is not so yet.
fn has_frozen(switch: &Path) -> bool {
    let has = |path: &Path, line: &str| {
        fs::read_to_string(path).is_ok_and(|text| text.lines().any(|found| found == line))
    };
    let is_frozen = if switch.ends_with(VERSION_1) {
        has(switch, "FROZEN")
    } else {
        has(&switch.with_file_name("cgroup.events"), "frozen 1")
    };
    if !is_frozen {
        // Nothing is watched, so this only pauses.
        drop(sys::poll(&mut [], Some(LOOK_PAUSE_MS)));
    }
    is_frozen
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A group that never freezes by itself, as a plain directory.
    struct Group(PathBuf);

    impl Group {
        fn new(name: &str, events: &str) -> Self {
            let path = std::env::temp_dir().join(format!("sleep-{name}-{}", std::process::id()));
            fs::create_dir(&path).unwrap();
            fs::write(path.join("cgroup.freeze"), "").unwrap();
            fs::write(path.join("cgroup.events"), events).unwrap();
            Self(path)
        }

        fn switch(&self) -> PathBuf {
            self.0.join("cgroup.freeze")
        }

        fn word(&self) -> String {
            fs::read_to_string(self.switch()).unwrap()
        }
    }

    impl Drop for Group {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn a_wake_is_never_lost() {
        let group = Group::new("tickets", "populated 1\nfrozen 1\n");
        let mut sleep = Sleep::new(Some(group.switch()));
        let state = |sleep: &Sleep| (sleep.is_frozen(), sleep.ticket(), group.word());
        assert!(sleep.freeze(5) && sleep.freeze(5) && sleep.freeze(4));
        assert_eq!(state(&sleep), (true, 5, "1".to_owned()));
        assert!(sleep.thaw(5));
        assert_eq!(state(&sleep), (false, 5, "0".to_owned()));
        assert!(!sleep.freeze(5) && !sleep.freeze(4));
        assert!(sleep.freeze(6));
        assert!(sleep.wake() && !sleep.wake());
        assert!(!sleep.freeze(6) && sleep.freeze(8));
        assert!(sleep.thaw(7), "an older ticket wakes as well");
        assert_eq!(state(&sleep), (false, 8, "0".to_owned()));
        assert!(!sleep.freeze(7) && sleep.freeze(8));
    }

    #[test]
    fn what_does_not_freeze_whole_is_left_awake() {
        let group = Group::new("stuck", "populated 1\nfrozen 0\n");
        let mut sleep = Sleep::new(Some(group.switch()));
        assert!(!sleep.freeze(1) && !sleep.is_frozen());
        assert_eq!(group.word(), "0");
        let mut never = Sleep::new(None);
        assert!(!never.freeze(1) && !never.thaw(1));
    }
}
