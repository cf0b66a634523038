//! A steady load of requests that remembers everything that went wrong, and when.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crate::{http, wait};

/// Clients at once.
const CLIENTS: usize = 4;
/// Pause of a client between two requests.
const PAUSE: Duration = Duration::from_millis(10);

/// Requests that go on until [`Load::finish`].
pub struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    failures: Arc<Mutex<Vec<Failure>>>,
    clients: Vec<JoinHandle<()>>,
}

/// A request that got no good answer.
#[derive(Clone, Debug)]
pub struct Failure {
    /// When it was sent.
    pub began: Instant,
    /// When it had failed.
    pub ended: Instant,
    /// What was wrong.
    pub what: String,
    /// By which the router's log knows it; empty if it was given none.
    pub id: String,
}

impl Load {
    /// Starts requesting `path` of `host`.
    pub fn start(address: SocketAddr, host: &str, path: &str) -> Self {
        let mut load = Self {
            stop: Arc::default(),
            done: Arc::default(),
            failures: Arc::default(),
            clients: Vec::new(),
        };
        for client in 0..CLIENTS {
            let (stop, done) = (Arc::clone(&load.stop), Arc::clone(&load.done));
            let failures = Arc::clone(&load.failures);
            let (host, path) = (host.to_owned(), path.to_owned());
            let mut number = 0_u64;
            load.clients.push(std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    number += 1;
                    let id = format!("{path:/>8}={client}={number:016}").replace(['?', '='], "-");
                    let sent = request(|| http::get_as(address, &host, &path, &id));
                    let failure = sent.err().map(|failure| Failure { id, ..failure });
                    failures.lock().expect("no client panics").extend(failure);
                    done.fetch_add(1, Ordering::Relaxed);
                    wait::pause(PAUSE);
                }
            }));
        }
        load
    }

    /// Sends `rate` requests a second over kept connections, each when it is due, however long
    /// others take: at most `clients` at once.
    pub fn at_rate(address: SocketAddr, host: &str, path: &str, rate: u32, clients: usize) -> Self {
        let mut load = Self {
            stop: Arc::default(),
            done: Arc::default(),
            failures: Arc::default(),
            clients: Vec::new(),
        };
        let began = wait::now();
        let next = Arc::new(AtomicU64::new(0));
        for _ in 0..clients {
            let (stop, done) = (Arc::clone(&load.stop), Arc::clone(&load.done));
            let (failures, next) = (Arc::clone(&load.failures), Arc::clone(&next));
            let mut kept = http::Kept::new(address, host, path);
            load.clients.push(std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let due = began + Duration::from_secs(1) * u32_of(number) / rate;
                    wait::pause(due.saturating_duration_since(wait::now()));
                    let failure = request(|| kept.get()).err();
                    failures.lock().expect("no client panics").extend(failure);
                    done.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
        load
    }

    /// Requests answered so far.
    pub fn count(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// What failed after the first `known` failures.
    ///
    /// # Panics
    /// When a client has.
    pub fn failures_after(&self, known: usize) -> Vec<Failure> {
        let failures = self.failures.lock().expect("no client panics");
        failures.iter().skip(known).cloned().collect()
    }

    /// Waits until `more` further requests were answered.
    pub fn await_more(&self, more: u64) {
        let goal = self.count() + more;
        wait::until("more requests are answered", || {
            (self.count() >= goal).then_some(())
        });
    }

    /// Ends the load; fails the test if any request failed. Returns how many there were.
    #[track_caller]
    pub fn finish(self) -> u64 {
        let (count, failures) = self.end();
        assert!(
            failures.is_empty(),
            "{} of {count} requests failed, first: {:?}",
            failures.len(),
            failures.iter().take(3).collect::<Vec<_>>()
        );
        count
    }

    /// Ends the load: how many requests there were, and which failed.
    ///
    /// # Panics
    /// When a client has.
    pub fn end(self) -> (u64, Vec<Failure>) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().expect("no client panics");
        }
        let mut failures = self.failures.lock().expect("no client panics");
        (
            self.done.load(Ordering::Relaxed),
            std::mem::take(&mut failures),
        )
    }
}

/// Requests are counted in millions at most.
fn u32_of(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// The code on an error page, such as `H13`; all of a page without one.
fn code_of(page: &str) -> &str {
    page.split_once("Code ")
        .and_then(|(_, rest)| rest.split_whitespace().next())
        .unwrap_or(page)
}

/// One request; anything but 200 is a failure.
fn request(send: impl FnOnce() -> std::io::Result<http::Answer>) -> Result<(), Failure> {
    let began = wait::now();
    let what = match send() {
        Ok(answer) if answer.status == 200 => return Ok(()),
        Ok(answer) => format!("status {} {}", answer.status, code_of(&answer.body)),
        Err(error) => error.to_string(),
    };
    Err(Failure {
        began,
        ended: wait::now(),
        what,
        id: String::new(),
    })
}
