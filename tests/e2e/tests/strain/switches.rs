//! One count over everything that may switch under a request: routes, releases, pushes, routers that
//! take over or are killed, dynos that are killed beside others.
//!
//! `cargo xtask bench failures` runs it at full length; as part of all tests it is short.

use std::{fmt::Write as _, time::Instant};

use e2e::{App, Failure, Host, Load, Platform, host, platform::kill, until, wait};
use serde_json::{Value, json};

use crate::turn;

/// How often each thing happens.
struct Script {
    swaps: u64,
    releases: u64,
    pushes: u64,
    upgrades: u64,
    router_kills: u64,
    dyno_kills: u64,
}

const SHORT: Script = Script {
    swaps: 40,
    releases: 3,
    pushes: 1,
    upgrades: 2,
    router_kills: 2,
    dyno_kills: 3,
};
/// What issue 4 asks for, at least.
const FULL: Script = Script {
    swaps: 200,
    releases: 15,
    pushes: 5,
    upgrades: 10,
    router_kills: 10,
    // Each of the dynos once: who crashes again waits for minutes until it is started again.
    dyno_kills: 3,
};
/// Web dynos, so that another is up when one is killed.
const DYNOS: usize = 3;
/// Requests a second over kept connections, and how many may be under way at once.
const RATE: u32 = 100;
const CLIENTS: usize = 16;
/// Requests that a phase waits for behind each switch.
const BETWEEN: u64 = 5;

/// Does one thing, told how often it was done before.
type Switch<'a> = fn(&mut Stage<'a>, u64);

/// The load, and the router's deaths.
struct Stage<'a> {
    app: &'a App<'a>,
    host: Host,
    /// On connections of their own, on kept ones, and slow ones.
    loads: Vec<Load>,
    /// From the signal until the process was seen gone.
    deaths: Vec<(Instant, Instant)>,
}

#[test]
fn no_request_fails_over_swaps_deploys_upgrades_and_kills() {
    let _turn = turn();
    let script = match wait::setting("FAILURES_FULL") {
        Some(_) => FULL,
        None => SHORT,
    };
    let platform = Platform::start();
    let app = App::deployed(&platform, "python-hello");
    scale(&app, DYNOS);
    let (address, host) = (platform.http_addr(), app.host());
    let stage = Stage {
        app: &app,
        host: Host::of(&platform),
        loads: vec![
            Load::start(address, &host, "/"),
            Load::at_rate(address, &host, "/", RATE, CLIENTS),
            Load::start(address, &host, "/slow?ms=60"),
        ],
        deaths: Vec::new(),
    };
    perform(stage, &script);
}

