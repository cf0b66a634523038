//! `kill -9` of the platform's own processes, at bad moments. Each test has its own platform.

use e2e::{App, Load, Platform, until};

#[test]
fn killing_the_server_fails_no_request_and_loses_no_dyno_and_no_line() {
    let platform = Platform::start();
    let app = App::deployed(&platform, "python-hello");
    let before = app.dynos();
    let load = Load::start(platform.http_addr(), &app.host(), "/");
    load.await_more(50);
    platform.kill("server");
    assert_eq!(app.get("/written-while-away").status, 404);
    load.await_more(200);
    platform.await_api();
    load.await_more(50);
    assert!(load.finish() >= 300);
    let after = until("the CLI shows the dynos", || {
        let dynos = app.dynos();
        (!dynos.is_empty()).then_some(dynos)
    });
    assert_eq!(before.len(), after.len());
    assert_eq!(before[0]["id"], after[0]["id"]);
    assert_eq!(before[0]["updated_at"], after[0]["updated_at"]);
    until("the lines written meanwhile are there", || {
        let logs = app.heroku(&["logs", "--num", "1500"]).ok().stdout;
        let said = |source: &str| {
            logs.lines()
                .any(|line| line.contains(source) && line.contains("/written-while-away"))
        };
        (said("app[web.1]") && said("heroku[router]")).then_some(())
    });
}

#[test]
fn killing_the_server_in_mid_build_leaves_no_half_release() {
    let platform = Platform::start();
    let app = App::deployed(&platform, "python-hello");
    app.change("requirements.txt", "django==5.2\n");
    let mut push = app.git_command(&["push", "heroku", "main"]);
    let push = push
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("git push starts");
    until("the build has begun", || {
        std::fs::read_dir(platform.data().join("outputs"))
            .ok()?
            .find_map(|entry| {
                let text = std::fs::read_to_string(entry.ok()?.path()).ok()?;
                (text.contains("Python app detected") && !text.contains("Released")).then_some(())
            })
    });
    platform.kill("server");
    let pushed = push.wait_with_output().expect("git push ends");
    platform.await_api();
    let said = String::from_utf8_lossy(&pushed.stderr);
    assert!(!pushed.status.success(), "{said}");
    assert_eq!(app.get("/").status, 200);
    let releases = app.heroku(&["releases"]).ok().stdout;
    assert!(!releases.contains("v3"), "{releases}");
    app.push().ok().says("Released v3");
    assert_eq!(app.get("/").status, 200);
}

#[test]
fn killing_the_router_keeps_the_dynos_and_it_serves_again_without_the_server() {
    let platform = Platform::start();
    let app = App::deployed(&platform, "python-hello");
    let before = app.dynos();
    platform.kill("router");
    until("the router serves again", || {
        let answer = e2e::http::get(platform.http_addr(), &app.host(), "/").ok()?;
        (answer.status == 200).then_some(())
    });
    assert_eq!(before[0]["id"], app.dynos()[0]["id"]);
}
