//! What becomes of releases: live only when they answer, and if not, why.

use std::time::Duration;

use api::clock::Clock;
use router::wire::AppState;
use store::{ReleaseStatus, ReleaseStatus::Failed, ReleaseStatus::Succeeded};

use crate::world::{Options, World};

/// A boot timeout that is over soon.
fn impatient() -> World {
    World::with(Options {
        boot_timeout: Duration::from_millis(300),
        ..Options::default()
    })
}

fn output(world: &World, release: &store::Release) -> String {
    use futures_util::StreamExt;
    world.wait(async {
        let id = release.id.as_uuid();
        let stream = world.platform().output(id, 0).await.unwrap();
        let chunks: Vec<Vec<u8>> = stream.map(Result::unwrap).collect().await;
        String::from_utf8(chunks.concat()).unwrap()
    })
}

#[test]
fn a_first_release_goes_live() {
    let world = World::new();
    let app = world.app("example");
    let release = world.deploy(&app, &[("web", "print hello; serve"), ("worker", "hang")]);
    assert_eq!(
        (release.status, release.is_current, release.version),
        (Succeeded, true, 2)
    );
    world.settle(&app);
    assert_eq!(world.names(&app), ["web.1"], "workers wait to be scaled");
    assert_eq!(world.logged(&app, "hello"), "app[web.1]: hello");
    world.logged(&app, "State changed from starting to up");
    let history = world.router.history(app.id);
    let states: Vec<AppState> = history.iter().map(|routes| routes.state).collect();
    assert_eq!(states.last(), Some(&AppState::Serving));
    assert!(
        states
            .iter()
            .all(|state| matches!(state, AppState::Blank | AppState::Serving)),
        "{states:?}"
    );
}

#[test]
fn a_release_without_web_goes_live_at_once() {
    let world = World::new();
    let app = world.live_app(&[("worker", "hang")]);
    assert!(world.names(&app).is_empty());
    world.scale(&app, "worker", 2);
    world.settle(&app);
    assert_eq!(world.names(&app), ["worker.1", "worker.2"]);
}

#[test]
fn a_release_that_crashes_fails_and_what_served_goes_on() {
    let world = World::new();
    let app = world.live_app(&[("web", "serve")]);
    let before = world.running(&app);
    let release = world.deploy(&app, &[("web", "print no such module; exit 3")]);
    let message = release.failure_message.clone().unwrap();
    assert_eq!((release.status, release.is_current), (Failed, false));
    assert!(
        message.starts_with("web.1 crashed while booting: process exited with status 3"),
        "{message}"
    );
    assert!(
        message.ends_with("last lines:\n  no such module"),
        "{message}"
    );
    world.settle(&app);
    assert_eq!(world.running(&app), before);
    assert!(!world.router.had_gap(app.id));
}

#[test]
fn a_release_that_never_binds_fails_and_says_how() {
    let world = impatient();
    let app = world.live_app(&[("web", "serve")]);
    let release = world.deploy(&app, &[("web", "hang")]);
    let message = release.failure_message.unwrap();
    assert!(
        message.starts_with("Error R10 (Boot timeout): web.1 did not answer on $PORT"),
        "{message}"
    );
    assert!(
        message.contains("last probe: connection refused\nit listens on: nothing"),
        "{message}"
    );
    world.settle(&app);
    assert!(!world.router.had_gap(app.id));
}

#[test]
fn a_release_killed_for_lack_of_memory_says_so() {
    let world = World::new();
    let app = world.app("example");
    let release = world.deploy(&app, &[("web", "exhaust")]);
    let message = release.failure_message.unwrap();
    assert!(
        message.starts_with("Error R15 (Memory quota vastly exceeded): web.1"),
        "{message}"
    );
    world.settle(&app);
    assert!(world.reports(&app).is_empty());
}

#[test]
fn a_dyno_that_cannot_be_started_is_no_fault_of_the_app() {
    let world = World::new();
    let app = world.live_app(&[("web", "serve")]);
    world.engine.refuse_starts(1);
    let release = world.deploy(&app, &[("web", "serve")]);
    let message = release.failure_message.unwrap();
    assert!(
        message.starts_with("web.1 could not be started on this platform: "),
        "{message}"
    );
    world.settle(&app);
    assert_eq!(world.deploy(&app, &[("web", "serve")]).status, Succeeded);
}

#[test]
fn one_dyno_that_crashes_fails_the_release_of_three() {
    let world = World::new();
    let app = world.live_app(&[("web", "serve")]);
    world.scale(&app, "web", 3);
    world.settle(&app);
    world.engine.refuse_starts(1);
    assert_eq!(world.deploy(&app, &[("web", "serve")]).status, Failed);
    world.settle(&app);
    assert_eq!(world.names(&app), ["web.1", "web.2", "web.3"]);
    assert!(!world.router.had_gap(app.id));
}