/// All of it, one kind after the other, and the figure.
fn perform<'a>(mut stage: Stage<'a>, script: &Script) {
    let mut table = String::new();
    let phases: [(&str, u64, Switch<'a>); 6] = [
        ("route swaps", script.swaps, Stage::swap),
        ("releases", script.releases, Stage::release),
        ("pushes", script.pushes, Stage::push),
        ("router upgrades", script.upgrades, Stage::upgrade),
        ("router kill -9", script.router_kills, Stage::kill_router),
        ("dyno kill -9", script.dyno_kills, Stage::kill_dyno),
    ];
    for (name, times, switch) in phases {
        let (before, known) = (stage.sent(), stage.failures().len());
        for number in 0..times {
            switch(&mut stage, number);
            stage.loads[0].await_more(BETWEEN);
        }
        let failures = stage.failures().split_off(known);
        let cut = stage.cut_among(&failures);
        writeln!(
            table,
            "{times:>5} {name:<16} {:>7} requests {:>3} failed {cut:>3} cut by a router's death",
            stage.sent() - before,
            failures.len() - cut,
        )
        .expect("a string takes all");
    }
    stage.finish(&table);
}

impl Stage<'_> {
    fn sent(&self) -> u64 {
        self.loads.iter().map(Load::count).sum()
    }

    fn failures(&self) -> Vec<Failure> {
        let failures = self.loads.iter().flat_map(|load| load.failures_after(0));
        let mut failures: Vec<_> = failures.collect();
        failures.sort_by_key(|failure| failure.ended);
        failures
    }

    /// A request that a router held when it was killed dies with its connection: no other process
    /// has it. One that began when the router was gone has no excuse, nor has one that was refused.
    fn is_cut(&self, failure: &Failure) -> bool {
        let mut deaths = self.deaths.iter();
        let was_held = deaths.any(|(at, gone)| failure.began <= *gone && *at <= failure.ended);
        was_held && !failure.what.contains("refused") && !failure.what.starts_with("status")
    }

    fn cut_among(&self, failures: &[Failure]) -> usize {
        failures.iter().filter(|one| self.is_cut(one)).count()
    }

    fn call(&self, method: &str, what: &str, body: &Value) {
        let path = format!("/apps/{}/{what}", self.app.name);
        let answer = self.app.platform.api(method, &path, body);
        answer.unwrap_or_else(|error| panic!("{error}"));
    }

    /// The app's entry in the routes changes: its hosts, its settings, its dynos.
    fn swap(&mut self, number: u64) {
        let domain = format!("swap{}.example.com", number / 5);
        match number % 5 {
            0 => self.call("POST", "domains", &json!({ "hostname": domain })),
            1 => self.call(
                "PATCH",
                "edge",
                &json!({"response_headers": [{"name": "X-Swap", "value": domain}]}),
            ),
            2 => scale(self.app, DYNOS + 1),
            3 => self.call("DELETE", &format!("domains/{domain}"), &Value::Null),
            _ => scale(self.app, DYNOS),
        }
    }

    fn release(&mut self, number: u64) {
        let before = ids(self.app);
        self.call(
            "PATCH",
            "config-vars",
            &json!({"SWITCH": number.to_string()}),
        );
        until("every dyno is of the new release", || {
            let after = ids(self.app);
            let is_new = after.len() == DYNOS && after.iter().all(|id| !before.contains(id));
            (is_new && all_up(self.app, DYNOS)).then_some(())
        });
    }

    fn push(&mut self, _number: u64) {
        self.app.touch();
        self.app.push().ok();
    }

    fn upgrade(&mut self, _number: u64) {
        let former = self.app.platform.pid_of("router");
        self.app.platform.upgrade_router();
        until("the former router has ended", || {
            (!host::is_alive(former)).then_some(())
        });
        assert_ne!(self.app.platform.pid_of("router"), former);
    }

    fn kill_router(&mut self, _number: u64) {
        let former = self.app.platform.pid_of("router");
        let at = wait::now();
        kill(former, libc::SIGKILL);
        until("the router is gone", || {
            (!host::is_alive(former)).then_some(())
        });
        self.deaths.push((at, wait::now()));
        assert_ne!(self.app.platform.pid_of("router"), former);
        // Each kind of load goes on before the next one dies.
        for load in &self.loads {
            load.await_more(BETWEEN);
        }
    }

    fn kill_dyno(&mut self, _number: u64) {
        let victim = until("a dyno is up to be killed", || {
            all_up(self.app, DYNOS).then_some(())?;
            let mut dynos = self.host.dynos().into_iter();
            dynos.find(|dyno| dyno.is_alive && self.host.is_routed(&dyno.id))
        });
        let process = host::family(victim.process).pop();
        kill(process.unwrap_or(victim.process), libc::SIGKILL);
        until("the dead dyno was noticed", || {
            let is_back =
                |dyno: &host::Held| dyno.id == victim.id && dyno.process != victim.process;
            let dynos = self.host.dynos();
            let is_gone = !dynos
                .iter()
                .any(|dyno| dyno.id == victim.id && dyno.is_alive);
            (is_gone || dynos.iter().any(is_back)).then_some(())
        });
    }

    /// Prints the table and the figure; fails unless that is nought.
    fn finish(mut self, table: &str) {
        let ends: Vec<_> = self.loads.drain(..).map(Load::end).collect();
        let failures = ends.iter().flat_map(|(_, failures)| failures);
        let failed: Vec<_> = failures.filter(|one| !self.is_cut(one)).collect();
        say(table);
        say(&format!(
            "figure router_failed_requests {} count",
            failed.len()
        ));
        assert!(
            failed.is_empty(),
            "{:#?}",
            failed.iter().take(10).collect::<Vec<_>>()
        );
    }
}

fn ids(app: &App<'_>) -> Vec<Value> {
    let dynos = app.platform.api_list(&format!("/apps/{}/dynos", app.name));
    let dynos = dynos.unwrap_or_default();
    dynos.iter().map(|dyno| dyno["id"].clone()).collect()
}

fn all_up(app: &App<'_>, count: usize) -> bool {
    let dynos = app.platform.api_list(&format!("/apps/{}/dynos", app.name));
    let dynos = dynos.unwrap_or_default();
    dynos.len() == count && dynos.iter().all(|dyno| dyno["state"] == "up")
}

/// Asks for so many web dynos and waits for them.
fn scale(app: &App<'_>, count: usize) {
    let web = json!({"updates": [{"type": "web", "quantity": count}]});
    let path = format!("/apps/{}/formation", app.name);
    app.platform.api("PATCH", &path, &web).expect("it scales");
    until(&format!("{count} dynos are up"), || {
        all_up(app, count).then_some(())
    });
}

#[expect(clippy::print_stdout, reason = "the figure is what it is run for")]
fn say(text: &str) {
    println!("{text}");
}
