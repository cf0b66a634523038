//! What many idle connections, many routes, changes of routes and slow clients do.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{
    configs,
    programs::Programs,
    proxies::{self, HOSTS, OURS, Proxy},
    samples::median,
};
use crate::{
    bench::samples::{Series, figure},
    out,
};

/// One of these questions.
pub(super) struct Scale {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) run: fn(&Programs, &[Proxy], u16) -> Result<Value>,
}

/// All of them.
pub(super) const SCALES: &[Scale] = &[
    Scale {
        name: "idle",
        about: "10,000 idle kept connections",
        run: idle,
    },
    Scale {
        name: "routes",
        about: "100,000 routes against 100",
        run: routes,
    },
    Scale {
        name: "change",
        about: "a new route's first answer, among 10,000",
        run: change,
    },
    Scale {
        name: "slow",
        about: "others' latency beside 5,000 slow clients",
        run: slow,
    },
];

const IDLE: usize = 10_000;
const MANY_ROUTES: usize = 100_000;
/// Of 10,000 routes, and how often one is added.
const CHANGED_ROUTES: usize = 10_000;
const CHANGES: usize = 100;
/// Slow clients of each kind.
const SLOW: usize = 2_500;
const ROUNDS: usize = 5;
/// Enough for a p99 on a busy machine: each round's stands on 40 of 4,000 requests.
const SLOW_ROUNDS: usize = 11;
/// For a proxy to give back what it needed while there was something to do.
const SETTLE: Duration = Duration::from_secs(6);
/// For the proxies to notice that a crowd has left.
const LIMITS: (Duration, Duration) = (Duration::from_secs(10), Duration::from_millis(100));

/// What a connection weighs while nothing happens on it: in the process, and in the kernel, where
/// the client's end cannot be told from the proxy's.
fn idle(programs: &Programs, all: &[Proxy], _: u16) -> Result<Value> {
    out::say(format_args!(
        "\n{:<10} {:>8} {:>16} {:>20}",
        "idle", "n", "kB a connection", "kernel, both ends"
    ));
    let mut measured = Vec::new();
    for proxy in all {
        // It does not take more than it has files for.
        let count = match proxy.name {
            "haproxy" => IDLE.min(configs::haproxy_connections() - 100),
            _ => IDLE,
        };
        let before = weigh(programs, proxy)?;
        let (crowd, _ready) = programs.start(&crowd("idle", proxy, count))?;
        let after = weigh(programs, proxy)?;
        drop(crowd);
        // Exact up to 2^53 kB.
        #[expect(clippy::cast_precision_loss, reason = "a count of connections")]
        let each = |of: usize| (after[of] - before[of]) / count as f64;
        let (held, kernel) = (each(0), each(1));
        out::say(format_args!(
            "{:<10} {count:>8} {held:>16.2} {kernel:>20.2}",
            proxy.name
        ));
        measured.push((proxy.name, held, kernel));
    }
    for (name, held, kernel) in &measured {
        if *name == OURS {
            figure("router_idle_kb_per_connection", *held, "kB");
            figure("router_idle_kernel_kb_per_connection", *kernel, "kB");
        } else {
            figure(&format!("router_idle_kb_{name}"), *held, "kB");
        }
    }
    Ok(json!(measured))
}

/// Memory with many routes, and what a request costs then, in turns with few.
fn routes(programs: &Programs, all: &[Proxy], app: u16) -> Result<Value> {
    let few = all.first().context("ours is the first")?;
    let many = proxies::start_ours(programs, app, MANY_ROUTES)?;
    let (few_kb, many_kb) = (weigh(programs, few)?[0], weigh(programs, &many)?[0]);
    let mut ratios = Vec::new();
    for round in 0..ROUNDS {
        let mut order = [(0, few), (1, &many)];
        order.rotate_left(round % 2);
        let mut cost = [0.0; 2];
        for (which, proxy) in order {
            let answer = programs.ask(&kept(proxy))?;
            cost[which] = number(&answer, "cpu_us")? / number(&answer, "requests")?;
        }
        ratios.push(cost[1] / cost[0]);
    }
    figure("router_100k_routes_mb", many_kb / 1e3, "MB");
    figure("router_100_routes_mb", few_kb / 1e3, "MB");
    figure("router_100k_routes_vs_100", median(&ratios), "x");
    Ok(json!({"few_kb": few_kb, "many_kb": many_kb, "cpu_ratios": ratios}))
}

