//! What a group uses, read from the kernel's texts: pure. Read [`Usage`] first.

/// What a dyno uses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Memory that only the dyno's end or its own doing frees: its processes', its files in
    /// memory (`/tmp`, `/dev/shm`), and on version 2 the kernel's on its behalf.
    pub memory_bytes: u64,
    /// Memory written to swap.
    pub swap_bytes: u64,
    /// Page cache: files that were read or written. The kernel takes it back when it must.
    pub cache_bytes: u64,
    /// Processor time since its start, if it is counted.
    pub cpu_micros: Option<u64>,
    /// Processes killed because they wanted more memory than the limit.
    pub kills: u64,
    /// What it waits for, where the kernel tells.
    pub pressure: Option<Pressure>,
}

/// How long work stood still for want of something (PSI).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pressure {
    /// Of processor time.
    pub cpu: Stall,
    /// Of memory.
    pub memory: Stall,
    /// Of the disk.
    pub io: Stall,
}

/// Shares of time in which at least one process stood still.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stall {
    /// Of the last ten seconds, per cent.
    pub last_10_s: f32,
    /// Of the last minute, per cent.
    pub last_60_s: f32,
    /// In all, microseconds.
    pub total_micros: u64,
}

/// The number of a file that holds nothing else; zero if there is none.
pub(super) fn number(text: &str) -> u64 {
    text.trim().parse().unwrap_or(0)
}

/// The number after `name` in a file of `name number` lines.
pub(super) fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (found, value) = line.split_once(' ')?;
        (found == name).then(|| value.trim().parse().ok())?
    })
}

/// From a version 2 `memory.stat`. Reclaimable slab is cache as well: entries of directories.
pub(super) fn memory_2(stat: &str) -> Usage {
    let of = |name| field(stat, name).unwrap_or(0);
    let kernel = [
        "kernel_stack",
        "pagetables",
        "percpu",
        "sock",
        "slab_unreclaimable",
    ];
    Usage {
        memory_bytes: of("anon") + of("shmem") + kernel.into_iter().map(of).sum::<u64>(),
        cache_bytes: of("file").saturating_sub(of("shmem")) + of("slab_reclaimable"),
        ..Usage::default()
    }
}

/// From a version 1 `memory.stat`, whose `cache` includes files in memory.
pub(super) fn memory_1(stat: &str) -> Usage {
    let of = |name| field(stat, name).unwrap_or(0);
    Usage {
        memory_bytes: of("total_rss") + of("total_shmem"),
        swap_bytes: of("total_swap"),
        cache_bytes: of("total_cache").saturating_sub(of("total_shmem")),
        ..Usage::default()
    }
}

/// From the three files `cpu.pressure`, `memory.pressure` and `io.pressure`.
pub(super) fn pressure(read: impl Fn(&str) -> String) -> Option<Pressure> {
    let of = |name| stall(&read(name));
    Some(Pressure {
        cpu: of("cpu.pressure")?,
        memory: of("memory.pressure")?,
        io: of("io.pressure")?,
    })
}

/// From `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`.
fn stall(text: &str) -> Option<Stall> {
    let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
    let of = |name: &str| {
        let mut words = some.split_whitespace();
        words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    };
    Some(Stall {
        last_10_s: of("avg10")?.parse().ok()?,
        last_60_s: of("avg60")?.parse().ok()?,
        total_micros: of("total")?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_cache_does_not_count() {
        let stat = "anon 100\nfile 80\nkernel 50\nkernel_stack 1\npagetables 2\npercpu 3\nsock 4\n\
                    shmem 30\nslab_reclaimable 7\nslab_unreclaimable 5\n";
        let usage = memory_2(stat);
        assert_eq!((usage.memory_bytes, usage.cache_bytes), (145, 57));
        let stat = "cache 1\nrss 1\ntotal_cache 80\ntotal_rss 100\ntotal_shmem 30\ntotal_swap 9\n";
        let usage = memory_1(stat);
        let found = (usage.memory_bytes, usage.swap_bytes, usage.cache_bytes);
        assert_eq!(found, (130, 9, 50));
    }

    #[test]
    fn what_is_not_told_is_zero() {
        assert_eq!(memory_2(""), Usage::default());
        assert_eq!(memory_1("total_rss many"), Usage::default());
        assert_eq!(number(""), 0);
        assert_eq!(number("max\n"), 0);
        assert_eq!(number("12\n"), 12);
    }

    #[test]
    fn pressure_is_read_where_the_kernel_tells() {
        let text = "some avg10=1.50 avg60=0.25 avg300=0.00 total=1234\n\
                    full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";
        let stalled = Stall {
            last_10_s: 1.5,
            last_60_s: 0.25,
            total_micros: 1234,
        };
        assert_eq!(stall(text), Some(stalled));
        assert_eq!(pressure(|_| String::new()), None);
        let all = pressure(|_| text.to_owned()).unwrap();
        assert_eq!((all.cpu, all.memory, all.io), (stalled, stalled, stalled));
    }
}
