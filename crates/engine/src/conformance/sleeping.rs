//! Sleeping and waking.

use std::{path::Path, time::Duration};

use api::ids::DynoId;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
};

use super::{Behaviour, LONG_GRACE, Subject, soon};
use crate::{
    EngineError,
    report::{Freeze, Sleep},
    spec::Stdio,
    wake_line,
};

/// A dyno that ticks would have done so many times in this.
const QUIET: Duration = Duration::from_millis(400);
/// More lines than a dyno can have written before it fell asleep.
const LEFT_OVER: usize = 20;

impl Subject<'_> {
    async fn freeze(&self, id: DynoId, ticket: u64) -> Freeze {
        soon(self.engine.freeze(id, ticket))
            .await
            .expect("a running dyno can be put to sleep")
    }

    async fn sleep_of(&self, id: DynoId) -> Sleep {
        soon(self.engine.inspect(id))
            .await
            .expect("it is known")
            .sleep
    }

    /// Reads until nothing comes any more; the last line's number.
    async fn falls_quiet(&self, id: DynoId) -> u64 {
        let mut after = 0;
        for _ in 0..LEFT_OVER {
            match tokio::time::timeout(QUIET, self.engine.read_log(id, after)).await {
                Ok(batch) => {
                    let batch = batch.expect("a started dyno has a log");
                    assert!(!batch.ended, "it lives on");
                    after = batch.records.last().map_or(after, |last| last.sequence);
                }
                Err(_) => return after,
            }
        }
        panic!("it writes on in its sleep");
    }
}

pub(super) async fn sleeps_and_wakes(subject: &Subject<'_>) {
    let id = subject.start(Behaviour::Tick, Stdio::Logged).await;
    subject.ready(id).await;
    assert_eq!(subject.sleep_of(id).await.ticket, 0);
    for ticket in [10, 10, 11] {
        assert_eq!(subject.freeze(id, ticket).await, Freeze::Frozen);
        let sleep = subject.sleep_of(id).await;
        assert_eq!((sleep.is_frozen, sleep.ticket), (true, ticket));
    }
    let last = subject.falls_quiet(id).await;
    soon(subject.engine.thaw(id, 11)).await.expect("it wakes");
    let sleep = subject.sleep_of(id).await;
    assert_eq!((sleep.is_frozen, sleep.ticket), (false, 11));
    let batch = subject.read_log(id, last).await;
    assert!(!batch.records.is_empty(), "it goes on where it was");
    subject.clear(id).await;
}

pub(super) async fn is_not_put_to_sleep_after_a_wake(subject: &Subject<'_>) {
    let id = subject.start(Behaviour::Tick, Stdio::Logged).await;
    soon(subject.engine.thaw(id, 20))
        .await
        .expect("one that is awake can be woken");
    for ticket in [19, 20] {
        assert_eq!(subject.freeze(id, ticket).await, Freeze::WokenBefore);
        assert!(!subject.sleep_of(id).await.is_frozen);
    }
    assert_eq!(subject.freeze(id, 21).await, Freeze::Frozen);
    soon(subject.engine.thaw(id, 20))
        .await
        .expect("it wakes by an older ticket, too");
    assert!(!subject.sleep_of(id).await.is_frozen);
    subject.clear(id).await;
}

pub(super) async fn is_woken_by_anybody(subject: &Subject<'_>) {
    let id = subject.start(Behaviour::Tick, Stdio::Logged).await;
    subject.ready(id).await;
    // One that runs nothing has nothing to wake it by, and is woken through the engine alone.
    if let Some(waker) = subject.sleep_of(id).await.waker {
        assert_eq!(subject.freeze(id, 5).await, Freeze::Frozen);
        let last = subject.falls_quiet(id).await;
        assert!(wake(&waker, 5).await.contains("done"));
        subject.read_log(id, last).await;
        soon(async {
            while subject.sleep_of(id).await.is_frozen {
                tokio::time::sleep(super::POLL).await;
            }
        })
        .await;
        assert_eq!(subject.freeze(id, 5).await, Freeze::WokenBefore);
    }
    subject.clear(id).await;
}

/// The answer to a wake.
async fn wake(waker: &Path, ticket: u64) -> String {
    let exchange = async {
        let mut stream = BufReader::new(UnixStream::connect(waker).await?);
        stream.write_all(wake_line(ticket).as_bytes()).await?;
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        std::io::Result::Ok(line)
    };
    soon(exchange).await.expect("a keeper answers")
}

pub(super) async fn stops_in_its_sleep(subject: &Subject<'_>) {
    let id = subject.start(Behaviour::Run, Stdio::Logged).await;
    subject.ready(id).await;
    assert_eq!(subject.freeze(id, 1).await, Freeze::Frozen);
    let exit = subject.stop(id, LONG_GRACE).await;
    assert_eq!(exit.status(), 128 + 15, "it was woken to end");
    assert_eq!(subject.sleep_of(id).await, Sleep::default());
    let refused = soon(subject.engine.freeze(id, 2)).await;
    assert!(matches!(refused, Err(EngineError::UnknownDyno(_))));
    soon(subject.engine.thaw(id, 2))
        .await
        .expect("one that has ended needs no waking");
    subject.clear(id).await;
}
