//! Log lines, and what a dyno's port says.

use std::time::Duration;

use super::{Behaviour, LONG_GRACE, POLL, PORT, Subject, soon};
use crate::{
    report::{LogRecord, LogStream, Probe, Question},
    spec::Stdio,
};

/// Long enough to see that nothing comes.
const A_WHILE: Duration = Duration::from_millis(300);
/// As long as a probe may take.
const PROBE_TIME: Duration = Duration::from_secs(5);

pub(super) async fn keeps_lines_in_order(subject: &Subject<'_>) {
    let id = subject.start(Behaviour::PrintLines, Stdio::Logged).await;
    let records = subject.whole_log(id).await;
    let sequences: Vec<u64> = records.iter().map(|record| record.sequence).collect();
    assert_eq!(sequences, [1, 2, 3], "they count from 1 without a gap");
    let on = |stream| -> Vec<&str> {
        let of_stream = |record: &&LogRecord| record.stream == stream;
        records
            .iter()
            .filter(of_stream)
            .map(|record| record.text.as_str())
            .collect()
    };
    assert_eq!(on(LogStream::Stdout), ["one", "two"]);
    assert_eq!(on(LogStream::Stderr), ["three"]);
    assert!(records.is_sorted_by_key(|record| record.at));

    subject.wait(id).await;
    let rest = subject.read_log(id, 2).await;
    assert_eq!(
        rest.records,
        records[2..],
        "reading again from a place gives the rest"
    );
    let none = subject.read_log(id, 3).await;
    assert!(
        none.ended && none.records.is_empty(),
        "nothing follows the end"
    );
    subject.clear(id).await;
}

pub(super) async fn waits_for_lines(subject: &Subject<'_>) {
    let id = subject.start(Behaviour::Run, Stdio::Logged).await;
    subject.ready(id).await;
    let early = tokio::time::timeout(A_WHILE, subject.engine.read_log(id, 1)).await;
    assert!(
        early.is_err(),
        "there is no second line yet, nor an end: {early:?}"
    );
    let (batch, _) = tokio::join!(subject.read_log(id, 1), subject.stop(id, LONG_GRACE));
    assert!(
        batch.ended && batch.records.is_empty(),
        "the end wakes the reader"
    );
    subject.clear(id).await;
}

pub(super) async fn sees_a_port_answer(subject: &Subject<'_>) {
    let id = subject.start(Behaviour::Serve, Stdio::Logged).await;
    let report = soon(subject.engine.inspect(id)).await.expect("it is known");
    assert_eq!(report.port, Some(PORT));
    let answer = soon(async {
        loop {
            match subject
                .engine
                .probe(id, &Question::default(), PROBE_TIME)
                .await
                .expect("a known dyno is probed")
            {
                Probe::Answered { status } => return status,
                Probe::Refused | Probe::Silent => tokio::time::sleep(POLL).await,
            }
        }
    });
    assert_eq!(answer.await, Some(200));
    let listening = soon(subject.engine.listening(id))
        .await
        .expect("it is known");
    let port = format!(":{PORT}");
    assert!(
        listening.iter().any(|address| address.ends_with(&port)),
        "{listening:?}"
    );
    subject.stop(id, LONG_GRACE).await;
    let after = soon(subject.engine.probe(id, &Question::default(), PROBE_TIME)).await;
    assert_eq!(after.expect("an ended dyno is known"), Probe::Refused);
    subject.clear(id).await;
}

pub(super) async fn sees_that_nothing_listens(subject: &Subject<'_>) {
    let mut spec = subject.spec(Behaviour::Run, Stdio::Logged);
    spec.port = Some(PORT);
    let id = spec.id;
    soon(subject.engine.start(spec))
        .await
        .expect("a dyno starts");
    subject.ready(id).await;
    let probe = soon(subject.engine.probe(id, &Question::default(), PROBE_TIME)).await;
    assert_eq!(probe.expect("it is known"), Probe::Refused);
    let listening = soon(subject.engine.listening(id))
        .await
        .expect("it is known");
    assert_eq!(listening, Vec::<String>::new());
    subject.clear(id).await;
}