/// From the publication of a new route to its first answer.
fn change(programs: &Programs, _: &[Proxy], app: u16) -> Result<Value> {
    let directory = super::directory().join("landfall-change");
    let (place, _router) = proxies::start_router(programs, &directory, app)?;
    let answer = programs.ask(&[
        "change".to_owned(),
        format!("socket={}", proxies::socket(&directory)),
        format!("address={}", place.plain),
        format!("upstream={app}"),
        format!("apps={CHANGED_ROUTES}"),
        format!("changes={CHANGES}"),
    ])?;
    let seconds = answer["seconds"].as_array().context("times")?;
    let seconds: Vec<f64> = seconds.iter().filter_map(Value::as_f64).collect();
    let series = Series::new("change", seconds);
    figure("router_route_change_ms", series.median() * 1e3, "ms");
    figure(
        "router_route_change_p99_ms",
        series.quantile(0.99) * 1e3,
        "ms",
    );
    Ok(answer)
}

/// The p99 of other clients at a fixed rate, with slow clients and without, in turns.
fn slow(programs: &Programs, all: &[Proxy], _: u16) -> Result<Value> {
    let mut measured = serde_json::Map::new();
    for proxy in all {
        let mut pairs = Vec::new();
        for round in 0..SLOW_ROUNDS {
            let mut p99 = [0.0; 2];
            let mut order = [false, true];
            order.rotate_left(round % 2);
            for is_slow in order {
                let crowds = if is_slow {
                    slow_crowds(programs, proxy)?
                } else {
                    Vec::new()
                };
                let answer = programs.ask(&paced(proxy))?;
                p99[usize::from(is_slow)] = number(&answer, "p99_us")?;
                drop(crowds);
                await_calm()?;
            }
            pairs.push(p99);
        }
        let of = |which: usize| median(&pairs.iter().map(|pair| pair[which]).collect::<Vec<_>>());
        let (quiet, slow) = (of(0), of(1));
        out::say(format_args!(
            "{:<10} p99 quiet {quiet:>6.0} µs, beside slow clients {slow:>6.0} µs",
            proxy.name,
        ));
        let name = match proxy.name {
            OURS => "router_slow_p99_ratio".to_owned(),
            peer => format!("router_slow_p99_ratio_{peer}"),
        };
        figure(&name, slow / quiet, "x");
        measured.insert(proxy.name.to_owned(), json!(pairs));
    }
    Ok(Value::Object(measured))
}

fn slow_crowds(programs: &Programs, proxy: &Proxy) -> Result<Vec<super::programs::Partner>> {
    let crowds = ["heads", "bodies"].map(|kind| programs.start(&crowd(kind, proxy, SLOW)));
    let partners = crowds.into_iter().map(|started| Ok(started?.0));
    partners.collect()
}

/// Until the connections of a crowd are gone.
fn await_calm() -> Result<()> {
    out::wait_until("the crowd to be gone", LIMITS, || {
        let text = std::fs::read_to_string("/proc/net/sockstat")?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("TCP: inuse "));
        let count = line.and_then(|line| line.split(' ').next()?.parse::<usize>().ok());
        Ok(count.is_none_or(|count| count < 2 * SLOW).then_some(()))
    })
}

/// What a proxy and the kernel hold for it, in kB, when what went on is over.
fn weigh(programs: &Programs, proxy: &Proxy) -> Result<[f64; 2]> {
    out::pause(SETTLE);
    let answer = programs.ask(&["weigh".to_owned(), format!("watch={}", proxy.pid())])?;
    Ok([number(&answer, "held_kb")?, number(&answer, "kernel_kb")?])
}

fn crowd(kind: &str, proxy: &Proxy, count: usize) -> Vec<String> {
    vec![
        "crowd".to_owned(),
        format!("kind={kind}"),
        format!("count={count}"),
        "path=/1k".to_owned(),
        format!("address={}", proxy.address(false)),
    ]
}

fn kept(proxy: &Proxy) -> Vec<String> {
    let mut words = load(proxy);
    words.extend(["how=kept", "connections=32", "measure=1200"].map(str::to_owned));
    words
}

fn paced(proxy: &Proxy) -> Vec<String> {
    let mut words = load(proxy);
    let more = ["how=paced", "connections=64", "rate=1000", "measure=4000"];
    words.extend(more.map(str::to_owned));
    words
}

fn load(proxy: &Proxy) -> Vec<String> {
    vec![
        "load".to_owned(),
        "path=/1k".to_owned(),
        "warm=300".to_owned(),
        format!("hosts={HOSTS}"),
        format!("address={}", proxy.address(false)),
        format!("watch={}", proxy.pid()),
    ]
}

fn number(answer: &Value, name: &str) -> Result<f64> {
    let value = answer[name].as_f64();
    value.with_context(|| format!("no {name}: {answer}"))
}
