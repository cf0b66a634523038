//! Whether builds have to pause, because what they take is missed elsewhere. Pure.
//!
//! Processor time and the disk's are shared by weight, and builds weigh little; memory cannot be
//! given back by weight, and a disk that is busy to the full delays everybody. Whatever else it may
//! be that live apps miss, their requests take longer. Read [`decide`].

use std::time::Duration;

use api::clock::Time;

/// Longest pause at once, so that a build comes to an end on a machine that is always busy.
const LONGEST: Duration = Duration::from_secs(20);
/// Shortest pause: live apps answer faster as soon as it begins, which would end it.
const SHORTEST: Duration = Duration::from_secs(10);
/// Shortest time between two pauses.
const BETWEEN: Duration = Duration::from_secs(10);

/// How hard memory and disk are pressed: shares of time in percent over ten seconds, as
/// `/proc/pressure` gives them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pressure {
    /// Some task waited for memory.
    pub memory_some: f64,
    /// All tasks waited for the disk.
    pub io_full: f64,
    /// Memory that can still be had, in percent of all; for kernels that tell no pressure, too.
    pub available: f64,
    /// Requests to live apps that are slow, in percent, see [`super::pace::Pace::take`].
    pub slow_requests: f64,
}

/// Whether builds pause, and since when they do or do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// They stand still.
    pub is_on: bool,
    /// Since when it is so.
    pub since: Time,
}

/// What is to be from now on.
pub fn decide(before: Pause, pressure: Pressure, now: Time) -> Pause {
    let for_so_long = now.since(before.since);
    let is_on = if before.is_on {
        for_so_long < SHORTEST || (for_so_long < LONGEST && !is_relaxed(pressure))
    } else {
        for_so_long >= BETWEEN && is_pressed(pressure)
    };
    if is_on == before.is_on {
        before
    } else {
        Pause { is_on, since: now }
    }
}

fn is_pressed(pressure: Pressure) -> bool {
    pressure.memory_some >= 10.0
        || pressure.io_full >= 40.0
        || pressure.available < 4.0
        || pressure.slow_requests >= 5.0
}

fn is_relaxed(pressure: Pressure) -> bool {
    pressure.memory_some < 5.0
        && pressure.io_full < 20.0
        && pressure.available >= 6.0
        && pressure.slow_requests < 2.0
}

/// From the text of `/proc/pressure/memory`, `/proc/pressure/io` and `/proc/meminfo`; what cannot
/// be read presses nothing.
pub fn read(memory: &str, io: &str, meminfo: &str) -> Pressure {
    let field = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<f64>().ok()
    };
    let (total, available) = (field("MemTotal:"), field("MemAvailable:"));
    let share = total.zip(available).filter(|(total, _)| *total > 0.0);
    Pressure {
        memory_some: average(memory, "some"),
        io_full: average(io, "full"),
        available: share.map_or(100.0, |(total, available)| available * 100.0 / total),
        slow_requests: 0.0,
    }
}

fn average(text: &str, kind: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(kind));
    let field = line.and_then(|line| {
        line.split_whitespace()
            .find_map(|field| field.strip_prefix("avg10="))
    });
    field.and_then(|field| field.parse().ok()).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Time = Time::from_micros(1_790_000_000_000_000);
    const CALM: Pressure = Pressure {
        memory_some: 0.0,
        io_full: 0.0,
        available: 50.0,
        slow_requests: 0.0,
    };

    fn check(is_on: bool, seconds: u64, pressure: Pressure, expected: bool) {
        let before = Pause {
            is_on,
            since: START,
        };
        let now = START.after(Duration::from_secs(seconds));
        let after = decide(before, pressure, now);
        assert_eq!(after.is_on, expected, "{is_on} {seconds} {pressure:?}");
        let since = if is_on == expected { START } else { now };
        assert_eq!(after.since, since);
    }

    #[test]
    fn builds_pause_while_memory_or_disk_are_short() {
        let memory = Pressure {
            memory_some: 12.0,
            ..CALM
        };
        let disk = Pressure {
            io_full: 55.0,
            ..CALM
        };
        let little = Pressure {
            available: 3.0,
            ..CALM
        };
        check(false, 60, CALM, false);
        let slow = Pressure {
            slow_requests: 6.0,
            ..CALM
        };
        for pressed in [memory, disk, little, slow] {
            check(false, 60, pressed, true);
            check(true, 15, pressed, true);
            check(true, 25, pressed, false);
            check(false, 5, pressed, false);
        }
        check(true, 5, CALM, true);
        check(true, 11, CALM, false);
        let between = Pressure {
            memory_some: 7.0,
            ..CALM
        };
        check(true, 11, between, true);
        check(false, 60, between, false);
    }

    #[test]
    fn pressure_is_read_as_the_kernel_writes_it() {
        let memory = "some avg10=12.50 avg60=1.00 avg300=0.00 total=9\nfull avg10=3.00 avg60=0.00 avg300=0.00 total=6\n";
        let meminfo = "MemTotal:       1000 kB\nMemFree:         10 kB\nMemAvailable:    250 kB\n";
        let read_all = read(memory, memory, meminfo);
        assert_eq!(
            read_all,
            Pressure {
                memory_some: 12.5,
                io_full: 3.0,
                available: 25.0,
                slow_requests: 0.0,
            }
        );
        let nothing = read("", "some avg10=x", "");
        assert_eq!(
            nothing,
            Pressure {
                memory_some: 0.0,
                io_full: 0.0,
                available: 100.0,
                slow_requests: 0.0,
            }
        );
    }
}
