//! Waiting for something to come true, and the environment the harness is told of.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// The longest any test waits for one thing: builds on a busy machine included.
const PATIENCE: Duration = Duration::from_mins(3);

/// Polls until `ready` gives something.
///
/// # Panics
/// When it takes longer than any healthy machine would need.
pub fn until<T>(what: &str, ready: impl FnMut() -> Option<T>) -> T {
    let found = within(PATIENCE, ready);
    found.unwrap_or_else(|| panic!("waited in vain until {what}"))
}

/// Polls until `ready` gives something, but no longer than `limit`.
pub fn within<T>(limit: Duration, mut ready: impl FnMut() -> Option<T>) -> Option<T> {
    let start = now();
    loop {
        let found = ready();
        if found.is_some() || start.elapsed() >= limit {
            return found;
        }
        pause(Duration::from_millis(50));
    }
}

/// The time, to say later when something happened.
#[expect(
    clippy::disallowed_methods,
    reason = "tests wait in real time; nothing is asserted on it"
)]
pub fn now() -> Instant {
    Instant::now()
}

/// Sleeps: between polls, or to let load run for a while.
#[expect(
    clippy::disallowed_methods,
    reason = "tests wait in real time; nothing is asserted on it"
)]
pub fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

/// The program under test: `LANDFALL_BIN`, else the debug build of this checkout.
#[expect(
    clippy::disallowed_methods,
    reason = "the harness is told what to test by xtask"
)]
pub(crate) fn program() -> PathBuf {
    std::env::var("LANDFALL_BIN").map_or_else(
        |_| repository().join("target/debug/landfall"),
        PathBuf::from,
    )
}

/// The `PATH` this program was given, with `first` before it.
pub(crate) fn path_with(first: &Path) -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::iter::once(first.to_owned()).chain(std::env::split_paths(&path));
    std::env::join_paths(directories).expect("the checkout's path holds no colon")
}

/// A number that xtask sets for a test.
#[expect(
    clippy::disallowed_methods,
    reason = "the harness is told what to test by xtask"
)]
pub fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// This checkout.
pub fn repository() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .canonicalize()
        .expect("the checkout exists")
}
