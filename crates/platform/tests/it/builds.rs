//! Builds: their queue, their cancelling, their records, and the same source again.

use std::time::Duration;

use api::{build_records::StepOutcome, clock::Clock};
use futures_util::{StreamExt, stream};
use platform::builds::Wish;
use store::{App, Build, BuildCause, BuildStatus, ReleaseStatus};

use crate::world::{Options, World};

/// Its first step is a dyno, which the simulated engine runs until it is stopped.
const ENDLESS: [(&str, &str); 1] = [("requirements.txt", "flask\n")];
/// Its only step writes files.
const QUICK: [(&str, &str); 1] = [("index.html", "hello")];

fn build(world: &World, app: &App, files: &[(&str, &str)]) -> Build {
    try_build(world, app, files).unwrap()
}

fn try_build(world: &World, app: &App, files: &[(&str, &str)]) -> platform::Result<Build> {
    let caller = world.caller();
    let made = world.wait(world.platform().create_source(&caller)).unwrap();
    let url = made.source_blob.put_url;
    let mut segments = url.rsplit('/');
    let (secret, id) = (segments.next().unwrap(), segments.next().unwrap());
    let mut tar = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, path, content.as_bytes())
            .unwrap();
    }
    let bytes = tar.into_inner().unwrap();
    let received =
        world
            .platform()
            .receive_source(id, secret, stream::iter([Ok::<_, String>(bytes)]));
    world.wait(received).unwrap();
    let wish = Wish {
        source_url: url,
        checksum: None,
        version: Some("1a2b3c4d5e".to_owned()),
        buildpacks: Vec::new(),
        cause: BuildCause::Push,
        phases: Vec::new(),
    };
    world.wait(world.platform().create_build(&caller, app.id, wish))
}

fn output(world: &World, build: &Build) -> String {
    let all = world.platform().build_output(build.id, 0);
    let all = world.wait(all.map(Result::unwrap).concat());
    String::from_utf8(all).unwrap()
}

fn until_said(world: &World, build: &Build, text: &str) {
    world.until(text, || {
        let path = world.directory.path().join("outputs");
        let said = std::fs::read_to_string(path.join(format!("{}.txt", build.id)));
        said.is_ok_and(|said| said.contains(text)).then_some(())
    });
}

fn ended(world: &World, build: &Build) -> Build {
    world.until("the build has ended", || {
        let build = world.wait(world.platform().build(build.app, build.id));
        build
            .ok()
            .filter(|build| build.status != BuildStatus::Pending)
    })
}

fn cancel(world: &World, build: &Build) {
    let number = build.number.to_string();
    let cancelled = world.platform().cancel_build(build.app, &number);
    world.wait(cancelled).unwrap();
}

#[test]
fn waiting_builds_say_so_and_can_be_cancelled() {
    let world = World::new();
    let (one, other) = (world.app("one"), world.app("other"));
    let first = build(&world, &one, &ENDLESS);
    until_said(&world, &first, "Python app detected");
    let second = build(&world, &one, &QUICK);
    until_said(
        &world,
        &second,
        "-----> Waiting for the build of this app that is under way",
    );
    let third = build(&world, &one, &QUICK);
    until_said(
        &world,
        &third,
        "-----> Waiting for 2 builds before this one",
    );
    // Another app need not wait: there are two places.
    let elsewhere = build(&world, &other, &QUICK);
    assert_eq!(ended(&world, &elsewhere).status, BuildStatus::Succeeded);

    cancel(&world, &second);
    let second = ended(&world, &second);
    assert_eq!(second.failure_message.as_deref(), Some("Build canceled."));
    assert!(output(&world, &second).ends_with(" !     Build canceled.\n"));
    until_said(
        &world,
        &third,
        "-----> Waiting for the build of this app that is under way",
    );
    cancel(&world, &first);
    assert_eq!(ended(&world, &first).status, BuildStatus::Failed);
    assert_eq!(ended(&world, &third).status, BuildStatus::Succeeded);
    let record = world
        .wait(world.platform().build_record(one.id, "1"))
        .unwrap();
    assert_eq!(
        record.course.steps.last().unwrap().outcome,
        StepOutcome::Stopped
    );
}

