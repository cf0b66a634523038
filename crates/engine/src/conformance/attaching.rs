//! Terminals and pipes.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Behaviour, Subject, soon};
use crate::{AttachStream, EngineError, spec::Stdio};

pub(super) const TERMINAL: Stdio = Stdio::Terminal {
    columns: 80,
    lines: 24,
};

/// Reads until what was read ends with `text`.
pub(super) async fn read_until(stream: &mut dyn AttachStream, text: &str) -> String {
    let mut read = Vec::new();
    while !read.ends_with(text.as_bytes()) {
        let byte = soon(stream.read_u8()).await;
        read.push(byte.unwrap_or_else(|error| {
            panic!(
                "{error} after {:?}, before {text:?}",
                String::from_utf8_lossy(&read)
            )
        }));
    }
    String::from_utf8_lossy(&read).into_owned()
}

pub(super) async fn gives_input_back(subject: &Subject<'_>) {
    let id = subject.start(Behaviour::EchoInput, Stdio::Pipes).await;
    let mut stream = soon(subject.engine.attach(id))
        .await
        .expect("pipes can be attached to");
    assert_eq!(
        read_until(&mut *stream, "ready\n").await,
        "ready\n",
        "what it wrote before comes"
    );
    soon(stream.write_all(b"hello\n"))
        .await
        .expect("it takes input");
    assert_eq!(read_until(&mut *stream, "hello\n").await, "hello\n");
    soon(stream.write_all(b"last"))
        .await
        .expect("it takes input");
    soon(stream.shutdown())
        .await
        .expect("its input can be closed");
    let mut rest = String::new();
    soon(stream.read_to_string(&mut rest))
        .await
        .expect("its output ends");
    assert_eq!(rest, "last", "input sent before the end arrives");
    assert!(subject.wait(id).await.is_success());
    drop(stream);
    subject.clear(id).await;
}

pub(super) async fn gives_a_terminal(subject: &Subject<'_>) {
    let id = subject.start(Behaviour::EchoInput, TERMINAL).await;
    let mut stream = soon(subject.engine.attach(id))
        .await
        .expect("terminals can be attached to");
    let greeting = read_until(&mut *stream, "ready\r\n").await;
    assert_eq!(greeting, "ready\r\n", "lines end as on a terminal");
    soon(stream.write_all(b"hello\n"))
        .await
        .expect("it takes input");
    read_until(&mut *stream, "hello").await;
    drop(stream);
    subject.wait(id).await;
    subject.clear(id).await;
}

pub(super) async fn hangs_up(subject: &Subject<'_>) {
    for stdio in [TERMINAL, Stdio::Pipes] {
        let id = subject.start(Behaviour::Run, stdio).await;
        let mut stream = soon(subject.engine.attach(id))
            .await
            .expect("it can be attached to");
        read_until(&mut *stream, "ready").await;
        drop(stream);
        let exit = subject.wait(id).await;
        assert_eq!(exit.status(), 128 + 1, "SIGHUP ended it ({stdio:?})");
        subject.clear(id).await;
    }
}

pub(super) async fn attaches_once(subject: &Subject<'_>) {
    let id = subject.start(Behaviour::EchoInput, Stdio::Pipes).await;
    let stream = soon(subject.engine.attach(id))
        .await
        .expect("it can be attached to");
    let is_refused = |error: Option<EngineError>| matches!(error, Some(EngineError::NotAttachable(refused)) if refused == id);
    assert!(
        is_refused(soon(subject.engine.attach(id)).await.err()),
        "not twice at once"
    );
    drop(stream);
    subject.wait(id).await;
    assert!(
        is_refused(soon(subject.engine.attach(id)).await.err()),
        "nor twice at all"
    );
    subject.clear(id).await;

    let id = subject.start(Behaviour::Run, Stdio::Logged).await;
    let refused = soon(subject.engine.attach(id)).await.err();
    assert!(
        matches!(refused, Some(EngineError::NotAttachable(_))),
        "lines go to the log"
    );
    subject.stop(id, Duration::from_secs(30)).await;
    subject.clear(id).await;
}
