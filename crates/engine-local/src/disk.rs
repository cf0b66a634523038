//! The limit of what dynos may write to disk.
//!
//! File systems with project quotas are rare, so the disk is watched: as long as its free space
//! does not shrink nothing was written, and no dyno is looked at. When it shrinks, or now and then,
//! what each dyno has on disk is added up, and one with more than its limit is ended by its shim.
//! A dyno may overshoot by what it writes in [`POLL`]. Read [`watch`] first.

mod measure;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use shim::{
    control::{Answer, Request},
    files::{self, State},
};
use tokio::time::Instant;

use self::measure::Measure;
use crate::{cgroup, control, dyno::Dyno, engine::Inner};

/// How often free space is looked at.
const POLL: Duration = Duration::from_millis(500);
/// How much less free space is a reason to look at dynos.
const STEP_BYTES: u64 = 16 << 20;
/// When to look at dynos in any case: one may write while others delete.
const SWEEP: Duration = Duration::from_mins(1);
/// Most that is counted of a dyno without a limit.
const UNLIMITED_BOUND: u64 = 1 << 30;

/// When dynos were last looked at, and how much was free then.
#[derive(Clone, Copy, Debug)]
struct Look {
    at: Instant,
    free_bytes: u64,
}

impl Look {
    /// Whether it is time for another one.
    fn is_over(self, now: Instant, free_bytes: u64) -> bool {
        let written = self.free_bytes.saturating_sub(free_bytes);
        written >= STEP_BYTES || now.duration_since(self.at) >= SWEEP
    }
}

/// Watches until the engine is gone.
pub(crate) async fn watch(engine: Weak<Inner>) {
    let mut last: Option<Look> = None;
    loop {
        tokio::time::sleep(POLL).await;
        let Some(engine) = engine.upgrade() else {
            return;
        };
        let now = Instant::now();
        let free_bytes = match free_bytes(&engine.dynos_directory) {
            Ok(free_bytes) => free_bytes,
            Err(error) => {
                tracing::warn!(%error, "free disk space is unknown");
                continue;
            }
        };
        if last.is_some_and(|last| !last.is_over(now, free_bytes)) {
            // What was deleted may be written again.
            last = last.map(|last| Look {
                free_bytes: last.free_bytes.max(free_bytes),
                ..last
            });
            continue;
        }
        last = Some(Look {
            at: now,
            free_bytes,
        });
        for dyno in engine.held() {
            look_at(dyno, &engine).await;
        }
    }
}

fn free_bytes(directory: &Path) -> rustix::io::Result<u64> {
    let system = rustix::fs::statvfs(directory)?;
    Ok(system.f_bfree.saturating_mul(system.f_frsize))
}

/// Adds up what a dyno has on disk, and ends it if that is too much.
async fn look_at(dyno: Arc<Dyno>, engine: &Arc<Inner>) {
    if dyno.ended().is_some() {
        return;
    }
    let limit = dyno.notes.disk_limit;
    let measured = {
        let dyno = Arc::clone(&dyno);
        tokio::task::spawn_blocking(move || measure(&dyno, limit.unwrap_or(UNLIMITED_BOUND)))
    };
    let Ok(bytes) = measured.await else { return };
    dyno.disk_bytes.store(bytes, Ordering::Relaxed);
    if limit.is_some_and(|limit| bytes > limit) {
        end(&dyno, engine).await;
    }
}

fn measure(dyno: &Dyno, bound: u64) -> u64 {
    let mut measure = Measure::up_to(bound);
    for directory in places(&dyno.directory, dyno.notes.capture.as_deref()) {
        measure.add_tree(&directory);
    }
    measure.add_nameless(&processes(&dyno.directory));
    measure.bytes()
}

/// Where a dyno writes to disk.
fn places(directory: &Path, capture: Option<&Path>) -> Vec<PathBuf> {
    let own = [files::UPPER, files::TMP].map(|name| directory.join(name));
    capture.map(Path::to_owned).into_iter().chain(own).collect()
}

/// The host's ids of a dyno's processes.
fn processes(directory: &Path) -> Vec<i32> {
    let state = files::read_json::<State>(&directory.join(files::STATE));
    let Ok(Some(state)) = state else {
        return Vec::new();
    };
    let groups = state.cgroup.directories;
    let lists = groups
        .iter()
        .find_map(|group| std::fs::read_to_string(group.join("cgroup.procs")).ok());
    let numbers = lists.iter().flat_map(|list| list.lines());
    numbers.filter_map(|line| line.parse().ok()).collect()
}

async fn end(dyno: &Dyno, engine: &Inner) {
    tracing::info!(dyno = %dyno.notes.id, "over its disk limit");
    match control::ask(&dyno.directory, Request::EndOverDisk).await {
        Ok((_, Answer::Done)) => {}
        other => {
            // A shim from before there was a limit, or one that is stuck.
            tracing::debug!(dyno = %dyno.notes.id, ?other, "killed without its shim");
            for directory in engine.cgroups.place(&dyno.notes.id.to_string()).directories {
                cgroup::kill(&directory);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(now_s: u64, free_bytes: u64, expected: bool) {
        let at = Instant::now();
        let last = Look {
            at,
            free_bytes: 100 << 20,
        };
        let now = at + Duration::from_secs(now_s);
        assert_eq!(
            last.is_over(now, free_bytes),
            expected,
            "{now_s} {free_bytes}"
        );
    }

    #[test]
    fn dynos_are_looked_at_when_free_space_shrinks_and_now_and_then() {
        check(0, 100 << 20, false);
        check(0, 85 << 20, false);
        check(0, 84 << 20, true);
        check(0, 0, true);
        check(59, 200 << 20, false);
        check(60, 200 << 20, true);
    }
}
