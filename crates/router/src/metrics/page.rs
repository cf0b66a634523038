//! The page of metrics: what the ledger and others know, family by family.
//!
//! Labels: an app is called what people call it, a dyno by its name, under which one dyno follows
//! the other. Read [`Sources::page`].

use std::{collections::BTreeMap, sync::Arc};

use api::clock::{Clock, Time};

use super::{
    counts::Unrouted,
    families as family,
    ledger::{AppTotals, DynoTotals, Ledger},
    process,
    text::{Text, Value},
};
use crate::{access::Loss, codes::Code, table::Routes, traces::Tally};

/// How those are called for which there was no place; no app can be called so.
const OTHERS: &str = "(others)";
/// Hosts whose certificates are shown: those that expire first.
const MAX_HOSTS: usize = 2_000;
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// What the page is made of.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) routes: Arc<Routes>,
    pub(crate) loss: Loss,
    pub(crate) spans: Option<Arc<Tally>>,
    pub(crate) clock: Clock,
}

/// An app under its name.
#[derive(Debug, Default)]
struct App {
    totals: AppTotals,
    waiting: u64,
    /// By process type and name.
    dynos: BTreeMap<(String, String), DynoTotals>,
}

type Apps = BTreeMap<String, App>;

impl Sources {
    /// All metrics in the text format.
    pub(crate) fn page(&self) -> String {
        let mut text = Text::default();
        let apps = self.apps();
        write_apps(&apps, &mut text);
        write_dynos(&apps, &mut text);
        self.write_connections(&mut text);
        self.write_routes(&mut text);
        self.write_process(&mut text);
        text.into_string()
    }

    /// What was counted, by what people call it.
    fn apps(&self) -> Apps {
        let mut apps = Apps::new();
        for totals in self.ledger.apps() {
            let (name, waiting) = self.look_up(&totals);
            apps.entry(name).or_default().add(totals, waiting);
        }
        apps
    }

    /// An app's name, and how many requests wait for it. One look at a time, so that the thread
    /// that changes routes is not kept waiting.
    fn look_up(&self, totals: &AppTotals) -> (String, u64) {
        let Some(id) = totals.app else {
            return (OTHERS.to_owned(), 0);
        };
        if let Some(app) = self.routes.keeper().app(id) {
            return (app.name().to_owned(), app.queue.count() as u64);
        }
        let former = totals.name.as_ref().map(ToString::to_string);
        (former.unwrap_or_else(|| id.to_string()), 0)
    }

    fn write_connections(&self, text: &mut Text) {
        let lanes = self.ledger.lanes();
        let unrouted = Unrouted::ALL.into_iter().zip(lanes.unrouted);
        text.family(
            &family::UNROUTED,
            unrouted.map(|(why, count)| ([why.as_str()], Value::Number(count))),
        );
        text.number(&family::CONNECTIONS, Value::Number(lanes.open));
        text.number(&family::ACCEPTED, Value::Number(lanes.accepted));
    }

    fn write_routes(&self, text: &mut Text) {
        let contact = self.ledger.contact();
        let apps = self.routes.keeper().apps().count() as u64;
        text.number(&family::APPS, Value::Number(apps));
        let version = self.routes.current().version;
        text.number(&family::VERSION, Value::Number(version));
        text.family(&family::CHANGED, contact.changed().map(no_labels));
        let is_connected = u64::from(contact.is_connected());
        text.number(&family::CONNECTED, Value::Number(is_connected));
        text.family(&family::HEARD, contact.heard().map(no_labels));
        let mut expiries = self.routes.certificates.shown().expiries();
        expiries.sort_unstable();
        expiries.truncate(MAX_HOSTS);
        let expiries = expiries
            .iter()
            .map(|(at, host)| ([host.as_str()], Value::Micros(micros(*at))));
        text.family(&family::EXPIRY, expiries);
    }

    fn write_process(&self, text: &mut Text) {
        text.number(&family::LINES_DROPPED, Value::Number(self.loss.lines()));
        let spans = self.spans.as_deref();
        let exported = spans.map(|spans| ([], Value::Number(spans.exported())));
        text.family(&family::SPANS_EXPORTED, exported);
        let dropped = spans.map(|spans| ([], Value::Number(spans.dropped())));
        text.family(&family::SPANS_DROPPED, dropped);
        let version = env!("CARGO_PKG_VERSION");
        text.family(&family::INFO, [([version], Value::Number(1))]);
        let usage = process::usage().unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot see what the router uses");
            process::Usage::default()
        });
        text.number(&family::CPU, Value::Micros(usage.cpu_micros));
        text.number(&family::RESIDENT, Value::Number(usage.resident_bytes));
        text.number(&family::OPEN_FDS, Value::Number(usage.open_files));
        let limit = usage.max_files.map(|limit| ([], Value::Number(limit)));
        text.family(&family::MAX_FDS, limit);
        let started = self.routes.started_at(self.clock.now());
        text.family(&family::STARTED, [no_labels(started)]);
    }
}

