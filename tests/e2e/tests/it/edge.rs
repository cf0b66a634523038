//! What the router does for an app beyond routing, switched by command line and seen from outside.

use e2e::{App, Platform, http, until};

/// A request to the app with more headers.
fn ask(app: &App<'_>, head: &str) -> http::Answer {
    let host = app.host();
    let request = format!("{head}\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    http::send(app.platform.http_addr(), &request).expect("the router answers")
}

/// Changes settings of the app and waits until the request is answered so.
fn set(app: &App<'_>, settings: &[&str], head: &str, is_so: impl Fn(&http::Answer) -> bool) {
    let mut arguments = vec!["edge", "--app", &app.name];
    arguments.extend(settings);
    app.platform.landfall(&arguments).ok();
    until(&format!("{settings:?} are in force"), || {
        is_so(&ask(app, head)).then_some(())
    });
}

#[test]
fn edge_settings_are_in_force_and_undone() {
    let app = App::deployed(Platform::shared(), "python-hello");
    let get = "GET / HTTP/1.1";
    set(
        &app,
        &[r#"response_headers=[{"name":"X-Frame-Options","value":"DENY"},{"name":"Server"}]"#],
        get,
        |answer| {
            let head = answer.head.to_ascii_lowercase();
            answer.status == 200
                && head.contains("x-frame-options: deny")
                && !head.contains("server:")
        },
    );
    set(
        &app,
        &[r#"redirects=[{"path":"/old/*","to":"/new/*","status":301}]"#],
        "GET /old/page?a=b HTTP/1.1",
        |answer| answer.status == 301 && answer.head.contains("/new/page?a=b"),
    );
    set(
        &app,
        &["max_body_bytes=4"],
        "POST / HTTP/1.1\r\nContent-Length: 5",
        |answer| answer.status == 413,
    );
    set(
        &app,
        &[r#"basic_auth={"users":[{"name":"ann","password":"correct horse battery"}]}"#],
        get,
        |answer| answer.status == 401,
    );
    // ann:correct horse battery
    let with_password =
        "GET / HTTP/1.1\r\nAuthorization: Basic YW5uOmNvcnJlY3QgaG9yc2UgYmF0dGVyeQ==";
    assert_eq!(ask(&app, with_password).status, 200);
    let shown = app.platform.landfall(&["edge", "--app", &app.name]).ok();
    assert!(!shown.stdout.contains("battery"), "{}", shown.stdout);
    set(&app, &["basic_auth=null"], get, |answer| {
        answer.status == 200
    });
    set(&app, &[r#"deny=["127.0.0.0/8"]"#], get, |answer| {
        answer.status == 403
    });
    set(
        &app,
        &["deny=null", "response_headers=null"],
        get,
        |answer| answer.status == 200 && !answer.head.contains("DENY"),
    );
    let wrong = ["edge", "--app", &app.name, r#"deny=["nowhere"]"#];
    app.platform
        .landfall(&wrong)
        .refused()
        .says("nowhere is no address");
}

#[test]
fn session_affinity_brings_a_client_back_to_its_dyno() {
    let app = App::deployed(Platform::shared(), "python-hello");
    app.heroku(&["features:enable", "http-session-affinity"])
        .ok();
    app.heroku(&["features"]).ok().says("http-session-affinity");
    app.heroku(&["ps:scale", "web=3"]).ok();
    app.heroku(&["ps:wait"]).ok();
    let cookie = until("a cookie is set", || {
        let answer = ask(&app, "GET / HTTP/1.1");
        let line = answer.head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("set-cookie")
                .then(|| value.to_owned())
        })?;
        line.split(';').next().map(str::to_owned)
    });
    let head = format!("GET /env?DYNO HTTP/1.1\r\nCookie: {cookie}");
    let first = ask(&app, &head).body;
    assert!(first.starts_with("web."), "{first}");
    for _ in 0..20 {
        assert_eq!(ask(&app, &head).body, first);
    }
    app.heroku(&["features:disable", "http-session-affinity"])
        .ok();
    until("no cookie is set", || {
        let answer = ask(&app, "GET / HTTP/1.1");
        let has_one = answer.head.to_ascii_lowercase().contains("set-cookie");
        (!has_one).then_some(())
    });
}
