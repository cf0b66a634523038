//! Apps that fall asleep, and what wakes them: real requests, real dynos, the official CLI.

use std::thread;

use e2e::{App, Platform, http, until};
use serde_json::{Value, json};

/// Requests that come to a sleeping app at the same time: no more than the sample's small server
/// lets wait to be accepted, since only the wake is on trial here.
const CROWD: usize = 100;

fn sleep_of(app: &App<'_>) -> Option<Value> {
    let path = format!("/apps/{}/sleep", app.name);
    app.platform.api("GET", &path, &Value::Null).ok()
}

fn set(app: &App<'_>, policy: &Value) {
    let path = format!("/apps/{}/sleep", app.name);
    let set = app.platform.api("PATCH", &path, policy);
    set.expect("the policy can be set");
}

fn await_state(app: &App<'_>, state: &str) -> Value {
    until(&format!("{} is {state}", app.name), || {
        sleep_of(app).filter(|sleep| sleep["state"] == state)
    })
}

/// Puts the app to sleep at once.
fn put_to_sleep(app: &App<'_>) {
    let path = format!("/apps/{}/sleep/actions/now", app.name);
    until("it can be put to sleep", || {
        // A request that has just ended may still be on its way out.
        app.platform.api("POST", &path, &Value::Null).ok()
    });
    await_state(app, "frozen");
}

fn lines_with(app: &App<'_>, text: &str) -> Vec<String> {
    let logs = app.heroku(&["logs", "--num", "1500"]).ok().stdout;
    let lines = logs.lines().filter(|line| line.contains(text));
    lines.map(str::to_owned).collect()
}

#[test]
fn a_crowd_of_requests_wakes_a_sleeping_app_once() {
    let app = App::deployed(Platform::shared(), "static");
    app.heroku(&["ps:scale", "web=2"]).ok();
    until("both dynos are up", || {
        let dynos = app.dynos();
        (dynos.len() == 2 && dynos.iter().all(|dyno| dyno["state"] == "up")).then_some(())
    });
    let before = app.dynos();
    put_to_sleep(&app);
    let shown = app.heroku(&["ps"]).ok();
    assert!(shown.stdout.contains("web.1: idle"), "{shown:?}");
    assert!(shown.stderr.contains("sleeps since"), "{shown:?}");
    let (address, host) = (app.platform.http_addr(), app.host());
    let crowd: Vec<_> = (0..CROWD)
        .map(|_| {
            let host = host.clone();
            let small = thread::Builder::new().stack_size(256 << 10);
            small.spawn(move || http::get(address, &host, "/")).unwrap()
        })
        .collect();
    for request in crowd {
        let answer = request.join().unwrap().expect("the router answers");
        assert_eq!(answer.status, 200, "{}", answer.head);
    }
    let sleep = await_state(&app, "awake");
    let cause = sleep["wake_cause"].as_str().unwrap();
    assert!(cause.starts_with("woken by GET /"), "{cause}");
    assert_eq!(lines_with(&app, "heroku[web.1]: Unidling").len(), 1);
    let after = until("both dynos are up again", || {
        let dynos = app.dynos();
        dynos
            .iter()
            .all(|dyno| dyno["state"] == "up")
            .then_some(dynos)
    });
    let ids = |dynos: &[Value]| {
        dynos
            .iter()
            .map(|dyno| dyno["id"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(&before), ids(&after), "the same dynos as before");
}

#[test]
fn an_app_falls_asleep_by_itself_but_not_in_the_middle_of_a_request() {
    let app = App::deployed(Platform::shared(), "python-hello");
    set(&app, &json!({ "idle_seconds": 2 }));
    let slow = {
        let (address, host) = (app.platform.http_addr(), app.host());
        thread::spawn(move || http::get(address, &host, "/slow?ms=8000"))
    };
    let answer = slow
        .join()
        .unwrap()
        .expect("a dyno that is frozen cannot answer");
    assert_eq!(answer.body, "at last\n");
    let sleep = await_state(&app, "frozen");
    assert_eq!(sleep["cause"], "no request for 2 seconds");
    assert_eq!(app.get("/").status, 200);
    await_state(&app, "frozen");
    // What does not serve requests leaves it asleep, what changes it wakes it.
    app.heroku(&["run", "--exit-code", "--", "true"]).ok();
    set(&app, &json!({ "idle_seconds": 3600 }));
    app.heroku(&["ps:restart"]).ok();
    await_state(&app, "awake");
    put_to_sleep(&app);
    app.touch();
    app.push().ok().says("Released v3");
    assert_eq!(app.get("/").status, 200);
}

#[test]
fn an_app_that_was_stopped_starts_for_the_request_that_waits() {
    let app = App::deployed(Platform::shared(), "python-hello");
    set(&app, &json!({ "stop_after_seconds": 1 }));
    put_to_sleep_for_good(&app);
    assert!(app.get("/").status == 200, "it waits for the dyno");
    let sleep = await_state(&app, "awake");
    let cause = sleep["wake_cause"].as_str().unwrap();
    assert!(cause.starts_with("woken by GET /"), "{cause}");
    let lines = lines_with(&app, "State changed from down to starting");
    assert_eq!(lines.len(), 1, "{lines:?}");
}

fn put_to_sleep_for_good(app: &App<'_>) {
    let path = format!("/apps/{}/sleep/actions/now", app.name);
    let put = app.platform.api("POST", &path, &Value::Null);
    put.expect("it can be put to sleep");
    await_state(app, "stopped");
    let shown = app.heroku(&["ps"]).ok().stdout;
    assert!(shown.contains("web.1: idle"), "{shown}");
}

#[test]
fn a_sleeping_app_wakes_while_the_server_is_dead() {
    let platform = Platform::start();
    let app = App::deployed(&platform, "python-hello");
    let before = app.dynos();
    let asleep = platform.landfall(&["sleep", "--app", &app.name, "--now"]);
    asleep.ok().says("asleep since");
    platform.kill("server");
    assert_eq!(app.get("/").status, 200);
    platform.await_api();
    let sleep = await_state(&app, "awake");
    let cause = sleep["wake_cause"].as_str().unwrap().to_owned();
    assert!(cause.starts_with("woken by"), "{cause}");
    assert_eq!(before[0]["id"], app.dynos()[0]["id"]);
    put_to_sleep(&app);
    platform.kill("server");
    platform.await_api();
    await_state(&app, "frozen");
    let woken = platform.landfall(&["wake", "--app", &app.name]);
    woken.ok().says("awake since");
    assert_eq!(app.get("/").status, 200);
}
