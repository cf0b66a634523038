//! What is kept of builds: the record, the reasons, the same source again, and the queue.

use e2e::{App, Platform};

fn landfall(app: &App<'_>, command: &str, arguments: &[&str]) -> e2e::shell::Output {
    let mut whole = vec![command, "--app", &app.name];
    whole.extend(arguments);
    Platform::shared().landfall(&whole)
}

#[test]
fn a_build_is_on_record_explained_and_done_again() {
    let app = App::deployed(Platform::shared(), "static");
    app.change("notes.txt", "a second version");
    app.push().ok().says("Released v3");
    landfall(&app, "builds", &[])
        .ok()
        .says("   2  succeeded")
        .says("   1  succeeded")
        .says("push");

    let second = landfall(&app, "builds:info", &["--explain"]);
    let second = second.ok().says("heroku/static").says("cached");
    for phase in [
        "receive", "checkout", "unpack", "plan", "steps", "boot", "switch",
    ] {
        assert!(
            second.stdout.contains(&format!("\n{phase} ")),
            "{}",
            second.stdout
        );
    }
    let json = landfall(&app, "builds:info", &["2", "--json"]).ok().stdout;
    let record: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&record["number"], &record["cause"]),
        (&2.into(), &"push".into())
    );
    assert_eq!(record["is_replayable"], true);

    landfall(&app, "builds:rebuild", &["1"])
        .ok()
        .says("Released v4");
    landfall(&app, "builds:info", &[]).ok().says("rebuild of 1");
    let page = app.get("/notes.txt");
    assert_eq!(
        page.status, 404,
        "the first build's source had no such file"
    );
    landfall(&app, "builds:output", &["1"])
        .ok()
        .says("Released v2");
    landfall(&app, "builds:cancel", &["1"])
        .refused()
        .says("has ended already");
    landfall(&app, "builds:info", &["99"])
        .refused()
        .says("Couldn't find that build");
}

#[test]
fn a_part_of_a_repository_is_built_when_it_changes() {
    let app = App::create(Platform::shared(), "static");
    std::fs::create_dir_all(app.tree.join("site/drafts")).unwrap();
    app.change("site/drafts/a.html", "draft");
    app.change("site/.slugignore", "/drafts\n");
    app.change("site/index.html", "first");
    landfall(&app, "build-settings", &["--root", "../site"])
        .refused()
        .says("is not a directory within the source");
    landfall(
        &app,
        "build-settings",
        &["--root", "site", "--watch", "site"],
    )
    .ok()
    .says("Root directory: site");
    app.push()
        .ok()
        .says("Building the directory site")
        .says("Deleting 1 files matching .slugignore patterns.")
        .says("Released v2");
    assert_eq!(app.get("/").body, "first");
    assert_eq!(app.get("/drafts/a.html").status, 404);

    app.change("notes.txt", "outside");
    app.push()
        .ok()
        .says("No watched file has changed (site)")
        .says("Nothing is built: v2 stays live");
    landfall(&app, "builds", &[]).ok().says("   2  succeeded");
    app.change("site/index.html", "second");
    app.push().ok().says("Released v3");
    assert_eq!(app.get("/").body, "second");
}

#[test]
fn a_build_that_fails_says_so_in_its_record() {
    let app = App::create(Platform::shared(), "failing-build");
    app.push().refused();
    let failed = landfall(&app, "builds:info", &["--explain"]).ok();
    let failed = failed.says("Status:     failed").says("failed");
    assert!(failed.stdout.contains("Failure:"), "{}", failed.stdout);
    landfall(&app, "builds:output", &[])
        .refused()
        .says(" !     ");
}
