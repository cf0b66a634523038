//! Performs one planned step. Each may be repeated: it does nothing the second time.

use std::time::Duration;

use api::{
    ids::{DynoId, ReleaseId},
    names::{DynoName, ProcessType},
};
use engine::EngineError;
use logs::LogSource;
use store::{App, Crash, Dyno, DynoKind, NewDyno, ReleaseOutcome, StoreError};

use crate::{
    Platform,
    caller::system_change,
    error::{Error, Result},
    plan::{
        Failure, Step,
        health::{Pace, Which},
    },
    sizes,
};

/// How long a retired web dyno's open requests may take before it is stopped all the same.
const DRAIN_LIMIT: Duration = Duration::from_secs(30);
/// Wait after the engine could not stop a dyno.
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(1);
/// The status of a process that SIGKILL ended.
const KILLED: i32 = 137;
/// How a log line about our own fault begins; the cause follows.
pub(crate) const PLATFORM_ERROR: &str = "Error R99 (Platform error) -> ";

pub(super) async fn step(platform: &Platform, app: &App, step: Step) -> Result<()> {
    match step {
        Step::Record {
            release,
            process_type,
            number,
            size,
            crash_count,
        } => {
            let name = DynoName::new(&process_type, number);
            let new = Record {
                release,
                process_type,
                number,
                size,
                crash_count,
            };
            tracing::debug!(app = %app.name, %name, "recording a dyno");
            record(platform, app, DynoKind::Formation, new).await
        }
        Step::RecordReleasePhase { release } => record_release_phase(platform, app, release).await,
        Step::Start(dyno) => start(platform, app, dyno).await,
        Step::Retire(dyno) => retire(platform, app, dyno).await,
        Step::GiveUp(dyno) => give_up(platform, app, dyno).await,
        Step::Cycle(dyno) => cycle(platform, app, dyno).await,
        Step::Stop(dyno) => {
            stop(platform, app, dyno);
            Ok(())
        }
        Step::Forget(dyno) => forget(platform, app, dyno).await,
        Step::Succeed(release) => succeed(platform, app, release).await,
        Step::Fail { release, failure } => fail(platform, app, release, failure).await,
    }
}

struct Record {
    release: ReleaseId,
    process_type: ProcessType,
    number: u32,
    size: String,
    crash_count: u32,
}

async fn record(platform: &Platform, app: &App, kind: DynoKind, new: Record) -> Result<()> {
    let release = platform.store.release(app.id, new.release).await?;
    let Some(slug) = release.slug else {
        return Err(Error::NotFound {
            resource: "slug",
            name: app.name.to_string(),
        });
    };
    let slug = platform.store.slug(slug).await?;
    let command = slug
        .process_types
        .get(&new.process_type)
        .cloned()
        .unwrap_or_default();
    let change = system_change(format!("release v{}", release.version));
    let name = DynoName::new(&new.process_type, new.number);
    platform
        .store
        .create_dyno(
            &change,
            &NewDyno {
                app: app.id,
                release: release.id,
                process_type: new.process_type,
                number: new.number,
                kind,
                size: new.size,
                command,
                attach: false,
                crash_count: new.crash_count,
            },
        )
        .await?;
    if new.crash_count > 0 {
        let text = "State changed from crashed to starting";
        platform
            .say(app.id, LogSource::Heroku, name.as_str(), text)
            .await;
    }
    platform.nudges.nudge(app.id);
    Ok(())
}

async fn record_release_phase(platform: &Platform, app: &App, id: ReleaseId) -> Result<()> {
    let release = platform.store.release(app.id, id).await?;
    let new = Record {
        release: id,
        process_type: release_type(),
        number: u32::try_from(release.version).unwrap_or(1),
        size: sizes::DEFAULT_SIZE.to_owned(),
        crash_count: 0,
    };
    record(platform, app, DynoKind::Release, new).await
}

fn release_type() -> ProcessType {
    ProcessType::RELEASE
        .parse()
        .expect("`release` is a process type")
}