#[test]
fn a_record_says_how_a_build_went_and_its_source_is_built_again() {
    let world = World::new();
    let app = world.app("example");
    let first = build(&world, &app, &QUICK);
    output(&world, &first);
    let record = world
        .wait(world.platform().build_record(app.id, "1"))
        .unwrap();
    assert_eq!(
        (record.number, record.rebuild_of, record.is_replayable),
        (1, None, true)
    );
    let phases: Vec<_> = record
        .course
        .phases
        .iter()
        .map(|phase| phase.name.as_str())
        .collect();
    assert_eq!(
        phases,
        [
            "queue", "unpack", "plan", "steps", "finish", "boot", "switch"
        ]
    );
    assert_eq!(
        record.course.steps[0].because,
        ["no earlier build of this app had this step"]
    );

    let caller = world.caller();
    let again = world
        .wait(world.platform().rebuild(&caller, app.id, "1"))
        .unwrap();
    output(&world, &again);
    let again = ended(&world, &again);
    assert_eq!(
        (again.status, again.rebuild_of),
        (BuildStatus::Succeeded, Some(1))
    );
    assert_eq!(again.commit, first.commit);
    let record = world
        .wait(world.platform().build_record(app.id, "2"))
        .unwrap();
    assert_eq!(record.course.steps[0].outcome, StepOutcome::Cached);

    let layers = world.wait(world.store().source_layers()).unwrap();
    let source = world
        .directory
        .path()
        .join("layers")
        .join(&layers[&app.id][0]);
    std::fs::remove_dir_all(source).unwrap();
    let refused = world.wait(world.platform().rebuild(&caller, app.id, "2"));
    assert!(refused.unwrap_err().to_string().contains("no longer kept"));
}

#[test]
fn too_many_waiting_builds_of_one_app_are_refused() {
    let world = World::new();
    let app = world.app("example");
    let first = build(&world, &app, &ENDLESS);
    until_said(&world, &first, "Python app detected");
    let waiting: Vec<_> = (0..20).map(|_| build(&world, &app, &QUICK)).collect();
    let refused = try_build(&world, &app, &QUICK).unwrap_err();
    assert_eq!(refused.to_string(), "20 builds of this app wait already.");
    for build in waiting.iter().chain([&first]) {
        cancel(&world, build);
    }
    for build in &waiting {
        ended(&world, build);
    }
}

#[test]
fn a_nearly_full_disk_refuses_builds_and_nothing_else() {
    let mut world = World::with(Options {
        disk_reserve_bytes: u64::MAX,
        ..Options::default()
    });
    let app = world.live_app(&[("web", "serve")]);
    let caller = world.caller();
    let refused = world
        .wait(world.platform().create_source(&caller))
        .unwrap_err();
    let refused = refused.to_string();
    assert!(refused.starts_with("The disk is nearly full"), "{refused}");
    world.set(&app, "A", "1");
    world.settle(&app);
    world.options.disk_reserve_bytes = 0;
    world.restart();
    let built = build(&world, &app, &QUICK);
    assert_eq!(ended(&world, &built).status, BuildStatus::Succeeded);
}

#[test]
fn what_cannot_be_rolled_back_to_goes_and_the_rest_stays() {
    let clock = Clock::simulated(Clock::system().now());
    let world = World::with(Options {
        clock: clock.clone(),
        ..Options::default()
    });
    let app = world.app("example");
    for version in 0..12 {
        let text = format!("version {version}");
        let built = build(&world, &app, &[("index.html", &text)]);
        output(&world, &built);
        assert_eq!(ended(&world, &built).status, BuildStatus::Succeeded);
    }
    world.settle(&app);
    clock.advance(Duration::from_hours(24 * 30));
    world.wait(world.platform().make_room()).unwrap();
    let removed = world.wait(world.platform().removed_slugs(app.id)).unwrap();
    assert_eq!(removed.len(), 2);
    let slugs = world.wait(world.store().slugs(app.id)).unwrap();
    let is_there = |key: &String| world.directory.path().join("layers").join(key).is_dir();
    for (number, slug) in slugs.iter().enumerate() {
        let whole = slug.layers.iter().all(&is_there);
        assert_eq!(whole, number >= 2, "slug {number}: {:?}", slug.layers);
    }
    let caller = world.caller();
    // v1 is without a slug; the first build made v2.
    let refused = world.wait(world.platform().rollback(&caller, app.id, "v2"));
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .contains("removed to make room")
    );
    let back = world
        .wait(world.platform().rollback(&caller, app.id, "v4"))
        .unwrap();
    assert_eq!(world.finished(&back).status, ReleaseStatus::Succeeded);
}
