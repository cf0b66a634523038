//! One-off dynos.

use std::time::Duration;

use api::clock::{Clock, Time};
use platform::{Error, rendezvous::Manner, runs::Run};
use store::{App, Dyno};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::world::{Options, World};

fn run(world: &World, app: &App, run: Run) -> (Dyno, Option<String>) {
    let caller = world.caller();
    world
        .wait(world.platform().run_dyno(&caller, app.id, run))
        .unwrap()
}

fn command(command: &str) -> Run {
    Run {
        command: command.to_owned(),
        ..Run::default()
    }
}

fn attached(text: &str) -> Run {
    Run {
        is_attached: true,
        ..command(text)
    }
}

fn is_gone(world: &World, app: &App, dyno: &Dyno) {
    world.until("the run is gone", || {
        let is_known = world.reports(app).iter().any(|report| report.id == dyno.id);
        let is_on_record = world.rows(app).iter().any(|row| row.id == dyno.id);
        (!is_known && !is_on_record).then_some(())
    });
}

#[test]
fn a_detached_run_writes_into_the_log() {
    let world = World::new();
    let app = world.live_app(&[("web", "serve")]);
    let (dyno, secret) = run(&world, &app, command("print one; print two; exit 4"));
    assert_eq!(secret, None);
    is_gone(&world, &app, &dyno);
    let log = world.log(&app);
    let of_dyno = format!("[{}]: ", dyno.name);
    let mut lines: Vec<&str> = log
        .iter()
        .filter_map(|line| Some(line.split_once(&of_dyno)?.1))
        .collect();
    lines.sort_unstable();
    lines.retain(|line| !line.starts_with("State changed"));
    assert_eq!(
        lines,
        ["Process exited with status 4", "one", "two"],
        "each once"
    );
    world.settle(&app);
}

#[test]
fn a_process_type_stands_for_its_command() {
    let world = World::new();
    let app = world.live_app(&[("web", "serve"), ("console", "print a console")]);
    let (dyno, _) = run(&world, &app, command("console; exit 2"));
    assert_eq!(dyno.command, "console; exit 2");
    let (dyno, _) = run(&world, &app, command("console"));
    assert_eq!(dyno.command, "print a console");
    is_gone(&world, &app, &dyno);
}

#[test]
fn an_attached_run_meets_its_owner() {
    let world = World::new();
    let app = world.live_app(&[("web", "serve")]);
    let (dyno, secret) = run(&world, &app, attached("print welcome; cat"));
    let secret = secret.unwrap();
    world.wait(async {
        let mut met = world.platform().meet(&secret).await.unwrap();
        assert_eq!(met.manner, Manner::Terminal);
        let mut text = [0; 9];
        met.stream.read_exact(&mut text).await.unwrap();
        assert_eq!(&text, b"welcome\r\n");
        met.stream.write_all(b"echo").await.unwrap();
        let mut text = [0; 4];
        met.stream.read_exact(&mut text).await.unwrap();
        assert_eq!(&text, b"echo");
        let again = world.platform().meet(&secret).await;
        assert!(
            matches!(again, Err(Error::NotFound { .. })),
            "a secret works once"
        );
    });
    is_gone(&world, &app, &dyno);
    world.settle(&app);
}

#[test]
fn a_run_that_ends_before_its_owner_comes_still_tells_all() {
    let world = World::new();
    let app = world.live_app(&[("web", "serve")]);
    let (dyno, secret) = run(&world, &app, attached("print quick; exit 0"));
    world.until("it has ended", || {
        let reports = world.reports(&app);
        let report = reports.iter().find(|report| report.id == dyno.id).unwrap();
        (report.state != engine::DynoState::Running).then_some(())
    });
    for _ in 0..3 {
        world.nudge(&app);
    }
    let text = world.wait(async {
        let mut met = world.platform().meet(&secret.unwrap()).await.unwrap();
        let mut text = String::new();
        met.stream.read_to_string(&mut text).await.unwrap();
        text
    });
    assert_eq!(text, "quick\r\n");
    is_gone(&world, &app, &dyno);
}

