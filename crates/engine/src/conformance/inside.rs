//! Commands and connections inside a running dyno.

use std::{collections::BTreeMap, time::Duration};

use api::ids::DynoId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    Behaviour, DEADLINE, POLL, PORT, Subject,
    attaching::{TERMINAL, read_until},
    soon,
};
use crate::{AttachStream, EngineError, Freeze, spec::ExecSpec, spec::Stdio};

/// A port that nothing listens on.
const FREE_PORT: u16 = 4999;

impl Subject<'_> {
    async fn exec(
        &self,
        id: DynoId,
        behaviour: Behaviour,
        stdio: Stdio,
    ) -> Result<Box<dyn AttachStream>, EngineError> {
        let spec = ExecSpec {
            command: (self.fixture.command)(behaviour),
            env: BTreeMap::new(),
            stdio,
        };
        soon(self.engine.exec(id, spec)).await
    }

    async fn entered(
        &self,
        id: DynoId,
        behaviour: Behaviour,
        stdio: Stdio,
    ) -> Box<dyn AttachStream> {
        let entered = self.exec(id, behaviour, stdio).await;
        entered.expect("a command runs inside a running dyno")
    }
}

pub(super) async fn gives_input_back(subject: &Subject<'_>) {
    let id = subject.start(Behaviour::Run, Stdio::Logged).await;
    let mut stream = subject
        .entered(id, Behaviour::EchoInput, Stdio::Pipes)
        .await;
    read_until(&mut *stream, "ready\n").await;
    soon(stream.write_all(b"hello\n"))
        .await
        .expect("it takes input");
    assert_eq!(read_until(&mut *stream, "hello\n").await, "hello\n");
    soon(stream.shutdown())
        .await
        .expect("its input can be closed");
    let mut rest = String::new();
    soon(stream.read_to_string(&mut rest))
        .await
        .expect("its output ends");
    assert_eq!(rest, "");

    let mut stream = subject.entered(id, Behaviour::EchoInput, TERMINAL).await;
    read_until(&mut *stream, "ready\r\n").await;
    soon(stream.write_all(b"hello\n"))
        .await
        .expect("it takes input");
    read_until(&mut *stream, "hello").await;
    drop(stream);
    subject.clear(id).await;
}

pub(super) async fn runs_several_at_once(subject: &Subject<'_>) {
    let id = subject.start(Behaviour::Run, Stdio::Logged).await;
    let mut first = subject
        .entered(id, Behaviour::EchoInput, Stdio::Pipes)
        .await;
    let mut second = subject.entered(id, Behaviour::EchoInput, TERMINAL).await;
    let mut third = subject
        .entered(id, Behaviour::PrintLines, Stdio::Pipes)
        .await;
    let mut printed = String::new();
    soon(third.read_to_string(&mut printed))
        .await
        .expect("its output ends with it");
    assert_eq!(printed, "one\ntwo\nthree\n");
    for stream in [&mut first, &mut second] {
        read_until(&mut **stream, "ready").await;
        soon(stream.write_all(b"still\n"))
            .await
            .expect("it takes input");
        read_until(&mut **stream, "still").await;
    }
    drop((first, second, third));
    let report = soon(subject.engine.inspect(id))
        .await
        .expect("the dyno is there");
    assert_eq!(report.state, crate::DynoState::Running, "it goes on");
    let batch = subject.read_log(id, 0).await;
    assert_eq!(batch.records.len(), 1, "what runs inside is not logged");
    subject.clear(id).await;
}

pub(super) async fn hangs_up(subject: &Subject<'_>) {
    for stdio in [TERMINAL, Stdio::Pipes] {
        let id = subject.start(Behaviour::Run, Stdio::Logged).await;
        let mut stream = subject.entered(id, Behaviour::Run, stdio).await;
        read_until(&mut *stream, "ready").await;
        drop(stream);
        // A dyno that somebody is inside of is not put to sleep.
        let deadline = tokio::time::Instant::now() + DEADLINE;
        for ticket in 1.. {
            let freeze = soon(subject.engine.freeze(id, ticket)).await;
            if freeze.expect("it can sleep") == Freeze::Frozen {
                break;
            }
            assert!(tokio::time::Instant::now() < deadline, "it never ended");
            tokio::time::sleep(POLL).await;
        }
        subject.clear(id).await;
    }
}

pub(super) async fn ends_with_the_dyno(subject: &Subject<'_>) {
    let id = subject.start(Behaviour::Run, Stdio::Logged).await;
    let mut stream = subject
        .entered(id, Behaviour::IgnoreTermination, Stdio::Pipes)
        .await;
    read_until(&mut *stream, "ready\n").await;
    let exit = subject.stop(id, super::LONG_GRACE).await;
    assert!(!exit.was_forced, "what runs inside does not keep it");
    let mut rest = String::new();
    soon(stream.read_to_string(&mut rest))
        .await
        .expect("its output ends");
    let refused = subject.exec(id, Behaviour::Run, Stdio::Pipes).await;
    assert!(matches!(refused.err(), Some(EngineError::UnknownDyno(_))));
    let refused = soon(subject.engine.connect(id, PORT)).await;
    assert!(matches!(refused.err(), Some(EngineError::UnknownDyno(_))));
    subject.clear(id).await;
}

pub(super) async fn refuses_what_does_not_run(subject: &Subject<'_>) {
    let unknown = subject
        .exec(DynoId::new(), Behaviour::Run, Stdio::Pipes)
        .await;
    assert!(matches!(unknown.err(), Some(EngineError::UnknownDyno(_))));
    let unknown = soon(subject.engine.connect(DynoId::new(), PORT)).await;
    assert!(matches!(unknown.err(), Some(EngineError::UnknownDyno(_))));
}

pub(super) async fn connects_to_a_port(subject: &Subject<'_>) {
    let id = subject.start(Behaviour::Serve, Stdio::Logged).await;
    let deadline = tokio::time::Instant::now() + DEADLINE;
    let mut stream = loop {
        match soon(subject.engine.connect(id, PORT)).await {
            Ok(stream) => break stream,
            Err(EngineError::NotListening { port: PORT, .. }) => {}
            Err(other) => panic!("{other}"),
        }
        assert!(tokio::time::Instant::now() < deadline, "it never listened");
        tokio::time::sleep(POLL).await;
    };
    soon(stream.write_all(b"GET / HTTP/1.0\r\n\r\n"))
        .await
        .expect("it takes a request");
    read_until(&mut *stream, " 200 OK\r\n").await;
    drop(stream);
    let nobody = soon(subject.engine.connect(id, FREE_PORT)).await;
    assert!(
        matches!(nobody.err(), Some(EngineError::NotListening { dyno, port: FREE_PORT }) if dyno == id)
    );
    subject.clear(id).await;
}

pub(super) async fn wakes_the_dyno(subject: &Subject<'_>) {
    let id = subject.start(Behaviour::Run, Stdio::Logged).await;
    subject.ready(id).await;
    let freeze = soon(subject.engine.freeze(id, 1)).await;
    assert_eq!(freeze.expect("it can sleep"), Freeze::Frozen);
    let mut stream = subject
        .entered(id, Behaviour::PrintLines, Stdio::Pipes)
        .await;
    let mut printed = String::new();
    soon(stream.read_to_string(&mut printed))
        .await
        .expect("its output ends with it");
    assert_eq!(printed, "one\ntwo\nthree\n");
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        let report = soon(subject.engine.inspect(id)).await.expect("it is there");
        if !report.sleep.is_frozen {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "it still sleeps");
        tokio::time::sleep(POLL).await;
    }
    subject.clear(id).await;
}
