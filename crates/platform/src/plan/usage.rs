//! What to say of a dyno's use of memory, of its end, of a client that left it, and of log lines it
//! could not keep.
//!
//! Pure: the loop in `reconcile::usage` brings the readings, `watch` the lines.

use std::time::Duration;

use api::clock::Time;
use engine::DynoExit;

/// An episode over the quota ends below this share of it, in percent, so that a dyno that sways
/// about its quota is one episode.
const CALM_PERCENT: u64 = 95;
/// Dropped lines are told of this often at most.
const DROPPED_EVERY: Duration = Duration::from_secs(10);

/// What a dyno uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Memory in use.
    pub memory_bytes: u64,
    /// The quota of its size.
    pub memory_quota_bytes: u64,
    /// Written to disk.
    pub disk_bytes: u64,
    /// The most that may be, if there is a limit.
    pub disk_quota_bytes: Option<u64>,
    /// Whether it is in an episode over its memory quota: Heroku's R14.
    pub is_over_memory: bool,
    /// Whether its client had left it, and it ran on.
    pub is_detached: bool,
    /// When this was read.
    pub at: Time,
}

/// How an episode changed with a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Episode {
    /// None began or ended.
    Same,
    /// The dyno went over its quota.
    Began,
    /// It is below again.
    Ended,
}

/// What a new reading means: the usage to keep, what became of the episode, and the lines to write.
pub fn read(before: Option<&Usage>, mut reading: Usage) -> (Usage, Episode, Vec<String>) {
    let was_over = before.is_some_and(|before| before.is_over_memory);
    let (used, quota) = (reading.memory_bytes, reading.memory_quota_bytes);
    let is_above = quota > 0 && used > quota;
    let is_calm = used.saturating_mul(100) < quota.saturating_mul(CALM_PERCENT);
    reading.is_over_memory = is_above || (was_over && !is_calm);
    let episode = match (was_over, reading.is_over_memory) {
        (false, true) => Episode::Began,
        (true, false) => Episode::Ended,
        _ => Episode::Same,
    };
    let lines = if is_above {
        vec![
            running(used, quota),
            "Error R14 (Memory quota exceeded)".to_owned(),
        ]
    } else {
        Vec::new()
    };
    (reading, episode, lines)
}

/// Heroku's line before R14 and R15: `Process running mem=520M(101.6%)`.
fn running(used: u64, quota: u64) -> String {
    let tenths = (used.saturating_mul(2000) / quota.max(1)).div_ceil(2);
    format!(
        "Process running mem={}M({}.{}%)",
        used >> 20,
        tenths / 10,
        tenths % 10
    )
}

/// Heroku's R16, when a dyno has run on between two looks after its client left it.
pub fn detached(before: Option<&Usage>, reading: &Usage) -> Option<&'static str> {
    let was_detached = before.is_some_and(|before| before.is_detached);
    (was_detached && reading.is_detached).then_some(
        "Error R16 (Detached) -> An attached process is not responding to SIGHUP after its external connection was closed",
    )
}

/// The lines about a dyno's end, and the code of what went wrong, if it was the platform that
/// ended it or lost it. `quota` is its memory quota, `disk` the most it might write, both in bytes.
pub fn end(exit: &DynoExit, quota: u64, disk: Option<u64>) -> (Vec<String>, Option<&'static str>) {
    let mut lines = Vec::new();
    let mut code = None;
    let mut say = |line: &str| lines.push(line.to_owned());
    if exit.is_lost {
        code = Some("R99");
        say("Error R99 (Platform error) -> The dyno's machine or its keeper went away");
    }
    if exit.was_forced {
        code = Some("R12");
        say(
            "Error R12 (Exit timeout) -> At least one process failed to exit within 30 seconds of SIGTERM",
        );
        say("Stopping remaining processes with SIGKILL");
    }
    if exit.is_over_disk {
        code = Some(OVER_DISK);
        let most = disk.map_or_else(String::new, |bytes| format!(" more than {}M", bytes >> 20));
        // Heroku, whose dynos have disks of their own, has no code for this.
        say(&format!(
            "Error (Disk quota exceeded) -> The dyno wrote{most} below /app and /tmp"
        ));
        say("Stopping process with SIGKILL");
    }
    if exit.is_out_of_memory {
        code = Some("R15");
        // The kernel ends it when it reaches twice its quota.
        say(&running(quota * 2, quota));
        say("Error R15 (Memory quota vastly exceeded)");
        say("Stopping process with SIGKILL");
    }
    say(&format!("Process exited with status {}", exit.status()));
    (lines, code)
}

/// The code of a dyno that wrote too much.
pub const OVER_DISK: &str = "disk_quota_exceeded";

/// Log lines of one dyno that were not kept: seen as gaps in their numbers, and told together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    count: u64,
    since: Time,
    told_at: Option<Time>,
}

impl Dropped {
    /// Counts what is missing between two numbers that follow each other in the log; `at` is when
    /// the line before the gap was written.
    pub fn gap(&mut self, before: u64, next: u64, at: Time) {
        let missing = next.saturating_sub(before).saturating_sub(1);
        if missing == 0 {
            return;
        }
        if self.count == 0 {
            self.since = at;
        }
        self.count += missing;
    }

