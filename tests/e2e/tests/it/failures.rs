//! What goes wrong says so, and what served goes on serving.

use e2e::{App, Platform, until};

/// Pushes `sample` over a serving app: the push is refused with `text`, the old release serves.
fn over_a_serving_app(sample: &str, text: &str) {
    let platform = Platform::shared();
    let app = App::deployed(platform, "python-hello");
    let broken = App::local(platform, sample, platform.app_name(sample));
    let git_url = format!("{}/{}.git", platform.ready("git_url"), app.name);
    broken.git(&["remote", "add", "heroku", &git_url]).ok();
    broken
        .git(&["push", "--force", "heroku", "main"])
        .refused()
        .says(text);
    assert_eq!(app.get("/").status, 200);
    app.heroku(&["ps"]).ok().says("web.1: up");
}

#[test]
fn a_failing_build_rejects_the_push() {
    over_a_serving_app("failing-build", "Push rejected");
}

#[test]
fn a_procfile_with_an_impossible_type_rejects_the_push() {
    over_a_serving_app("bad-procfile", "Procfile");
}

#[test]
fn a_dyno_that_crashes_at_boot_fails_the_release() {
    over_a_serving_app("crash-at-boot", "crashed while booting");
}

#[test]
fn a_dyno_that_never_binds_fails_the_release() {
    over_a_serving_app(
        "never-binds",
        "hint: port 8000 is written into the app or its command",
    );
}

#[test]
fn a_dyno_that_exceeds_its_memory_is_killed_and_says_so() {
    over_a_serving_app("eats-memory", "Error R15 (Memory quota vastly exceeded)");
}

#[test]
fn pushing_to_an_app_that_does_not_exist() {
    let platform = Platform::shared();
    let app = App::local(platform, "python-hello", platform.app_name("never-created"));
    let git_url = format!("{}/{}.git", platform.ready("git_url"), app.name);
    app.git(&["remote", "add", "heroku", &git_url]).ok();
    app.push().refused().says("Couldn't find that app");
}

#[test]
fn a_running_dyno_that_crashes_is_started_again() {
    let app = App::deployed(Platform::shared(), "python-hello");
    let before = app.dynos()[0]["id"].clone();
    // The app ends itself; the request may or may not be answered first.
    e2e::http::get(app.platform.http_addr(), &app.host(), "/exit?status=3").ok();
    until("a new dyno is up", || {
        let dynos = app.dynos();
        let dyno = dynos.last()?;
        (dyno["id"] != before && dyno["state"] == "up").then_some(())
    });
    let logs = app.heroku(&["logs", "--num", "200"]).ok().stdout;
    assert!(logs.contains("Process exited with status 3"), "{logs}");
    assert!(logs.contains("State changed from up to crashed"), "{logs}");
}
