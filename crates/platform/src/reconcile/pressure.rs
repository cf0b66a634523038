//! Freezes builds while the machine is short of memory, its disk is busy to the full, or live apps
//! answer slowly, and thaws them again. Decides nothing, see `plan::pressure`.

use std::time::Duration;

use api::{clock::Time, ids::DynoId};
use engine::{DynoKind, DynoState, EngineError};

use crate::{
    Platform,
    plan::{
        pace::Pace,
        pressure::{Pause, Pressure, decide, read},
    },
};

/// How often it is looked, while anything is built.
const EVERY: Duration = Duration::from_secs(1);

/// Pauses and resumes for ever.
#[expect(clippy::infinite_loop, reason = "runs as long as the platform")]
pub(super) async fn watch(platform: Platform) {
    let mut pause = Pause {
        is_on: false,
        since: Time::from_micros(0),
    };
    let mut pace = Pace::default();
    loop {
        tokio::time::sleep(EVERY).await;
        let is_building = platform.running_builds.is_building();
        let slow_requests = pace.take(platform.feed.service_times(), is_building);
        if !pause.is_on && !is_building {
            continue;
        }
        let pressure = Pressure {
            slow_requests,
            ..pressure().await
        };
        let next = decide(pause, pressure, platform.clock.now());
        // Also steps that began during the pause stand still.
        if (next.is_on || pause.is_on)
            && let Err(error) = apply(&platform, next).await
        {
            tracing::warn!(%error, "cannot pause or resume builds");
        }
        if next.is_on != pause.is_on {
            let what = if next.is_on { "paused" } else { "resumed" };
            tracing::info!(?pressure, "builds are {what}");
        }
        pause = next;
    }
}

async fn apply(platform: &Platform, pause: Pause) -> Result<(), EngineError> {
    for report in platform.engine.list().await? {
        if report.kind != DynoKind::Build || matches!(report.state, DynoState::Ended(_)) {
            continue;
        }
        match turn(platform, report.id, pause).await {
            // It has ended meanwhile, or the engine cannot; the machine's weights still hold.
            Ok(()) | Err(EngineError::UnknownDyno(_) | EngineError::Unsupported { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn turn(platform: &Platform, dyno: DynoId, pause: Pause) -> Result<(), EngineError> {
    // A thaw of the pause's own ticket or a later one wins over its freeze.
    let ticket = u64::try_from(pause.since.as_micros()).unwrap_or(0);
    if pause.is_on {
        platform.engine.freeze(dyno, ticket).await.map(drop)
    } else {
        platform.engine.thaw(dyno, ticket).await
    }
}

async fn pressure() -> Pressure {
    let text = async |path| tokio::fs::read_to_string(path).await.unwrap_or_default();
    read(
        &text("/proc/pressure/memory").await,
        &text("/proc/pressure/io").await,
        &text("/proc/meminfo").await,
    )
}
