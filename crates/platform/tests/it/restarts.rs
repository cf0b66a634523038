//! The server is killed and started again over the same store, engine and router.

use std::time::Duration;

use api::{
    clock::{Clock, Time},
    ids::AppId,
};
use logs::spool::{Limits, Writer};
use router::wire::AccessRecord;
use store::{BuildStatus, Change, NewBuild, ReleaseStatus};

use crate::world::{Options, World};

fn standing_still() -> (World, Clock) {
    let clock = Clock::simulated(Time::from_micros(1_771_488_000_000_000));
    let options = Options {
        clock: clock.clone(),
        ..Options::default()
    };
    (World::with(options), clock)
}

#[test]
fn dynos_keep_their_ids_and_their_uptime() {
    let mut world = World::new();
    let app = world.live_app(&[("web", "serve"), ("worker", "hang")]);
    world.scale(&app, "worker", 1);
    world.settle(&app);
    let (running, rows) = (world.running(&app), world.rows(&app));
    for _ in 0..2 {
        let tables = world.router.tables().len();
        world.restart();
        world.until("the router hears of the new server", || {
            (world.router.tables().len() > tables).then_some(())
        });
        world.nudge(&app);
        world.settle(&app);
    }
    assert_eq!((world.running(&app), world.rows(&app)), (running, rows));
    assert!(!world.router.had_gap(app.id));
    let versions: Vec<u64> = world
        .router
        .tables()
        .iter()
        .map(|table| table.version)
        .collect();
    assert!(versions.is_sorted(), "{versions:?}");
}

#[test]
fn lines_written_meanwhile_appear_once() {
    let (mut world, clock) = standing_still();
    let app = world.live_app(&[("web", "print before; serve; sleep 10; print meanwhile")]);
    world.logged(&app, "before");
    world.kill();
    clock.advance(Duration::from_secs(9));
    world.start();
    clock.advance(Duration::from_secs(1));
    world.logged(&app, "meanwhile");
    world.restart();
    world.nudge(&app);
    let log = world.log(&app);
    for line in ["app[web.1]: before", "app[web.1]: meanwhile"] {
        assert_eq!(
            log.iter().filter(|known| *known == line).count(),
            1,
            "{line} in {log:#?}"
        );
    }
}

#[test]
fn the_last_lines_of_a_dyno_that_ended_meanwhile_are_read() {
    let (mut world, clock) = standing_still();
    let app = world.live_app(&[("web", "serve; sleep 10; print goodbye; exit 9")]);
    world.kill();
    clock.advance(Duration::from_secs(20));
    world.start();
    assert_eq!(world.logged(&app, "goodbye"), "app[web.1]: goodbye");
    world.logged(&app, "Process exited with status 9");
    clock.advance(Duration::from_secs(1));
    world.nudge(&app);
    world.settle(&app);
}

#[test]
fn lines_left_by_a_server_that_had_recorded_the_end_are_read() {
    let (mut world, clock) = standing_still();
    let app = world.live_app(&[("web", "serve; sleep 10; print goodbye; exit 9")]);
    let dyno = world.running(&app)[0].1;
    world.kill();
    clock.advance(Duration::from_secs(20));
    world.start_idle();
    let change = Change::by_system("story", "a server killed before it read the last lines");
    let crash = store::Crash {
        exit_status: 9,
        crash_count: 1,
        error: None,
    };
    world
        .wait(world.store().crash_dyno(&change, dyno, crash))
        .unwrap();
    world.restart();
    clock.advance(Duration::from_secs(1));
    world.until("it is forgotten", || {
        world.nudge(&app);
        world
            .rows(&app)
            .iter()
            .all(|row| row.id != dyno)
            .then_some(())
    });
    assert_eq!(world.logged(&app, "goodbye"), "app[web.1]: goodbye");
}

