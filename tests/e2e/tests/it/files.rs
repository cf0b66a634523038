//! Files that the router serves straight from the slug: they come with a release, and need no dyno.

use e2e::{App, Platform, until};
use serde_json::json;

#[test]
fn files_change_with_the_release_and_outlive_the_dynos() {
    let platform = Platform::shared();
    let app = App::create(platform, "python-hello");
    let folder = app.tree.join("assets");
    std::fs::create_dir(folder).expect("the folder can be made");
    app.change("assets/site.css", "first {}");
    app.push().ok();
    let edge = format!("/apps/{}/edge", app.name);
    let settings = json!({"static": [{"prefix": "/assets", "folder": "assets"}], "compress": true});
    let set = platform.api("PATCH", &edge, &settings);
    set.expect("the settings can be set");
    let served = |expected: &str| {
        until(&format!("the router serves {expected}"), || {
            let answer = app.get("/assets/site.css");
            let is_it = answer.status == 200 && answer.body == expected;
            is_it.then_some(answer)
        })
    };
    let answer = served("first {}");
    assert!(answer.head.contains("etag: \""), "{}", answer.head);
    assert!(
        answer.head.contains("cache-control: no-cache\r\n"),
        "{}",
        answer.head
    );
    for path in [
        "/assets/../app.py",
        "/assets/%2e%2e/app.py",
        "/assets/missing",
    ] {
        let answer = app.get(path);
        assert!(!answer.body.contains("import "), "{path}: {}", answer.body);
    }
    app.change("assets/site.css", "second {}");
    app.push().ok();
    // The push returned when the new release answered, and its files are there.
    let answer = app.get("/assets/site.css");
    assert_eq!((answer.status, &*answer.body), (200, "second {}"));
    app.heroku(&["ps:scale", "web=0"]).ok();
    until("no dyno answers", || {
        (app.get("/").status == 503).then_some(())
    });
    served("second {}");
}
