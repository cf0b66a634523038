//! Health checks: who gets requests, who is restarted, who goes live.

use std::time::Duration;

use api::health_checks::{ChecksSource, HealthCheck, HealthChecks};
use engine::Probe;
use store::{App, ReleaseStatus};

use crate::world::{Options, World};

fn check(json: &str) -> HealthCheck {
    serde_json::from_str(json).unwrap()
}

fn set(world: &World, app: &App, process_type: &str, checks: HealthChecks) {
    let caller = world.caller();
    let set = world
        .platform()
        .set_health_checks(&caller, app.id, process_type, Some(checks));
    assert_eq!(world.wait(set).unwrap().source, ChecksSource::Api);
}

fn answered(status: u16) -> Probe {
    Probe::Answered {
        status: Some(status),
    }
}

#[test]
fn a_dyno_that_is_not_ready_gets_no_requests_but_the_last_one_does() {
    let world = World::new();
    let app = world.live_app(&[("web", "serve")]);
    world.scale(&app, "web", 2);
    world.settle(&app);
    let (first, second) = (world.running(&app)[0].1, world.running(&app)[1].1);
    let readiness = check(r#"{"type":"http","path":"/ready","interval_seconds":1,"attempts":1}"#);
    let checks = HealthChecks {
        readiness: Some(readiness),
        ..HealthChecks::default()
    };
    set(&world, &app, "web", checks);
    world.engine.answer(first, answered(503));
    world.until("the other takes all requests", || {
        (world.serving(&app) == [second]).then_some(())
    });
    world.logged(
        &app,
        "Health check failed (readiness): GET /ready answered with status 503; no requests until it passes",
    );
    world.engine.answer(second, answered(503));
    world.until("rather both than none", || {
        (world.serving(&app).len() == 2).then_some(())
    });
    world.engine.answer(first, answered(200));
    world.until("the one that is well takes all requests", || {
        (world.serving(&app) == [first]).then_some(())
    });
    world.logged(&app, "Health check passes again (readiness)");
    assert!(!world.router.had_gap(app.id));
    assert_eq!(world.running(&app).len(), 2, "nobody is restarted");
}

#[test]
fn a_dyno_that_is_not_alive_is_replaced_without_a_gap() {
    let world = World::new();
    let app = world.live_app(&[("web", "serve")]);
    let before = world.running(&app);
    let liveness = check(r#"{"type":"http","interval_seconds":1,"attempts":2}"#);
    let checks = HealthChecks {
        liveness: Some(liveness),
        ..HealthChecks::default()
    };
    set(&world, &app, "web", checks);
    world.engine.answer(before[0].1, Probe::Silent);
    world.until("it is another", || {
        let after = world.running(&app);
        (after.len() == 1 && after != before).then_some(())
    });
    world.settle(&app);
    world.logged(
        &app,
        "Health check failed (liveness): GET / was not answered in time; restarting",
    );
    assert_eq!(world.rows(&app)[0].crash_count, 1);
    assert!(!world.router.had_gap(app.id));
}

#[test]
fn a_startup_check_decides_whether_a_release_goes_live() {
    let world = World::with(Options {
        boot_timeout: Duration::from_mins(10),
        ..Options::default()
    });
    let app = world.live_app(&[("web", "serve")]);
    let before = world.running(&app);
    let startup = check(r#"{"type":"http","status":200,"interval_seconds":1,"attempts":1}"#);
    let checks = HealthChecks {
        startup: Some(startup),
        ..HealthChecks::default()
    };
    set(&world, &app, "web", checks);
    let failed = world.deploy(&app, &[("web", "silent")]);
    let ReleaseStatus::Failed = failed.status else {
        panic!("it went live: {failed:?}");
    };
    let message = failed.failure_message.unwrap();
    assert!(
        message.starts_with(
            "Error R10 (Boot timeout): web.1 did not pass its startup check within 1 seconds"
        ),
        "{message}"
    );
    assert!(
        message.contains("last attempt: GET / was not answered in time"),
        "{message}"
    );
    world.settle(&app);
    assert_eq!(world.running(&app), before);
    let well = world.deploy(&app, &[("web", "serve")]);
    assert_eq!(well.status, ReleaseStatus::Succeeded);
}

#[test]
fn a_worker_that_does_not_pass_its_startup_check_counts_as_crashed() {
    let world = World::new();
    let app = world.live_app(&[("worker", "hang")]);
    // A simulated command cannot tell its status, so this never passes.
    let startup =
        check(r#"{"type":"command","command":["exit 0"],"interval_seconds":1,"attempts":1}"#);
    let checks = HealthChecks {
        startup: Some(startup),
        ..HealthChecks::default()
    };
    set(&world, &app, "worker", checks);
    world.scale(&app, "worker", 1);
    world.logged(
        &app,
        "Error R10 (Boot timeout) -> Startup check failed for 1 seconds after launch: `exit 0` could not be run",
    );
    world.until("it is tried again", || {
        let rows = world.rows(&app);
        rows.iter().any(|row| row.crash_count > 0).then_some(())
    });
}

#[test]
fn an_apps_own_file_says_how_it_is_checked_unless_the_api_does() {
    let world = World::new();
    let layer = world.directory.path().join("layers/layer");
    std::fs::create_dir_all(&layer).unwrap();
    let file = r#"{"healthchecks":{"web":[{"type":"readiness","path":"/ready"}]}}"#;
    std::fs::write(layer.join("app.json"), file).unwrap();
    let app = world.live_app(&[("web", "serve")]);
    let read = || {
        let found = world.platform().health_checks(app.id, "web");
        world.wait(found).unwrap()
    };
    let found = read();
    assert_eq!(found.source, ChecksSource::AppJson);
    assert_eq!(
        found.checks.readiness.unwrap().path.as_deref(),
        Some("/ready")
    );
    set(&world, &app, "web", HealthChecks::default());
    assert_eq!(read().checks, HealthChecks::default());
    let caller = world.caller();
    let removed = world
        .platform()
        .set_health_checks(&caller, app.id, "web", None);
    assert_eq!(world.wait(removed).unwrap().source, ChecksSource::AppJson);
}