    /// Heroku's line, when it is time for one: at most every ten seconds, and at the end.
    pub fn line(&mut self, now: Time, is_end: bool) -> Option<String> {
        let is_due = self
            .told_at
            .is_none_or(|told_at| now.since(told_at) >= DROPPED_EVERY);
        if self.count == 0 || !(is_due || is_end) {
            return None;
        }
        let line = format!(
            "Error L10 (output buffer overflow): {} messages dropped since {}.",
            self.count,
            self.since.to_rfc3339().replace('Z', "+00:00"),
        );
        *self = Self {
            told_at: Some(now),
            ..Self::default()
        };
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn reading(memory_mib: u64) -> Usage {
        Usage {
            memory_bytes: memory_mib * MIB,
            memory_quota_bytes: 512 * MIB,
            ..Usage::default()
        }
    }

    /// Readings one after the other, and what each is to say.
    fn check(readings: &[(u64, Episode, Option<&str>)]) {
        let mut before = None;
        for (memory_mib, expected, first_line) in readings {
            let (usage, episode, lines) = read(before.as_ref(), reading(*memory_mib));
            assert_eq!(episode, *expected, "at {memory_mib}M");
            assert_eq!(
                lines.first().map(String::as_str),
                *first_line,
                "at {memory_mib}M"
            );
            before = Some(usage);
        }
    }

    #[test]
    fn an_episode_over_the_quota_begins_and_ends_once() {
        check(&[
            (512, Episode::Same, None),
            (
                520,
                Episode::Began,
                Some("Process running mem=520M(101.6%)"),
            ),
            (627, Episode::Same, Some("Process running mem=627M(122.5%)")),
            (500, Episode::Same, None),
            (513, Episode::Same, Some("Process running mem=513M(100.2%)")),
            (400, Episode::Ended, None),
            (400, Episode::Same, None),
        ]);
        let (_, _, lines) = read(None, reading(513));
        assert_eq!(lines[1], "Error R14 (Memory quota exceeded)");
    }

    #[test]
    fn a_dyno_is_detached_when_it_stays_so_for_a_look() {
        let at = |is_detached| Usage {
            is_detached,
            ..reading(100)
        };
        for (before, now, expected) in [
            (None, true, false),
            (Some(false), true, false),
            (Some(true), true, true),
            (Some(true), false, false),
        ] {
            let told = detached(before.map(at).as_ref(), &at(now));
            assert_eq!(told.is_some(), expected, "{before:?} {now}");
        }
    }

    fn exit(change: impl FnOnce(&mut DynoExit)) -> DynoExit {
        let mut exit = DynoExit {
            code: None,
            signal: Some(9),
            is_out_of_memory: false,
            is_lost: false,
            is_over_disk: false,
            was_forced: false,
            at: Time::default(),
        };
        change(&mut exit);
        exit
    }

    #[test]
    fn ends_are_told_in_herokus_words() {
        let told = |exit: &DynoExit| {
            let (lines, code) = end(exit, 512 * MIB, Some(100 * MIB));
            (lines.join("\n"), code)
        };
        assert_eq!(
            told(&exit(|_| {})),
            ("Process exited with status 137".to_owned(), None)
        );
        assert_eq!(
            told(&exit(|exit| exit.is_out_of_memory = true)),
            (
                "Process running mem=1024M(200.0%)\n\
                 Error R15 (Memory quota vastly exceeded)\n\
                 Stopping process with SIGKILL\n\
                 Process exited with status 137"
                    .to_owned(),
                Some("R15")
            )
        );
        assert_eq!(
            told(&exit(|exit| exit.was_forced = true)),
            (
                "Error R12 (Exit timeout) -> At least one process failed to exit within 30 seconds of SIGTERM\n\
                 Stopping remaining processes with SIGKILL\n\
                 Process exited with status 137"
                    .to_owned(),
                Some("R12")
            )
        );
        let (text, code) = told(&exit(|exit| exit.is_over_disk = true));
        assert!(text.starts_with("Error (Disk quota exceeded) -> The dyno wrote more than 100M"));
        assert_eq!(code, Some(OVER_DISK));
    }

    #[test]
    fn dropped_lines_are_told_together() {
        let mut dropped = Dropped::default();
        let at = |seconds| Time::default().after(Duration::from_secs(seconds));
        dropped.gap(1, 2, at(1));
        assert_eq!(dropped.line(at(1), true), None, "nothing is missing");
        dropped.gap(2, 6, at(1));
        assert_eq!(
            dropped.line(at(2), false).unwrap(),
            "Error L10 (output buffer overflow): 3 messages dropped since 1970-01-01T00:00:01+00:00."
        );
        dropped.gap(6, 8, at(3));
        dropped.gap(8, 10, at(4));
        assert_eq!(dropped.line(at(5), false), None, "too soon");
        let line = dropped.line(at(12), false).unwrap();
        assert!(line.contains(": 2 messages dropped since 1970-01-01T00:00:03+00:00."));
        dropped.gap(10, 12, at(13));
        assert!(dropped.line(at(13), true).is_some(), "the end waits not");
    }
}
