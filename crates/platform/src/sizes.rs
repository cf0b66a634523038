//! Dyno sizes: one table from Heroku's names to limits, which an operator may edit.
//!
//! Source: Heroku Dev Center, "Dyno Types" (memory quotas, process limits, CPU share). Read
//! [`Sizes`]; a `[sizes.NAME]` table of `landfall.toml` is a [`SizeChoice`].

use std::collections::BTreeMap;

use engine::Limits;
use serde::Deserialize;
use thiserror::Error;

/// The size of a process type that nobody resized.
pub const DEFAULT_SIZE: &str = "standard-1x";

const MIB: u64 = 1024 * 1024;
/// Less than this and not even a shell starts.
const LEAST_MEMORY_MB: u64 = 16;
/// Longest name of a size.
const NAME_LENGTH: usize = 30;

/// Name, memory in MiB, CPU weight, most processes, whether it has a machine of its own at Heroku.
/// Disk is not limited here by default, as a self-hosted disk has no common size; log lines and
/// open files are [`Limits::default`]'s.
const HEROKU: &[(&str, u64, u16, u32, bool)] = &[
    ("eco", 512, 100, 256, false),
    ("basic", 512, 100, 256, false),
    ("standard-1x", 512, 100, 256, false),
    ("standard-2x", 1024, 200, 512, false),
    ("performance-m", 2560, 800, 16_384, true),
    ("performance-l", 14_336, 1600, 32_768, true),
    ("performance-l-ram", 30_720, 1600, 32_768, true),
    ("performance-xl", 63_488, 3200, 32_768, true),
    ("performance-2xl", 129_024, 6400, 32_768, true),
];

/// One row: a name and what a dyno of this size may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Size {
    /// Lower case: `standard-1x`.
    pub name: String,
    /// What its dynos may use.
    pub limits: Limits,
    /// Whether its apps sleep when nobody asks for them, unless told otherwise.
    pub sleeps: bool,
    /// Whether Heroku gives such a dyno a machine of its own; here it is a word for clients.
    pub is_dedicated: bool,
}

/// What an operator says of one size; what is left out stays as it is, or as `standard-1x` has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SizeChoice {
    /// Memory quota in MiB; needed for a size that Heroku does not have.
    pub memory_mb: Option<u64>,
    /// Share of processor time, 1 to 10 000; 100 is a standard-1x.
    pub cpu_weight: Option<u16>,
    /// Most processor time, in hundredths of a core; 0 takes the limit away.
    pub cpu_percent: Option<u32>,
    /// Most processes and threads.
    pub pids: Option<u32>,
    /// Most open files of one process.
    pub open_files: Option<u64>,
    /// Most MiB on disk; 0 takes the limit away.
    pub disk_mb: Option<u64>,
    /// Log lines a second that are kept.
    pub log_lines_per_second: Option<u32>,
    /// Whether its apps sleep by default.
    pub sleeps: Option<bool>,
}

/// What is wrong with an operator's table.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SizeError {
    /// The name is none.
    #[error(
        "sizes.{name}: a size's name is {NAME_LENGTH} lower case letters, digits and dashes at most"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// A new size without memory.
    #[error("sizes.{name}: a new size needs memory_mb")]
    Memory {
        /// The size.
        name: String,
    },
    /// A number that cannot be.
    #[error("sizes.{name}.{key} must be {expected}, not {found}")]
    Range {
        /// The size.
        name: String,
        /// The key.
        key: &'static str,
        /// What it may be.
        expected: &'static str,
        /// What it is.
        found: u64,
    },
}

/// Every size, smallest first. [`DEFAULT_SIZE`] is always among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sizes(Vec<Size>);

impl Default for Sizes {
    /// Heroku's.
    fn default() -> Self {
        let row = |&(name, memory_mb, cpu_weight, pids, is_dedicated): &(&str, _, _, _, _)| Size {
            name: name.to_owned(),
            limits: Limits {
                memory_bytes: memory_mb * MIB,
                cpu_weight,
                pids,
                ..Limits::default()
            },
            sleeps: name == "eco",
            is_dedicated,
        };
        Self(HEROKU.iter().map(row).collect())
    }
}

impl Sizes {
    /// The table with an operator's changes and additions.
    ///
    /// # Errors
    /// The first thing that cannot be, by name and key.
    pub fn with(mut self, choices: &BTreeMap<String, SizeChoice>) -> Result<Self, SizeError> {
        for (name, choice) in choices {
            check(name, choice)?;
            if let Some(row) = self.0.iter_mut().find(|row| row.name == *name) {
                choice.lay_over(row);
                continue;
            }
            if choice.memory_mb.is_none() {
                return Err(SizeError::Memory { name: name.clone() });
            }
            let mut row = Size {
                name: name.clone(),
                limits: Limits::default(),
                sleeps: false,
                is_dedicated: false,
            };
            choice.lay_over(&mut row);
            self.0.push(row);
        }
        self.0.sort_by_key(|row| row.limits.memory_bytes);
        Ok(self)
    }

    /// The size of this name, which is compared without regard to case.
    pub fn find(&self, name: &str) -> Option<&Size> {
        self.0
            .iter()
            .find(|row| row.name.eq_ignore_ascii_case(name))
    }

    /// Every size, smallest first.
    pub fn iter(&self) -> impl Iterator<Item = &Size> {
        self.0.iter()
    }

