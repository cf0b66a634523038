//! Dyno sizes: one table from Heroku's names to limits.
//!
//! Source: Heroku Dev Center, "Dyno Types" (memory quotas, process limits, CPU share).

use engine::Limits;

/// The size of a process type that nobody resized.
pub const DEFAULT_SIZE: &str = "standard-1x";

const MIB: u64 = 1024 * 1024;

/// Name, memory in MiB, CPU weight, most processes.
const SIZES: &[(&str, u64, u16, u32)] = &[
    ("eco", 512, 100, 256),
    ("basic", 512, 100, 256),
    ("standard-1x", 512, 100, 256),
    ("standard-2x", 1024, 200, 512),
    ("performance-m", 2560, 800, 16_384),
    ("performance-l", 14_336, 1600, 32_768),
    ("performance-l-ram", 30_720, 1600, 32_768),
    ("performance-xl", 63_488, 3200, 32_768),
    ("performance-2xl", 129_024, 6400, 32_768),
];

/// The table's spelling of a size name, which is compared without regard to case.
pub fn find(name: &str) -> Option<&'static str> {
    SIZES
        .iter()
        .map(|(known, ..)| *known)
        .find(|known| known.eq_ignore_ascii_case(name))
}

/// All size names, smallest first.
pub fn names() -> impl Iterator<Item = &'static str> {
    SIZES.iter().map(|(name, ..)| *name)
}

/// What a dyno of this size may use; an unknown size is the default one.
pub fn limits(name: &str) -> Limits {
    let (_, memory_mib, cpu_weight, pids) = SIZES
        .iter()
        .find(|(known, ..)| known.eq_ignore_ascii_case(name))
        .unwrap_or(&("standard-1x", 512, 100, 256));
    Limits {
        memory_bytes: memory_mib * MIB,
        cpu_weight: *cpu_weight,
        pids: *pids,
        ..Limits::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_found_without_regard_to_case() {
        assert_eq!(find("Standard-2X"), Some("standard-2x"));
        assert_eq!(find("huge"), None);
        assert_eq!(limits("Performance-M").memory_bytes, 2560 * MIB);
        assert_eq!(limits("unknown"), limits(DEFAULT_SIZE));
    }
}
