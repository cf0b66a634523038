//! What takes the machine for itself: many dynos, much load, many kills. One test at a time.

mod changes;
mod kills;
mod pushes;
mod rolling;
mod switches;
mod torture;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Held by the test whose turn it is; one that failed does not keep the others from theirs.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}
