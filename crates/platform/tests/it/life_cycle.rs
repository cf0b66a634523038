//! What is seen and told of a dyno between its start and its end: quotas, crashes while the
//! platform was away, boot timeouts, cycling.

use std::time::Duration;

use api::{
    clock::{Clock, Time},
    ids::DynoId,
};
use store::{App, Event};

use crate::world::{Options, World};

const MIB: u64 = 1 << 20;

fn standing_still(change: impl FnOnce(&mut Options)) -> (World, Clock) {
    let clock = Clock::simulated(Time::from_micros(1_771_488_000_000_000));
    let mut options = Options {
        clock: clock.clone(),
        ..Options::default()
    };
    change(&mut options);
    (World::with(options), clock)
}

fn events(world: &World, app: &App, dyno: DynoId, kind: &str) -> Vec<Event> {
    let subject = dyno.to_string();
    let all = world.store().events_about(app.id, &subject, 1000);
    let mut events = world.wait(all).unwrap();
    events.retain(|event| event.kind == kind);
    events
}

fn count(world: &World, app: &App, end: &str) -> usize {
    let log = world.log(app);
    log.iter().filter(|line| line.ends_with(end)).count()
}

#[test]
fn crashes_while_the_platform_was_away_are_told_once_with_their_own_times() {
    let (mut world, clock) = standing_still(|_| {});
    let app = world.live_app(&[("web", "serve")]);
    let (_, dyno) = world.running(&app)[0].clone();
    world.kill();
    clock.advance(Duration::from_secs(10));
    world.engine.crash_unattended(dyno, 3);
    let first = clock.now();
    clock.advance(Duration::from_secs(5));
    world.engine.crash_unattended(dyno, 4);
    clock.advance(Duration::from_hours(1));
    for _ in 0..2 {
        world.start();
        world.logged(&app, "Process exited with status 4");
        world.settle(&app);
        world.kill();
    }
    world.start();
    assert_eq!(world.running(&app)[0].1, dyno, "it is the same dyno");
    for end in [
        "Process exited with status 3",
        "Process exited with status 4",
    ] {
        assert_eq!(count(&world, &app, end), 1, "{end}");
    }
    let restarted = "heroku[web.1]: Restarted by its keeper while the platform was away";
    assert_eq!(count(&world, &app, restarted), 2);
    let told = events(&world, &app, dyno, "dyno.restart");
    assert_eq!(told.len(), 2);
    assert_eq!(told[1].details["ended_at"], first.to_rfc3339());
    assert_eq!(told[1].details["exit_status"], 3);
    assert_eq!(world.rows(&app)[0].crash_count, 2);
}

#[test]
fn a_dyno_over_its_memory_quota_is_told_of_in_herokus_words() {
    let mut world = World::new();
    let app = world.live_app(&[("web", "serve")]);
    let (_, dyno) = world.running(&app)[0].clone();
    let look = |world: &World| world.wait(world.platform().look_at_usage()).unwrap();
    look(&world);
    assert!(!world.platform().dyno_usage(dyno).unwrap().is_over_memory);
    world.engine.use_memory(dyno, 520 * MIB);
    look(&world);
    world.logged(&app, "heroku[web.1]: Process running mem=520M(101.6%)");
    world.logged(&app, "heroku[web.1]: Error R14 (Memory quota exceeded)");
    look(&world);
    world.restart();
    look(&world);
    assert!(world.platform().dyno_usage(dyno).unwrap().is_over_memory);
    assert_eq!(events(&world, &app, dyno, "dyno.quota_exceeded").len(), 1);
    world.engine.use_memory(dyno, 100 * MIB);
    look(&world);
    assert!(!world.platform().dyno_usage(dyno).unwrap().is_over_memory);
    assert_eq!(events(&world, &app, dyno, "dyno.quota_regained").len(), 1);
}

