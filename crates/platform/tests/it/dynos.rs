//! Formations: scaled, restarted, crashed.

use std::time::Duration;

use api::{
    clock::{Clock, Time},
    ids::DynoId,
};
use platform::dynos::Which;
use router::wire::AppState;
use store::App;

use crate::world::{Options, World};

fn standing_still() -> (World, Clock) {
    let clock = Clock::simulated(Time::from_micros(1_771_488_000_000_000));
    let options = Options {
        clock: clock.clone(),
        ..Options::default()
    };
    (World::with(options), clock)
}

fn restart(world: &World, app: &App, which: &Which) {
    let caller = world.caller();
    world
        .wait(world.platform().restart_dynos(&caller, app.id, which))
        .unwrap();
}

#[test]
fn scaling_starts_and_stops_dynos() {
    let world = World::new();
    let app = world.live_app(&[("web", "serve"), ("worker", "hang")]);
    let first = world.running(&app);
    world.scale(&app, "web", 3);
    world.scale(&app, "worker", 2);
    world.settle(&app);
    assert_eq!(
        world.names(&app),
        ["web.1", "web.2", "web.3", "worker.1", "worker.2"]
    );
    world.scale(&app, "web", 1);
    world.scale(&app, "worker", 0);
    world.settle(&app);
    assert_eq!(world.running(&app), first, "the lowest number stays");
    world.logged(&app, "Stopping all processes with SIGTERM");
    assert!(!world.router.had_gap(app.id));
}

#[test]
fn a_resize_replaces_dynos_without_a_gap() {
    let world = World::new();
    let app = world.live_app(&[("web", "serve")]);
    let before = world.running(&app);
    let scaling = platform::formations::Scaling {
        process_type: "web".to_owned(),
        quantity: None,
        size: Some("Standard-2X".to_owned()),
    };
    let caller = world.caller();
    world
        .wait(
            world
                .platform()
                .update_formation(&caller, app.id, &[scaling]),
        )
        .unwrap();
    world.settle(&app);
    assert_ne!(world.running(&app), before);
    assert_eq!(world.rows(&app)[0].size, "standard-2x");
    assert!(!world.router.had_gap(app.id));
}

#[test]
fn a_restart_makes_new_dynos_and_something_always_serves() {
    let world = World::with(Options {
        boot: Duration::from_millis(50),
        ..Options::default()
    });
    let app = world.live_app(&[("web", "serve"), ("worker", "hang")]);
    world.scale(&app, "web", 2);
    world.scale(&app, "worker", 1);
    world.settle(&app);
    for _ in 0..3 {
        let before: Vec<DynoId> = world.running(&app).into_iter().map(|(_, id)| id).collect();
        restart(&world, &app, &Which::All);
        world.until("every dyno is another", || {
            world.assert_serves(&app);
            let after = world.running(&app);
            (after.len() == 3 && after.iter().all(|(_, id)| !before.contains(id))).then_some(())
        });
        world.settle(&app);
    }
    assert_eq!(world.names(&app), ["web.1", "web.2", "worker.1"]);
    assert!(!world.router.had_gap(app.id));
}

#[test]
fn a_restart_of_one_dyno_leaves_the_others() {
    let world = World::new();
    let app = world.live_app(&[("web", "serve")]);
    world.scale(&app, "web", 2);
    world.settle(&app);
    let before = world.running(&app);
    restart(&world, &app, &Which::Dyno("web.2".to_owned()));
    world.until("web.2 is another", || {
        (world.running(&app)[1] != before[1]).then_some(())
    });
    world.settle(&app);
    assert_eq!(world.running(&app)[0], before[0]);
}

#[test]
fn a_web_dyno_is_stopped_only_when_its_requests_have_ended() {
    let world = World::new();
    let app = world.live_app(&[("web", "serve")]);
    let busy = world.running(&app)[0].1;
    world.router.occupy(busy);
    restart(&world, &app, &Which::All);
    world.until("requests go to another", || {
        (!world.serving(&app).is_empty() && !world.serving(&app).contains(&busy)).then_some(())
    });
    world.nudge(&app);
    assert_eq!(world.names(&app), ["web.1", "web.1"]);
    world.router.free(busy);
    world.settle(&app);
    assert_eq!(world.names(&app), ["web.1"]);
}