#[test]
fn access_lines_appear_once_and_none_for_apps_that_are_gone() {
    let mut world = World::new();
    let app = world.app("example");
    let gone = AppId::new();
    let mut spool = Writer::open(world.directory.path().join("spool"), Limits::default()).unwrap();
    let mut write = |app: AppId, line: &str| {
        let mut bytes = Vec::new();
        let (at, line) = (Time::default(), line.to_owned());
        AccessRecord { app, at, line }.encode(&mut bytes);
        spool.append(&bytes);
        spool.flush();
    };
    write(app.id, "at=info path=/1");
    write(gone, "at=info path=/gone");
    world.logged(&app, "path=/1");
    world.restart();
    write(app.id, "at=info path=/2");
    world.logged(&app, "path=/2");
    let log = world.log(&app);
    let of_router = log.iter().filter(|line| line.starts_with("heroku[router]"));
    let expected = [
        "heroku[router]: at=info path=/1",
        "heroku[router]: at=info path=/2",
    ];
    assert_eq!(of_router.collect::<Vec<_>>(), expected);
    assert!(!world.directory.path().join(format!("logs/{gone}")).exists());
}

#[test]
fn a_pending_release_resumes() {
    let (mut world, clock) = standing_still();
    let app = world.live_app(&[("web", "serve")]);
    let types = [
        ("release", "sleep 5; print migrated; exit 0"),
        ("web", "sleep 5; serve"),
    ];
    let release = world.release(&app, &types);
    for (step, running) in [("release.3", 5), ("web.1", 5)] {
        world.until(&format!("{step} runs"), || {
            let reports = world.reports(&app);
            let of_release = reports.iter().any(|report| {
                report.name.as_str() == step
                    && report
                        .labels
                        .get("release")
                        .is_some_and(|version| version == "3")
            });
            of_release.then_some(())
        });
        world.restart();
        clock.advance(Duration::from_secs(running));
    }
    assert_eq!(world.finished(&release).status, ReleaseStatus::Succeeded);
    world.settle(&app);
    let log = world.log(&app);
    assert_eq!(
        log.iter()
            .filter(|line| line.ends_with("]: migrated"))
            .count(),
        1,
        "{log:#?}"
    );
    assert!(!world.router.had_gap(app.id));
}

#[test]
fn a_pending_build_becomes_failed() {
    let mut world = World::new();
    let app = world.app("example");
    let new = NewBuild {
        app: app.id,
        account: world.caller().account,
        stack: "landfall-13".parse().unwrap(),
        source: None,
        source_url: None,
        commit: None,
        buildpacks: Vec::new(),
        cause: store::BuildCause::Push,
        rebuild_of: None,
    };
    let change = Change::by_system("story", "a push");
    let build = world
        .wait(world.store().create_build(&change, &new))
        .unwrap();
    world.restart();
    let build = world.until("the build has ended", || {
        let build = world
            .wait(world.platform().build(app.id, build.id))
            .unwrap();
        (build.status != BuildStatus::Pending).then_some(build)
    });
    assert_eq!(build.status, BuildStatus::Failed);
    assert!(build.failure_message.unwrap().contains("restarted"));
}

#[test]
fn a_dyno_without_a_row_is_removed() {
    let mut world = World::new();
    let app = world.live_app(&[("web", "serve")]);
    let orphan = engine::DynoSpec {
        id: api::ids::DynoId::new(),
        app: app.id,
        name: "web.7".parse().unwrap(),
        kind: engine::DynoKind::Formation,
        stack: "landfall-13".parse().unwrap(),
        layers: Vec::new(),
        image: None,
        capture: None,
        binds: Vec::new(),
        command: vec!["serve".to_owned()],
        env: std::collections::BTreeMap::new(),
        port: Some(5000),
        limits: engine::Limits::default(),
        stdio: engine::Stdio::Logged,
        is_restarted_unattended: false,
        labels: std::collections::BTreeMap::new(),
    };
    world
        .wait(engine::Engine::start(&world.engine, orphan))
        .unwrap();
    world.restart();
    world.settle(&app);
    assert_eq!(world.names(&app), ["web.1"]);
}
