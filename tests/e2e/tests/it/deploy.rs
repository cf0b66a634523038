//! Apps of each language go live by `git push`, and again faster.

use e2e::{App, Platform};

#[test]
fn a_django_app_goes_live_and_reinstalls_nothing_the_second_time() {
    let app = App::create(Platform::shared(), "django");
    let first = app
        .push()
        .ok()
        .says("Python app detected")
        .says("collectstatic");
    assert!(
        first.stderr.contains("deployed to Landfall"),
        "{}",
        first.stderr
    );
    assert_eq!(app.get("/").status, 200);
    app.change("notes.txt", "a second version");
    let second = app.push().ok();
    assert!(
        !second.stderr.contains("Installing requirements"),
        "{}",
        second.stderr
    );
    assert_eq!(app.get("/").status, 200);
}

#[test]
fn a_node_app_goes_live() {
    let app = App::create(Platform::shared(), "express");
    app.push().ok().says("Node.js app detected");
    assert_eq!(app.get("/").status, 200);
    app.change("notes.txt", "a second version");
    app.push().ok();
    assert_eq!(app.get("/").status, 200);
}

#[test]
fn a_static_site_goes_live() {
    let app = App::deployed(Platform::shared(), "static");
    let page = app.get("/");
    assert_eq!(page.status, 200);
    assert!(
        page.head
            .to_ascii_lowercase()
            .contains("content-type: text/html"),
        "{}",
        page.head
    );
}

#[test]
fn another_branch_is_kept_but_not_deployed() {
    let app = App::deployed(Platform::shared(), "python-hello");
    app.git(&["checkout", "--quiet", "-b", "feature"]).ok();
    app.touch();
    let pushed = app.git(&["push", "heroku", "feature"]).ok();
    assert!(
        pushed.stderr.contains("skipping build"),
        "{}",
        pushed.stderr
    );
    let releases = app.heroku(&["releases"]).ok().stdout;
    assert!(!releases.contains("v3"), "{releases}");
    app.git(&["push", "heroku", "feature:main"])
        .ok()
        .says("Released v3");
}
