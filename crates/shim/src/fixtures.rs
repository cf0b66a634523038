//! What is the same in every dyno's file system: `/dev`, and the empty directories of `/sys`. The
//! engine makes them once, in a directory of the host, and the shim shows them.

/// The directory that is shown as `/dev`.
pub const DEV: &str = "dev";
/// The directory that is shown as `/sys`.
pub const SYS: &str = "sys";
/// Character devices in `/dev`, which anybody may read and write: name, major, minor.
pub const DEVICES: [(&str, u32, u32); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];
/// Links in `/dev`, and where they lead.
pub const DEVICE_LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];
/// Directories in `/dev` for each dyno's own file systems.
pub const DEVICE_DIRECTORIES: [&str; 2] = ["pts", "shm"];
