//! Terminals and pipes.

use std::time::Duration;

use engine::{DynoSpec, Engine, EngineError, Stdio};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Platform, shell, soon};

fn with(script: &str, stdio: Stdio) -> DynoSpec {
    DynoSpec {
        stdio,
        ..shell(script)
    }
}

const TERMINAL: Stdio = Stdio::Terminal {
    columns: 91,
    lines: 37,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_is_a_real_one() {
    let platform = Platform::open().await;
    let id = platform
        .start(with("tty; stty size; echo x > /dev/tty; exit 4", TERMINAL))
        .await;
    let mut stream = platform.engine.attach(id).await.unwrap();
    let mut text = String::new();
    soon(stream.read_to_string(&mut text)).await.unwrap();
    assert_eq!(text, "/dev/pts/0\r\n37 91\r\nx\r\n");
    assert_eq!(platform.wait(id).await.code, Some(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_make_signals() {
    let platform = Platform::open().await;
    let script = "trap 'echo interrupted; exit 9' INT; echo ready; while :; do sleep 0.1; done";
    let id = platform.start(with(script, TERMINAL)).await;
    let mut stream = platform.engine.attach(id).await.unwrap();
    let mut start = [0; 7];
    soon(stream.read_exact(&mut start)).await.unwrap();
    stream.write_all(&[3]).await.unwrap();
    let mut text = String::new();
    soon(stream.read_to_string(&mut text)).await.unwrap();
    assert!(text.contains("interrupted"), "{text:?}");
    assert_eq!(platform.wait(id).await.code, Some(9));
}

#[tokio::test(flavor = "multi_thread")]
async fn much_goes_through_pipes_both_ways() {
    const BYTES: usize = 3 << 20;
    let platform = Platform::open().await;
    let id = platform.start(with("exec cat", Stdio::Pipes)).await;
    let stream = platform.engine.attach(id).await.unwrap();
    let sent: Vec<u8> = (0..BYTES)
        .map(|number| u8::try_from(number % 251).unwrap())
        .collect();
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut received = Vec::new();
    let write = async {
        writer.write_all(&sent).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    soon(async { tokio::join!(write, reader.read_to_end(&mut received)) })
        .await
        .1
        .unwrap();
    assert!(received == sent, "{} of {BYTES} bytes", received.len());
    assert!(platform.wait(id).await.is_success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_ended_dyno_wrote_is_still_there() {
    let platform = Platform::open().await;
    let id = platform
        .start(with("echo out; echo err >&2; exit 2", Stdio::Pipes))
        .await;
    assert_eq!(platform.wait(id).await.code, Some(2));
    let mut text = String::new();
    let mut stream = platform.engine.attach(id).await.unwrap();
    soon(stream.read_to_string(&mut text)).await.unwrap();
    assert_eq!(text, "out\nerr\n");
    assert!(matches!(
        platform.engine.attach(id).await,
        Err(EngineError::NotAttachable(_))
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_hangs_the_dyno_up() {
    let platform = Platform::open().await;
    for stdio in [TERMINAL, Stdio::Pipes] {
        let id = platform
            .start(with("echo ready; exec sleep 1000", stdio))
            .await;
        let mut stream = platform.engine.attach(id).await.unwrap();
        let mut start = [0; 5];
        soon(stream.read_exact(&mut start)).await.unwrap();
        drop(stream);
        assert_eq!(platform.wait(id).await.signal, Some(1), "{stdio:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_client_gets_the_rest_after_the_end() {
    let platform = Platform::open().await;
    let id = platform
        .start(with("head -c 500000 /dev/zero", Stdio::Pipes))
        .await;
    let mut stream = platform.engine.attach(id).await.unwrap();
    let mut first = vec![0; 300_000];
    soon(stream.read_exact(&mut first)).await.unwrap();
    assert!(platform.wait(id).await.is_success());
    let mut rest = Vec::new();
    soon(stream.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(rest.len(), 200_000);
    soon(platform.engine.stop(id, Duration::ZERO))
        .await
        .unwrap();
}
