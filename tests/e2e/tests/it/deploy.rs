//! Which branch goes live.

use e2e::{App, Platform};

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