#[test]
fn the_release_phase_runs_first_and_its_output_is_kept() {
    let world = World::new();
    let app = world.app("example");
    let phase = "print migrating; warn done; exit 0";
    let release = world.release(&app, &[("release", phase), ("web", "serve")]);
    assert_eq!(output(&world, &release), "migrating\ndone\n");
    assert_eq!(world.finished(&release).status, Succeeded);
    world.settle(&app);
    assert_eq!(world.names(&app), ["web.1"]);
    assert_eq!(world.logged(&app, "migrating"), "app[release.2]: migrating");
    world.logged(&app, " to complete");
}

#[test]
fn a_release_phase_that_fails_stops_the_release() {
    let world = World::new();
    let app = world.live_app(&[("web", "serve")]);
    let before = world.running(&app);
    let phase = "print no such table; exit 7";
    let release = world.release(&app, &[("release", phase), ("web", "serve")]);
    assert_eq!(output(&world, &release), "no such table\n");
    let release = world.finished(&release);
    let message = release.failure_message.unwrap();
    assert!(
        message.starts_with("Release command failed with exit status 7."),
        "{message}"
    );
    world.settle(&app);
    assert_eq!(world.running(&app), before);
}

#[test]
fn a_config_change_makes_a_release_that_replaces_the_dynos() {
    let world = World::new();
    let app = world.live_app(&[("web", "serve"), ("worker", "hang")]);
    world.scale(&app, "worker", 1);
    world.settle(&app);
    let before = world.running(&app);
    let release = world.set(&app, "COLOUR", "blue");
    assert_eq!(
        (release.version, release.status),
        (3, ReleaseStatus::Pending)
    );
    assert_eq!(world.finished(&release).status, Succeeded);
    world.settle(&app);
    let after = world.running(&app);
    assert_eq!(world.names(&app), ["web.1", "worker.1"]);
    assert!(
        before.iter().all(|dyno| !after.contains(dyno)),
        "{before:?} {after:?}"
    );
    assert!(!world.router.had_gap(app.id));
}

#[test]
fn a_rollback_brings_back_slug_and_config() {
    let world = World::new();
    let app = world.app("example");
    world.finished(&world.set(&app, "COLOUR", "blue"));
    let good = world.deploy(&app, &[("web", "print first; serve")]);
    world.finished(&world.set(&app, "COLOUR", "red"));
    world.deploy(&app, &[("web", "print second; serve")]);
    let caller = world.caller();
    let target = format!("v{}", good.version);
    let release = world
        .wait(world.platform().rollback(&caller, app.id, &target))
        .unwrap();
    let release = world.finished(&release);
    assert_eq!((release.status, release.slug), (Succeeded, good.slug));
    assert_eq!(release.description, format!("Rollback to {target}"));
    world.settle(&app);
    let vars = world.wait(world.store().config_vars(app.id)).unwrap();
    assert_eq!(vars.get("COLOUR").map(String::as_str), Some("blue"));
}

#[test]
fn pending_releases_are_decided_in_order() {
    let world = World::new();
    let app = world.live_app(&[("web", "serve")]);
    let bad = world.release(&app, &[("web", "exit 1")]);
    let good = world.release(&app, &[("web", "serve")]);
    let caller = world.caller();
    let back = world
        .wait(world.platform().rollback(&caller, app.id, "v2"))
        .unwrap();
    let statuses = [&bad, &good, &back].map(|release| world.finished(release).status);
    assert_eq!(statuses, [Failed, Succeeded, Succeeded]);
    world.settle(&app);
    let current = world
        .wait(world.store().current_release(app.id))
        .unwrap()
        .unwrap();
    assert_eq!(current.id, back.id);
    assert!(!world.router.had_gap(app.id));
}

#[test]
fn a_pending_release_without_wanted_web_dynos_goes_live() {
    let world = World::new();
    let app = world.live_app(&[("web", "serve")]);
    world.scale(&app, "web", 0);
    world.settle(&app);
    assert_eq!(
        world.router.newest(app.id).1.unwrap().state,
        AppState::NoWebDynos
    );
    assert_eq!(world.deploy(&app, &[("web", "exit 1")]).status, Succeeded);
}

#[test]
fn scaling_to_zero_lets_a_hanging_release_through() {
    let world = World::new();
    let app = world.live_app(&[("web", "serve")]);
    let release = world.release(&app, &[("web", "hang")]);
    world.until("the candidate runs", || {
        (world.running(&app).len() == 2).then_some(())
    });
    world.scale(&app, "web", 0);
    assert_eq!(world.finished(&release).status, Succeeded);
    world.settle(&app);
}

#[test]
fn time_without_a_server_does_not_count_against_a_boot() {
    let clock = Clock::simulated(api::clock::Time::from_micros(1_771_488_000_000_000));
    let mut world = World::with(Options {
        clock: clock.clone(),
        ..Options::default()
    });
    let app = world.live_app(&[("web", "serve")]);
    let release = world.release(&app, &[("web", "sleep 100; serve")]);
    world.until("the candidate runs", || {
        (world.running(&app).len() == 2).then_some(())
    });
    world.kill();
    clock.advance(Duration::from_secs(99));
    world.start();
    clock.advance(Duration::from_secs(2));
    assert_eq!(world.finished(&release).status, Succeeded);
    world.settle(&app);
}