async fn start(platform: &Platform, app: &App, id: DynoId) -> Result<()> {
    let Some(dyno) = find(platform, app, id).await? else {
        return Ok(());
    };
    let spec = match platform.spec(&dyno).await {
        Ok(spec) => spec,
        Err(error @ Error::Store(StoreError::Database(_) | StoreError::ShuttingDown)) => {
            return Err(error);
        }
        Err(error) => return refuse(platform, &dyno, chain(&error)).await,
    };
    let text = format!("Starting process with command `{}`", dyno.command);
    platform
        .say(app.id, LogSource::Heroku, dyno.name.as_str(), text)
        .await;
    match platform.engine.start(spec).await {
        Ok(()) => {
            platform.tell_start(&dyno).await;
            platform.watch(&dyno);
        }
        Err(EngineError::AlreadyExists(_)) => platform.watch(&dyno),
        Err(error) => {
            platform.host_is_in_trouble();
            return refuse(platform, &dyno, chain(&error)).await;
        }
    }
    platform.nudges.nudge(app.id);
    Ok(())
}

/// A dyno that cannot be started counts as crashed, so that a pending release fails and a serving
/// one tries again later.
async fn refuse(platform: &Platform, dyno: &Dyno, cause: String) -> Result<()> {
    tracing::error!(app = %dyno.app, dyno = %dyno.name, cause, "a dyno did not start");
    let text = format!("{PLATFORM_ERROR}{cause}");
    platform
        .say(dyno.app, LogSource::Heroku, dyno.name.as_str(), text)
        .await;
    let change = system_change("it could not be started");
    let crash = Crash {
        exit_status: 1,
        crash_count: dyno.crash_count.saturating_add(1),
        error: Some("R99".to_owned()),
    };
    platform.store.crash_dyno(&change, dyno.id, crash).await?;
    platform.nudges.nudge(dyno.app);
    Ok(())
}