#[test]
fn a_worker_that_ignores_sigterm_is_killed_before_its_successor_starts() {
    let (world, clock) = standing_still();
    let app = world.live_app(&[("worker", "trap; hang")]);
    world.scale(&app, "worker", 1);
    world.settle(&app);
    let before = world.running(&app);
    restart(&world, &app, &Which::All);
    world.logged(&app, "Stopping all processes with SIGTERM");
    world.nudge(&app);
    assert_eq!(world.running(&app), before, "one worker.1 at a time");
    clock.advance(Duration::from_secs(30));
    world.settle(&app);
    assert_ne!(world.running(&app), before);
    let text = "Error R12 (Exit timeout) -> At least one process failed to exit within 30 seconds of SIGTERM";
    world.logged(&app, text);
    world.logged(&app, "Stopping remaining processes with SIGKILL");
}

#[test]
fn a_crashed_dyno_is_started_again_at_once_and_then_after_growing_waits() {
    let (world, clock) = standing_still();
    let app = world.live_app(&[("web", "serve")]);
    for crash in 1..=3_u32 {
        let (_, crashed) = world.running(&app)[0].clone();
        world.engine.kill(crashed, 11);
        world.logged(&app, "Process exited with status 139");
        if crash > 1 {
            world.until("requests meet H10", || {
                let (_, routes) = world.router.newest(app.id);
                (routes?.state == AppState::Crashed).then_some(())
            });
            assert_eq!(world.rows(&app)[0].crash_count, crash);
            assert!(world.running(&app).is_empty());
            clock.advance(Duration::from_secs(1 << (crash - 1)));
            world.nudge(&app);
        }
        world.until("it is another", || {
            let running = world.running(&app);
            (running.len() == 1 && running[0].1 != crashed).then_some(())
        });
        world.settle(&app);
    }
    world.logged(&app, "Crashed 3 times in a row, restarting in 4 seconds");
    world.logged(&app, "State changed from crashed to starting");
    clock.advance(Duration::from_secs(61));
    world.engine.kill(world.running(&app)[0].1, 11);
    world.until("the crash is on record", || {
        world
            .rows(&app)
            .iter()
            .any(|row| row.state == store::DynoState::Crashed)
            .then_some(())
    });
    assert_eq!(
        world.rows(&app)[0].crash_count,
        1,
        "it had been up for a minute"
    );
}

#[test]
fn a_dyno_that_ends_at_once_is_never_called_up_again() {
    let (world, _) = standing_still();
    let app = world.live_app(&[("worker", "print once; exit 0")]);
    world.scale(&app, "worker", 1);
    world.logged(&app, " to crashed");
    world.until("the watch is over", || {
        let log = world.log(&app);
        log.iter()
            .any(|line| line.ends_with("]: once"))
            .then_some(())
    });
    world.nudge(&app);
    let log = world.log(&app);
    let count = |end: &str| log.iter().filter(|line| line.ends_with(end)).count();
    assert_eq!(count("Process exited with status 0"), 1, "{log:#?}");
    assert_eq!(count("]: once"), 1, "{log:#?}");
}

#[test]
fn a_lost_dyno_is_replaced() {
    let world = World::new();
    let app = world.live_app(&[("web", "serve"), ("worker", "hang")]);
    world.scale(&app, "worker", 1);
    world.settle(&app);
    let before = world.running(&app);
    world.engine.restart_host();
    world.until("all run again", || {
        (world.running(&app).len() == 2).then_some(())
    });
    world.settle(&app);
    let after = world.running(&app);
    assert!(before.iter().all(|dyno| !after.contains(dyno)));
}

#[test]
fn a_refused_start_is_tried_again() {
    let world = World::new();
    let app = world.live_app(&[("web", "serve")]);
    world.engine.refuse_starts(2);
    world.scale(&app, "web", 2);
    world.logged(&app, "play a refusal: out of memory");
    world.settle(&app);
    assert_eq!(world.names(&app), ["web.1", "web.2"]);
}

#[test]
fn the_last_lines_of_a_stopped_dyno_are_kept_once() {
    let world = World::new();
    let app = world.live_app(&[("web", "print one; print two; print three; serve")]);
    for _ in 0..3 {
        let before = world.running(&app);
        restart(&world, &app, &Which::All);
        world.until("it is another", || {
            (world.running(&app) != before).then_some(())
        });
        world.settle(&app);
    }
    let log = world.log(&app);
    let lines: Vec<&str> = log
        .iter()
        .filter_map(|line| line.strip_prefix("app[web.1]: "))
        .collect();
    assert_eq!(lines, ["one", "two", "three"].repeat(4), "{log:#?}");
}