    /// All names, smallest first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|row| row.name.as_str())
    }

    /// What a dyno of this size may use; of a size that is no longer in the table, what the default
    /// one may.
    pub fn limits(&self, name: &str) -> Limits {
        self.find(name)
            .or_else(|| self.find(DEFAULT_SIZE))
            .map_or_else(Limits::default, |row| row.limits)
    }
}

impl SizeChoice {
    fn lay_over(&self, row: &mut Size) {
        let limits = &mut row.limits;
        if let Some(memory_mb) = self.memory_mb {
            limits.memory_bytes = memory_mb * MIB;
        }
        if let Some(percent) = self.cpu_percent {
            limits.cpu_percent = (percent > 0).then_some(percent);
        }
        if let Some(disk_mb) = self.disk_mb {
            limits.disk_bytes = (disk_mb > 0).then_some(disk_mb * MIB);
        }
        limits.cpu_weight = self.cpu_weight.unwrap_or(limits.cpu_weight);
        limits.pids = self.pids.unwrap_or(limits.pids);
        limits.open_files = self.open_files.unwrap_or(limits.open_files);
        limits.log_lines_per_second = self
            .log_lines_per_second
            .unwrap_or(limits.log_lines_per_second);
        row.sleeps = self.sleeps.unwrap_or(row.sleeps);
    }
}

fn check(name: &str, choice: &SizeChoice) -> Result<(), SizeError> {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || name.len() > NAME_LENGTH || !name.bytes().all(is_allowed) {
        return Err(SizeError::Name {
            name: name.to_owned(),
        });
    }
    let most_mb = u64::MAX / MIB / 4;
    let ranges = [
        (
            "memory_mb",
            choice.memory_mb,
            LEAST_MEMORY_MB..=most_mb,
            "16 or more",
        ),
        (
            "cpu_weight",
            choice.cpu_weight.map(u64::from),
            1..=10_000,
            "1 to 10000",
        ),
        (
            "cpu_percent",
            choice.cpu_percent.map(u64::from),
            0..=1_000_000,
            "0 to 1000000",
        ),
        (
            "pids",
            choice.pids.map(u64::from),
            8..=4_194_304,
            "8 to 4194304",
        ),
        (
            "open_files",
            choice.open_files,
            64..=1_048_576,
            "64 to 1048576",
        ),
        ("disk_mb", choice.disk_mb, 0..=most_mb, "0 or more"),
        (
            "log_lines_per_second",
            choice.log_lines_per_second.map(u64::from),
            1..=1_000_000,
            "1 to 1000000",
        ),
    ];
    for (key, value, range, expected) in ranges {
        if let Some(found) = value.filter(|value| !range.contains(value)) {
            return Err(SizeError::Range {
                name: name.to_owned(),
                key,
                expected,
                found,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_found_without_regard_to_case() {
        let sizes = Sizes::default();
        assert_eq!(sizes.find("Standard-2X").unwrap().name, "standard-2x");
        assert_eq!(sizes.find("huge"), None);
        assert_eq!(sizes.limits("Performance-M").memory_bytes, 2560 * MIB);
        assert_eq!(sizes.limits("unknown"), sizes.limits(DEFAULT_SIZE));
        let sleepers: Vec<&str> = sizes
            .iter()
            .filter(|size| size.sleeps)
            .map(|size| size.name.as_str())
            .collect();
        assert_eq!(sleepers, ["eco"]);
    }

    fn chosen(name: &str, choice: SizeChoice) -> Result<Sizes, SizeError> {
        Sizes::default().with(&BTreeMap::from([(name.to_owned(), choice)]))
    }

    #[test]
    fn an_operator_changes_and_adds_sizes() {
        let smaller = SizeChoice {
            memory_mb: Some(128),
            disk_mb: Some(100),
            cpu_percent: Some(50),
            ..SizeChoice::default()
        };
        let sizes = chosen("eco", smaller).unwrap();
        let eco = sizes.find("eco").unwrap();
        assert_eq!(eco.limits.memory_bytes, 128 * MIB);
        assert_eq!(eco.limits.disk_bytes, Some(100 * MIB));
        assert_eq!(eco.limits.cpu_percent, Some(50));
        assert_eq!(eco.limits.pids, 256, "what is left out stays");
        assert!(eco.sleeps);
        let own = SizeChoice {
            memory_mb: Some(700),
            ..SizeChoice::default()
        };
        let sizes = chosen("medium", own).unwrap();
        let names: Vec<&str> = sizes.names().collect();
        assert_eq!(names[3..5], ["medium", "standard-2x"]);
    }

    fn check_refusal(name: &str, choice: SizeChoice, expected: &str) {
        assert_eq!(chosen(name, choice).unwrap_err().to_string(), expected);
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let none = SizeChoice::default;
        check_refusal("medium", none(), "sizes.medium: a new size needs memory_mb");
        check_refusal(
            "Medium",
            none(),
            "sizes.Medium: a size's name is 30 lower case letters, digits and dashes at most",
        );
        let tiny = SizeChoice {
            memory_mb: Some(1),
            ..none()
        };
        check_refusal("eco", tiny, "sizes.eco.memory_mb must be 16 or more, not 1");
        let still = SizeChoice {
            cpu_weight: Some(0),
            ..none()
        };
        check_refusal(
            "eco",
            still,
            "sizes.eco.cpu_weight must be 1 to 10000, not 0",
        );
    }
}
