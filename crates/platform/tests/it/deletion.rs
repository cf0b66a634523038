//! A deleted app leaves nothing but its events.

use platform::{Error, runs::Run};
use store::App;

use crate::world::World;

fn delete(world: &World, app: &App) {
    let caller = world.caller();
    world.wait(async {
        let deleted = world.platform().delete_app(&caller, app.id).await.unwrap();
        assert_eq!(deleted.id, app.id);
    });
}

fn files(world: &World, folder: &str) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(world.directory.path().join(folder)) else {
        return Vec::new();
    };
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.unwrap().file_name().to_string_lossy().into_owned()
    };
    entries.map(name).collect()
}

fn nothing_is_left(world: &World, app: &App) {
    world.until("nothing is left", || {
        let (_, routes) = world.router.newest(app.id);
        let folders = ["logs", "git", "outputs"];
        (routes.is_none()
            && world.reports(app).is_empty()
            && folders.iter().all(|folder| files(world, folder).is_empty()))
        .then_some(())
    });
    assert!(world.wait(world.store().all_dynos()).unwrap().is_empty());
    let gone = world.wait(world.platform().app(app.name.as_str()));
    assert!(matches!(gone, Err(Error::NotFound { .. })));
}

#[test]
fn a_deleted_app_leaves_nothing() {
    let world = World::new();
    let phase = "print migrated; exit 0";
    let app = world.live_app(&[
        ("release", phase),
        ("web", "print hello; serve"),
        ("worker", "hang"),
    ]);
    world.scale(&app, "web", 2);
    world.settle(&app);
    let run = Run {
        command: "print once; hang".to_owned(),
        ..Run::default()
    };
    let caller = world.caller();
    world
        .wait(async {
            world
                .platform()
                .run_dyno(&caller, app.id, run)
                .await
                .map(|_| ())
        })
        .unwrap();
    let repository = world.directory.path().join(format!("git/{}.git", app.id));
    std::fs::create_dir_all(repository).unwrap();
    assert_eq!(files(&world, "outputs").len(), 1);
    delete(&world, &app);
    nothing_is_left(&world, &app);
}

#[test]
fn an_app_can_be_deleted_while_its_release_boots() {
    let world = World::new();
    let app = world.app("example");
    world.release(&app, &[("web", "print booting; hang")]);
    delete(&world, &app);
    nothing_is_left(&world, &app);
    let again = world.app("example");
    assert_ne!(again.id, app.id, "the name is free");
}

#[test]
fn what_a_killed_server_left_of_a_deleted_app_is_removed() {
    let mut world = World::new();
    let app = world.live_app(&[("web", "serve")]);
    delete(&world, &app);
    world.restart();
    world.until("its dynos are gone", || {
        world.reports(&app).is_empty().then_some(())
    });
    world.until("its routes are gone", || {
        world.router.newest(app.id).1.is_none().then_some(())
    });
}