#[test]
fn a_run_that_outlives_its_client_is_told_of_once() {
    let mut world = World::new();
    let app = world.live_app(&[("web", "serve")]);
    let (_, dyno) = world.running(&app)[0].clone();
    let look = |world: &World| world.wait(world.platform().look_at_usage()).unwrap();
    let line = "Error R16 (Detached) -> An attached process is not responding to SIGHUP after its external connection was closed";
    look(&world);
    world.engine.leave(dyno);
    look(&world);
    assert_eq!(count(&world, &app, line), 0, "it may be about to end");
    look(&world);
    look(&world);
    world.restart();
    look(&world);
    look(&world);
    world.logged(&app, line);
    assert_eq!(count(&world, &app, line), 1);
    assert_eq!(events(&world, &app, dyno, "dyno.detached").len(), 1);
}

#[test]
fn a_dyno_killed_for_memory_says_r15() {
    let world = World::new();
    let app = world.live_app(&[("worker", "exhaust")]);
    world.scale(&app, "worker", 1);
    for end in [
        "Process running mem=1024M(200.0%)",
        "Error R15 (Memory quota vastly exceeded)",
        "Stopping process with SIGKILL",
        "Process exited with status 137",
    ] {
        world.logged(&app, end);
    }
    let codes = world.until("a crash is on record", || {
        let rows = world.rows(&app);
        rows.into_iter().find_map(|row| row.error)
    });
    assert_eq!(codes, "R15");
}

#[test]
fn a_serving_web_dyno_that_never_answers_counts_as_crashed() {
    let (world, clock) = standing_still(|_| {});
    let app = world.live_app(&[("web", "serve")]);
    world.scale(&app, "web", 0);
    world.settle(&app);
    world.deploy(&app, &[("web", "hang")]);
    world.scale(&app, "web", 1);
    world.until("it boots", || {
        (world.running(&app).len() == 1).then_some(())
    });
    let text = "Error R10 (Boot timeout) -> Web process failed to bind to $PORT within 60 seconds of launch";
    world.until("its time is over", || {
        // Its time begins when somebody looks for its answer, which may be a little later; and
        // while we look, the next one's time may be over as well.
        clock.advance(Duration::from_secs(2));
        world.nudge(&app);
        (count(&world, &app, text) >= 1).then_some(())
    });
    world.logged(&app, "State changed from starting to crashed");
    world.until("another boots", || {
        let rows = world.rows(&app);
        (rows.len() == 1 && rows[0].error.is_none() && rows[0].crash_count >= 1).then_some(())
    });
    world.until("the former is gone", || {
        (world.reports(&app).len() == 1).then_some(())
    });
}

#[test]
fn a_dyno_is_cycled_when_it_has_lived_long_enough() {
    let (world, clock) = standing_still(|options| {
        options.cycle_every = Some(Duration::from_hours(24));
    });
    let app = world.live_app(&[("web", "serve"), ("worker", "hang")]);
    world.scale(&app, "web", 2);
    world.scale(&app, "worker", 1);
    world.settle(&app);
    let before = world.running(&app);
    world.nudge(&app);
    world.settle(&app);
    assert_eq!(world.running(&app), before);
    clock.advance(Duration::from_hours(28));
    world.nudge(&app);
    world.until("every dyno is another", || {
        world.assert_serves(&app);
        let after = world.running(&app);
        (after.len() == 3 && after.iter().all(|dyno| !before.contains(dyno))).then_some(())
    });
    world.settle(&app);
    assert_eq!(count(&world, &app, "]: Cycling"), 3);
    assert!(!world.router.had_gap(app.id));
}

#[test]
fn a_start_is_recorded_once() {
    let mut world = World::new();
    let app = world.live_app(&[("web", "serve")]);
    let (_, dyno) = world.running(&app)[0].clone();
    world.restart();
    world.settle(&app);
    assert_eq!(events(&world, &app, dyno, "dyno.started").len(), 1);
}
