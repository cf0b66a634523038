//! Requests at a steady pace, in an open loop: one goes out when it is due, however many are still
//! unanswered, and its time counts from then.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use crate::out::{self, Stopwatch};

/// Requests that may be under way at once, each way. If all are, the next are late, and that counts.
const CLIENTS: usize = 24;
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// What an answer's head ends with.
const END: &[u8] = b"\r\n\r\nok";

/// Whom to ask.
pub(super) struct Target {
    pub(super) name: &'static str,
    pub(super) address: String,
    pub(super) host: String,
}

/// How much to ask.
pub(super) struct Load {
    /// Requests a second to each target.
    pub(super) rate: u32,
    /// How many to each.
    pub(super) count: u32,
}

impl Load {
    /// Asks all targets at the same time; the seconds that each one's requests took.
    pub(super) fn run(&self, targets: &[Target]) -> Result<Vec<Vec<f64>>> {
        let watch = Stopwatch::start();
        let ways = u32::try_from(targets.len())?;
        thread::scope(|scope| {
            let mut asked = Vec::new();
            for (way, target) in (0_u32..).zip(targets) {
                // They take turns, so that they do not wait for each other.
                let offset = self.pace() * way / ways;
                let next = std::sync::Arc::new(AtomicU32::new(0));
                let clients: Vec<_> = (0..CLIENTS)
                    .map(|_| {
                        let next = std::sync::Arc::clone(&next);
                        scope.spawn(move || self.client(target, &next, (watch, offset)))
                    })
                    .collect();
                asked.push(clients);
            }
            let join = |clients: Vec<thread::ScopedJoinHandle<'_, Result<Vec<f64>>>>| {
                let mut all = Vec::new();
                for client in clients {
                    let seconds = client.join().ok().context("a client panicked")?;
                    all.extend(seconds?);
                }
                Ok(all)
            };
            asked.into_iter().map(join).collect()
        })
    }

    fn pace(&self) -> Duration {
        Duration::from_secs(1) / self.rate
    }

    fn client(
        &self,
        target: &Target,
        next: &AtomicU32,
        (watch, offset): (Stopwatch, Duration),
    ) -> Result<Vec<f64>> {
        let mut kept = None;
        let mut times = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= self.count {
                return Ok(times);
            }
            let due = self.pace() * number + offset;
            out::pause(due.saturating_sub(watch.elapsed()));
            let answered = ask(target, &mut kept);
            answered.with_context(|| format!("{}: request {number} failed", target.name))?;
            times.push(watch.elapsed().saturating_sub(due).as_secs_f64());
        }
    }
}

fn ask(target: &Target, kept: &mut Option<TcpStream>) -> Result<()> {
    let mut stream = match kept.take() {
        Some(stream) => stream,
        None => connect(target)?,
    };
    let request = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", target.host);
    stream.write_all(request.as_bytes())?;
    let mut answer = [0; 2048];
    let mut length = 0;
    while !answer.get(..length).is_some_and(|got| got.ends_with(END)) {
        let more = stream.read(answer.get_mut(length..).unwrap_or_default())?;
        ensure!(more > 0, "the answer was cut short");
        length += more;
    }
    ensure!(answer.starts_with(b"HTTP/1.1 200"), "it was no 200");
    *kept = Some(stream);
    Ok(())
}

fn connect(target: &Target) -> Result<TcpStream> {
    let stream = TcpStream::connect(&target.address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
