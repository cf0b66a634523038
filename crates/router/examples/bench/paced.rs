//! Requests at a fixed rate: each is due at its time, and its latency counts from then, whether it
//! could be sent or had to wait for the one before.

use std::{rc::Rc, thread, time::Duration};

use anyhow::Result;
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::Instant,
};

use crate::{
    load::{Target, ask},
    spawn,
    tally::Tally,
};

/// Sends until the program ends: so many connections take turns, so many requests a second in all.
pub(crate) fn begin(target: &Rc<Target>, tally: &Rc<Tally>, (connections, rate): (usize, u32)) {
    let mut senders = Vec::new();
    for index in 0..connections {
        let (sender, due) = unbounded_channel();
        senders.push(sender);
        let (target, tally) = (Rc::clone(target), Rc::clone(tally));
        spawn(async move {
            if let Err(error) = send(&target, &tally, index, due).await {
                tally.failed(&error);
            }
        });
    }
    thread::spawn(move || pace(&senders, Duration::from_secs(1) / rate));
}

/// A thread of its own, because timers of the runtime go by the millisecond.
#[expect(clippy::disallowed_methods, reason = "it has no runtime and no Clock")]
fn pace(senders: &[UnboundedSender<Instant>], every: Duration) {
    let mut due = Instant::now();
    for sender in senders.iter().cycle() {
        due += every;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        // A connection that broke was counted as a failure.
        sender.send(due).ok();
    }
}

async fn send(
    target: &Target,
    tally: &Tally,
    index: usize,
    mut due: UnboundedReceiver<Instant>,
) -> Result<()> {
    let requests = target.requests("");
    let mut stream = target.connect(index).await?;
    let mut bytes = Vec::with_capacity(16 * 1024);
    for request in requests.iter().cycle().skip(index * 7) {
        let Some(since) = due.recv().await else { break };
        while !ask(&mut stream, request, &mut bytes).await? {
            stream = target.connect(index).await?;
        }
        tally.answered(since);
    }
    Ok(())
}