async fn give_up(platform: &Platform, app: &App, id: DynoId) -> Result<()> {
    let Some(dyno) = find(platform, app, id).await? else {
        return Ok(());
    };
    let lines = vec![
        boot_timeout(platform, &dyno).await,
        "Stopping process with SIGKILL".to_owned(),
        "State changed from starting to crashed".to_owned(),
    ];
    let crash = Crash {
        exit_status: KILLED,
        crash_count: dyno.crash_count.saturating_add(1),
        error: Some("R10".to_owned()),
    };
    let change = system_change("it did not answer in time");
    match platform.store.crash_dyno(&change, id, crash).await {
        Ok(_) => {}
        // It ended meanwhile.
        Err(StoreError::Stale { .. } | StoreError::NotFound { .. }) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    let now = platform.clock.now();
    platform
        .say_at(now, app.id, dyno.name.as_str(), lines)
        .await;
    let engine = std::sync::Arc::clone(&platform.engine);
    tokio::spawn(async move {
        // Should this fail, it is stopped when its row is forgotten.
        if let Err(error) = engine.stop(id, Duration::ZERO).await {
            tracing::warn!(dyno = %id, error = &error as &dyn std::error::Error, "cannot stop a dyno");
        }
    });
    platform.nudges.nudge(app.id);
    Ok(())
}

/// What a dyno that did not come up in time failed to do, in Heroku's words if Heroku asks for it too.
async fn boot_timeout(platform: &Platform, dyno: &Dyno) -> String {
    let Some(check) = platform.startup_check(dyno).await else {
        let seconds = platform.settings.boot_timeout.as_secs();
        return format!(
            "Error R10 (Boot timeout) -> Web process failed to bind to $PORT within {seconds} seconds of launch"
        );
    };
    let seconds = Pace::of(Which::Startup, &check).patience().as_secs();
    let finding = platform.health.startup_finding(dyno.id);
    let why = finding.unwrap_or_else(|| "nothing was found".to_owned());
    format!(
        "Error R10 (Boot timeout) -> Startup check failed for {seconds} seconds after launch: {why}"
    )
}

/// Records a successor, which takes over as after a restart by hand.
async fn cycle(platform: &Platform, app: &App, id: DynoId) -> Result<()> {
    let Some(dyno) = find(platform, app, id).await? else {
        return Ok(());
    };
    platform
        .say(app.id, LogSource::Heroku, dyno.name.as_str(), "Cycling")
        .await;
    platform
        .record_successor(&system_change("it has run long enough"), &dyno, 0)
        .await?;
    platform.nudges.nudge(app.id);
    Ok(())
}

async fn retire(platform: &Platform, app: &App, id: DynoId) -> Result<()> {
    platform
        .store
        .retire_dyno(&system_change("no longer wanted"), id)
        .await?;
    platform.nudges.nudge(app.id);
    Ok(())
}

/// Stops a retired dyno in the background: its open requests first, then SIGTERM, then SIGKILL.
fn stop(platform: &Platform, app: &App, id: DynoId) {
    let Some(claim) = platform.stopping.take(id) else {
        return;
    };
    let (platform, app) = (platform.clone(), app.clone());
    tokio::spawn(async move {
        if let Err(error) = drain_and_stop(&platform, &app, id).await {
            tracing::warn!(dyno = %id, error = &error as &dyn std::error::Error, "cannot stop a dyno");
            tokio::time::sleep(PAUSE_AFTER_ERROR).await;
        }
        drop(claim);
        platform.nudges.nudge(app.id);
    });
}

async fn drain_and_stop(platform: &Platform, app: &App, id: DynoId) -> Result<()> {
    let Some(dyno) = find(platform, app, id).await? else {
        return Ok(());
    };
    if dyno.kind == DynoKind::Formation && dyno.process_type.is_web() {
        drain(platform, id).await;
    }
    let text = "Stopping all processes with SIGTERM";
    platform
        .say(app.id, LogSource::Heroku, dyno.name.as_str(), text)
        .await;
    match platform.engine.stop(id, platform.settings.stop_grace).await {
        Ok(_) | Err(EngineError::UnknownDyno(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

async fn drain(platform: &Platform, dyno: DynoId) {
    let drained = tokio::time::timeout(DRAIN_LIMIT, platform.feed.wait_drained(dyno));
    if drained.await.is_err() {
        tracing::info!(%dyno, "stopping a dyno that still has requests");
    }
}

async fn forget(platform: &Platform, app: &App, id: DynoId) -> Result<()> {
    // Its last lines are still being read: the reader nudges when it is done.
    if platform.watches.following_since(id).is_some() {
        return Ok(());
    }
    if !platform.watches.is_done(id) {
        match platform.engine.inspect(id).await {
            Ok(report) if report.state == engine::DynoState::Running => {
                stop(platform, app, id);
                return Ok(());
            }
            // Its end is on record, but a former server may not have read all its lines.
            Ok(_) => {
                if let Some(dyno) = find(platform, app, id).await? {
                    platform.watch(&dyno);
                }
                return Ok(());
            }
            Err(EngineError::UnknownDyno(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    platform.engine.remove(id).await?;
    platform
        .store
        .delete_dyno(&system_change("it has ended"), id)
        .await?;
    platform.watches.forget(id);
    platform.nudges.nudge(app.id);
    Ok(())
}

async fn succeed(platform: &Platform, app: &App, id: ReleaseId) -> Result<()> {
    let change = system_change("its dynos answer");
    let outcome = ReleaseOutcome::Succeeded;
    match platform.store.finish_release(&change, id, &outcome).await {
        Ok(_) => {}
        Err(StoreError::Stale { .. }) => {
            // Either it is finished, which makes this do nothing, or a newer one is live.
            let message = "A newer release went live before it.".to_owned();
            finish_failed(platform, id, message).await?;
        }
        Err(error) => return Err(error.into()),
    }
    platform.nudges.nudge(app.id);
    Ok(())
}

async fn fail(platform: &Platform, app: &App, id: ReleaseId, failure: Failure) -> Result<()> {
    let message = platform.explain(app, &failure).await;
    platform
        .say(app.id, LogSource::Heroku, "release", first_line(&message))
        .await;
    finish_failed(platform, id, message).await?;
    platform.nudges.nudge(app.id);
    Ok(())
}

async fn finish_failed(platform: &Platform, id: ReleaseId, message: String) -> Result<()> {
    let outcome = ReleaseOutcome::Failed { message };
    let change = system_change("it cannot go live");
    match platform.store.finish_release(&change, id, &outcome).await {
        Ok(_) | Err(StoreError::Stale { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

async fn find(platform: &Platform, app: &App, id: DynoId) -> Result<Option<Dyno>> {
    Ok(platform
        .store
        .dynos(app.id)
        .await?
        .into_iter()
        .find(|dyno| dyno.id == id))
}

/// An error and its causes on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
