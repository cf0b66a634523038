//! What the operating system says of this process.

use std::{fs, io};

use rustix::process::{Resource, getrlimit};

/// The unit of times in `/proc`: Linux shows programs a hundredth of a second on every architecture
/// that we run on (`USER_HZ`).
const TICK_MICROS: u64 = 10_000;

/// What this process uses.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) cpu_micros: u64,
    pub(crate) resident_bytes: u64,
    pub(crate) open_files: u64,
    /// None where there is no limit.
    pub(crate) max_files: Option<u64>,
}

/// Looks into `/proc`. Errors: there is none, or it is not as it should be.
pub(crate) fn usage() -> io::Result<Usage> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let status = fs::read_to_string("/proc/self/status")?;
    let ticks = cpu_ticks(&stat).ok_or(io::ErrorKind::InvalidData)?;
    let resident_kb = resident_kb(&status).ok_or(io::ErrorKind::InvalidData)?;
    Ok(Usage {
        cpu_micros: ticks.saturating_mul(TICK_MICROS),
        resident_bytes: resident_kb.saturating_mul(1024),
        open_files: fs::read_dir("/proc/self/fd")?.count() as u64,
        max_files: getrlimit(Resource::Nofile).current,
    })
}

fn resident_kb(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// User and system time, in the words of `proc_pid_stat(5)`. The program's name before them may hold
/// anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut fields = behind_name.split_ascii_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_behind_the_name() {
        let stat = "7 (a) b 1 2) S 1 7 7 0 -1 4194560 1 0 0 0 120 34 0 0 20 0 1 0 5";
        assert_eq!(cpu_ticks(stat), Some(154));
        assert_eq!(cpu_ticks("7 (a"), None);
    }

    #[test]
    fn memory_is_a_line_of_the_status() {
        let status = "Name:\ta\nVmHWM:\t   90 kB\nVmRSS:\t   5120 kB\n";
        assert_eq!(resident_kb(status), Some(5120));
        assert_eq!(resident_kb("Name:\ta\n"), None);
    }

    #[test]
    fn this_process_uses_something() {
        let usage = usage().unwrap();
        assert!(usage.resident_bytes > 1_000_000);
        assert!(usage.open_files >= 3);
    }
}