impl App {
    /// Two apps may be of one name for a while, when one took over the other's.
    fn add(&mut self, totals: AppTotals, waiting: u64) {
        self.waiting += waiting;
        self.totals.add(&totals);
        for dyno in totals.dynos {
            let key = dyno.name.as_ref().map_or_else(
                || (OTHERS.to_owned(), OTHERS.to_owned()),
                |name| (name.process_type().to_string(), name.to_string()),
            );
            self.dynos.entry(key).or_default().add(&dyno);
        }
    }
}

fn write_apps(apps: &Apps, text: &mut Text) {
    let requests = apps.iter().flat_map(|(app, at)| {
        let classes = CLASSES.into_iter().zip(at.totals.classes);
        classes.map(move |(class, count)| ([app.as_str(), class], Value::Number(count)))
    });
    text.family(&family::REQUESTS, requests);
    let errors = apps.iter().flat_map(|(app, at)| {
        let codes = Code::ALL
            .into_iter()
            .map(|code| (code, at.totals.code(code)));
        let seen = codes.filter(|(_, count)| *count > 0);
        seen.map(|(code, count)| ([app.as_str(), code.as_str()], Value::Number(count)))
    });
    text.family(&family::ERRORS, errors);
    let each = |number: fn(&App) -> u64| {
        apps.iter()
            .map(move |(app, at)| ([app.as_str()], Value::Number(number(at))))
    };
    text.family(&family::REQUEST_BYTES, each(|app| app.totals.bytes_in));
    text.family(&family::RESPONSE_BYTES, each(|app| app.totals.bytes_out));
    let waits = apps.iter().filter(|(_, at)| at.totals.waits.count() > 0);
    let waits = waits.map(|(app, at)| ([app.as_str()], at.totals.waits));
    text.histograms(&family::QUEUE_SECONDS, waits);
    text.family(&family::WAITING, each(|app| app.waiting));
}

fn write_dynos(apps: &Apps, text: &mut Text) {
    let dynos = || {
        apps.iter().flat_map(|(app, at)| {
            at.dynos.iter().map(move |((process_type, dyno), totals)| {
                ([app.as_str(), process_type.as_str(), dyno.as_str()], totals)
            })
        })
    };
    let services = dynos().map(|(labels, totals)| (labels, totals.services));
    text.histograms(&family::SERVICE_SECONDS, services);
    let connects = dynos().map(|(labels, totals)| (labels, totals.connects));
    text.histograms(&family::CONNECT_SECONDS, connects);
    let failures = dynos().map(|(labels, at)| (labels, Value::Number(at.failed_connects)));
    text.family(&family::CONNECT_FAILURES, failures);
    let in_flight = dynos().map(|(labels, at)| (labels, Value::Number(at.in_flight)));
    text.family(&family::IN_FLIGHT, in_flight);
}

fn no_labels(at: Time) -> ([&'static str; 0], Value) {
    ([], Value::Micros(micros(at.as_micros())))
}

fn micros(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::family::{ALL, Family};

    /// A family's row in the guide.
    fn row(family: &Family) -> String {
        let labels = family.labels.iter().map(|label| format!("`{label}`"));
        let labels = labels.collect::<Vec<_>>().join(", ");
        let Family {
            name, kind, help, ..
        } = family;
        format!("| `{name}` | {} | {labels} | {help} |", kind.as_str())
    }

    #[test]
    fn the_guide_has_each_metric_in_its_table() {
        let guide = include_str!("../../../../docs/guide/metrics.md");
        let told = guide.lines().filter(|line| {
            let name = line.strip_prefix("| `").unwrap_or_default();
            name.starts_with("landfall_router_") || name.starts_with("process_")
        });
        let rows: Vec<_> = ALL.iter().map(|family| row(family)).collect();
        assert_eq!(
            told.collect::<Vec<_>>(),
            rows,
            "the table should be\n{}",
            rows.join("\n")
        );
    }
}
