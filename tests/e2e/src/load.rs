//! A steady load of requests that remembers everything that went wrong.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
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
    failures: Arc<Mutex<Vec<String>>>,
    clients: Vec<JoinHandle<()>>,
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
        for _ in 0..CLIENTS {
            let (stop, done) = (Arc::clone(&load.stop), Arc::clone(&load.done));
            let failures = Arc::clone(&load.failures);
            let (host, path) = (host.to_owned(), path.to_owned());
            load.clients.push(std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let failure = request(address, &host, &path).err();
                    failures.lock().expect("no client panics").extend(failure);
                    done.fetch_add(1, Ordering::Relaxed);
                    wait::pause(PAUSE);
                }
            }));
        }
        load
    }

    /// Requests answered so far.
    pub fn count(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
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
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().expect("no client panics");
        }
        let failures = self.failures.lock().expect("no client panics");
        let count = self.done.load(Ordering::Relaxed);
        assert!(
            failures.is_empty(),
            "{} of {count} requests failed, first: {:?}",
            failures.len(),
            failures.iter().take(3).collect::<Vec<_>>()
        );
        count
    }
}

/// One request; anything but 200 is a failure.
fn request(address: SocketAddr, host: &str, path: &str) -> Result<(), String> {
    match http::get(address, host, path) {
        Ok(answer) if answer.status == 200 => Ok(()),
        Ok(answer) => Err(format!("status {}: {}", answer.status, answer.body)),
        Err(error) => Err(error.to_string()),
    }
}
