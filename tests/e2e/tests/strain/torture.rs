//! `kill -9` of server, router, shims and apps at random, while deploys, scalings and requests go on.
//!
//! `cargo xtask torture` runs it at full length; as part of all tests it is short. `TORTURE_KILLS`
//! says how many, `TORTURE_SEED` repeats the choices of an earlier run.

use std::{collections::BTreeSet, time::Duration};

use e2e::{App, Failure, Host, Load, Platform, Rng, until, wait};
use serde_json::{Value, json};

use crate::{
    changes::{Acknowledged, COUNTER, Changes},
    kills::{Killer, Victim},
    turn,
};

/// Kills unless the environment says otherwise.
const KILLS: u64 = 50;
/// Longest pause between two kills, milliseconds.
const LONGEST_PAUSE_MS: u64 = 600;
/// How long the platform has to put everything right after the last kill and change.
const RECOVERY: Duration = Duration::from_mins(1);
/// How long an access line may take to its file.
const LOGGED: Duration = Duration::from_secs(5);
/// Web dynos of the app under load at the beginning and the end.
const DYNOS: usize = 4;

#[test]
fn killing_anything_at_random_leaves_nothing_behind_and_fails_no_request() {
    let _turn = turn();
    let kills = wait::setting("TORTURE_KILLS").unwrap_or(KILLS);
    let seed = wait::setting("TORTURE_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    say(&format!("TORTURE_SEED={seed} TORTURE_KILLS={kills}"));
    let mut rng = Rng::seeded(seed);
    let platform = Platform::start();
    let guarded = App::deployed(&platform, "python-hello");
    let loose = App::deployed(&platform, "python-hello");
    settle(&guarded);
    let loads =
        ["/", "/slow?ms=60"].map(|path| Load::start(platform.http_addr(), &guarded.host(), path));
    let mut killer = Killer::new(&platform, id_of(&guarded), rng.split());
    let acknowledged = std::thread::scope(|scope| {
        let changes = Changes::start(scope, &guarded, &loose, &mut rng);
        let mut told = [0, 0];
        while killer.strikes.len() < usize::try_from(kills).unwrap_or(usize::MAX) {
            killer.strike();
            wait::pause(Duration::from_millis(rng.below(LONGEST_PAUSE_MS)));
            for (load, told) in loads.iter().zip(&mut told) {
                *told += trace(&platform, &load.failures_after(*told), &killer);
            }
        }
        changes.finish()
    });
    platform.await_api();
    tell(&killer, &acknowledged);
    settle(&guarded);
    settle(&loose);
    check_counter(&guarded, acknowledged.counter);
    look_around(&platform, &[&guarded, &loose]);
    let ends = loads.map(Load::end);
    let requests: u64 = ends.iter().map(|(count, _)| count).sum();
    let failures: Vec<Failure> = ends.into_iter().flat_map(|(_, failed)| failed).collect();
    check_requests(requests, &failures, &killer);
    let host = Host::of(&platform);
    drop(platform);
    match host.leftovers() {
        Some(left) => assert!(left.is_empty(), "left on the machine: {left:#?}"),
        None => say("another platform took the number; not looked for what is left"),
    }
}

fn id_of(app: &App<'_>) -> String {
    let path = format!("/apps/{}", app.name);
    let answer = app.platform.api("GET", &path, &Value::Null);
    let answer = answer.expect("the app exists");
    answer["id"].as_str().expect("it has an id").to_owned()
}

/// Asks for a new release and a known formation, and waits until all of it is up: whatever the
/// kills have done, the platform still obeys.
fn settle(app: &App<'_>) {
    let path = format!("/apps/{}", app.name);
    let call = |method: &str, what: &str, body: Value| {
        until(&format!("{method} {what} is taken"), || {
            app.platform
                .api(method, &format!("{path}/{what}"), &body)
                .ok()
        })
    };
    let web = json!({"type": "web", "quantity": DYNOS});
    let worker = json!({"type": "worker", "quantity": 1});
    call("PATCH", "formation", json!({"updates": [web, worker]}));
    // Its dynos have crashed too often to be started soon; a new release begins anew.
    call("PATCH", "config-vars", json!({"SETTLED": wait_id()}));
    until(&format!("all dynos of {} are up", app.name), || {
        let releases = app.platform.api_list(&format!("{path}/releases")).ok()?;
        let newest = releases
            .iter()
            .max_by_key(|release| release["version"].as_u64())?;
        let dynos = app.platform.api_list(&format!("{path}/dynos")).ok()?;
        let all_up = dynos
            .iter()
            .all(|dyno| dyno["state"] == "up" && dyno["release"]["version"] == newest["version"]);
        (newest["status"] == "succeeded" && all_up && dynos.len() == DYNOS + 1).then_some(())
    });
}

/// A value that no earlier release had.
fn wait_id() -> String {
    format!("{:?}", wait::now())
}

/// What the API acknowledged is still so.
fn check_counter(app: &App<'_>, acknowledged: u64) {
    let path = format!("/apps/{}/config-vars", app.name);
    let vars = app.platform.api("GET", &path, &Value::Null);
    let vars = vars.expect("the API answers");
    let counter = vars[COUNTER].as_str().and_then(|text| text.parse().ok());
    // A call that was cut off may have been done all the same.
    let counter: u64 = counter.unwrap_or(0);
    assert!(counter >= acknowledged, "{counter}, not {acknowledged}");
}

/// Nothing that belongs to no dyno, and no dyno both dead and shown up.
fn look_around(platform: &Platform, apps: &[&App<'_>]) {
    let host = Host::of(platform);
    let mut wrong = Vec::new();
    let is_clean = wait::within(RECOVERY, || {
        let (mut known, mut up) = (BTreeSet::new(), BTreeSet::new());
        for app in apps {
            let path = format!("/apps/{}/dynos", app.name);
            for dyno in platform.api_list(&path).ok()? {
                let id = dyno["id"].as_str()?.to_owned();
                if dyno["state"] == "up" {
                    up.insert(id.clone());
                }
                known.insert(id);
            }
        }
        wrong = host.compare(&known, &up);
        wrong.is_empty().then_some(())
    });
    assert!(is_clean.is_some(), "after a minute: {wrong:#?}");
}

/// Every request was answered, but for those that were under way when their router died.
fn check_requests(count: u64, failures: &[Failure], killer: &Killer<'_>) {
    let unexcused: Vec<String> = failures
        .iter()
        .filter(|failure| !killer.had_no_router(failure.began, failure.ended))
        .map(|failure| {
            let around = killer.around(failure.began, failure.ended);
            format!("{}; killed: {around}", failure.what)
        })
        .collect();
    say(&format!(
        "{count} requests, {} cut off by kills of the router, {} failed",
        failures.len() - unexcused.len(),
        unexcused.len()
    ));
    assert!(
        unexcused.is_empty(),
        "{} of {count} requests failed: {:#?}",
        unexcused.len(),
        unexcused.iter().take(10).collect::<Vec<_>>()
    );
}

/// Says what is known of requests that have just failed, while the log still has them. Returns how
/// many those were.
fn trace(platform: &Platform, failures: &[Failure], killer: &Killer<'_>) -> usize {
    for failure in failures {
        if killer.had_no_router(failure.began, failure.ended) {
            continue;
        }
        let lines = wait::within(LOGGED, || {
            let lines = platform.logged(&failure.id);
            (!lines.is_empty()).then_some(lines)
        });
        let around = killer.around(failure.began, failure.ended);
        let took = failure.ended - failure.began;
        say(&format!(
            "failed after {} ms, {} strikes so far: {}; killed: {around}; logged: {lines:#?}",
            took.as_millis(),
            killer.strikes.len(),
            failure.what
        ));
    }
    failures.len()
}

fn tell(killer: &Killer<'_>, acknowledged: &Acknowledged) {
    let count = |of: &str| {
        let is_it = |victim: &Victim| match victim {
            Victim::Server => of == "server",
            Victim::Router => of == "router",
            Victim::Dyno { part, .. } => *part == of,
        };
        let strikes = killer.strikes.iter();
        format!("{of} {}", strikes.filter(|one| is_it(&one.what)).count())
    };
    let killed = ["server", "router", "shim", "first process", "app"].map(count);
    say(&format!("killed: {}", killed.join(", ")));
    say(&format!("acknowledged meanwhile: {acknowledged:?}"));
}

#[expect(clippy::print_stderr, reason = "what a failed run is repeated with")]
fn say(text: &str) {
    eprintln!("{text}");
}
