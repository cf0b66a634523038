//! An ordinary user's platform: single-tenant mode, and said to be.

use e2e::{App, Platform, until};

#[test]
fn an_ordinary_user_pushes_and_is_served_and_told_the_limits() {
    let platform = Platform::start_alone();
    let said = platform.said();
    assert!(said.contains("SINGLE-TENANT MODE"), "{said}");
    let app = App::deployed(&platform, "python-hello");
    assert_eq!(app.get("/").status, 200);
    app.heroku(&["ps:restart"]).ok();
    until("it serves again", || {
        (app.get("/").status == 200).then_some(())
    });
}