#[test]
fn a_run_whose_owner_never_comes_is_stopped_and_says_r13() {
    let world = World::with(Options {
        attach_within: Duration::from_millis(20),
        ..Options::default()
    });
    let app = world.live_app(&[("web", "serve")]);
    let (dyno, _) = run(&world, &app, attached("cat"));
    world.logged(
        &app,
        &format!(
            "heroku[{}]: Error R13 (Attach error) -> Failed to attach to process",
            dyno.name
        ),
    );
    is_gone(&world, &app, &dyno);
}

#[test]
fn a_run_that_cannot_be_started_leaves_nothing() {
    let world = World::new();
    let app = world.live_app(&[("web", "serve")]);
    world.engine.refuse_starts(1);
    let caller = world.caller();
    let refused = world.wait(
        world
            .platform()
            .run_dyno(&caller, app.id, command("exit 0")),
    );
    assert!(matches!(refused, Err(Error::Engine(_))));
    world.settle(&app);
    let none = world.wait(world.platform().run_dyno(&caller, app.id, command(" ")));
    assert!(matches!(none, Err(Error::Invalid { .. })));
}

#[test]
fn a_run_ends_when_its_time_is_over() {
    let world = World::new();
    let app = world.live_app(&[("web", "serve")]);
    let (dyno, _) = run(
        &world,
        &app,
        Run {
            time_to_live: Some(Duration::from_millis(20)),
            ..command("hang")
        },
    );
    is_gone(&world, &app, &dyno);
}

#[test]
fn a_restart_of_the_server_ends_attached_runs_and_keeps_detached_ones() {
    let clock = Clock::simulated(Time::from_micros(1_771_488_000_000_000));
    let mut world = World::with(Options {
        clock: clock.clone(),
        ..Options::default()
    });
    let app = world.live_app(&[("web", "serve")]);
    let (waiting, secret) = run(&world, &app, attached("cat"));
    let (detached, _) = run(&world, &app, command("sleep 50; print late; exit 0"));
    world.restart();
    is_gone(&world, &app, &waiting);
    let spent = world.wait(world.platform().meet(&secret.unwrap()));
    assert!(matches!(spent, Err(Error::NotFound { .. })));
    assert!(
        world
            .reports(&app)
            .iter()
            .any(|report| report.id == detached.id)
    );
    clock.advance(Duration::from_secs(50));
    assert_eq!(
        world.logged(&app, "late"),
        format!("app[{}]: late", detached.name)
    );
    is_gone(&world, &app, &detached);
    world.settle(&app);
}

#[test]
fn a_row_that_was_never_started_is_tidied_away() {
    let mut world = World::new();
    let app = world.live_app(&[("web", "serve")]);
    let current = world
        .wait(world.store().current_release(app.id))
        .unwrap()
        .unwrap();
    let new = store::NewDyno {
        app: app.id,
        release: current.id,
        process_type: "run".parse().unwrap(),
        number: 1234,
        kind: store::DynoKind::OneOff,
        size: "standard-1x".to_owned(),
        command: "bash".to_owned(),
        attach: true,
        crash_count: 0,
    };
    let change = store::Change::by_system("story", "a server killed before it started the dyno");
    world
        .wait(world.store().create_dyno(&change, &new))
        .unwrap();
    world.restart();
    world.settle(&app);
}

#[test]
fn what_cannot_be_run_is_refused() {
    let world = World::new();
    let app = world.live_app(&[("web", "serve")]);
    let refuse = |run: Run, text: &str| {
        let caller = world.caller();
        let answer = world.wait(world.platform().run_dyno(&caller, app.id, run));
        let Err(Error::Invalid { message }) = answer else {
            panic!("it was not refused: {:?}", answer.map(|(dyno, _)| dyno));
        };
        assert!(message.contains(text), "{message}");
    };
    refuse(command("  "), "No command given");
    refuse(command("echo \0"), "must be text");
    refuse(command(&"x".repeat(40_000)), "must be text");
    let env = [("A=B".to_owned(), "1".to_owned())].into();
    refuse(
        Run {
            env,
            ..command("serve")
        },
        "A=B",
    );
    for _ in 0..50 {
        run(&world, &app, command("serve"));
    }
    refuse(command("serve"), "more than 50 one-off dynos");
}
