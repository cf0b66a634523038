//! Upgraded connections: WebSocket and whatever else a dyno says 101 to.

use std::time::Duration;

use router::feed::Wait;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{Bench, Dyno, HOST, body, exchange, read_head, status, within};

/// Answers an upgrade with 101 and echoes; anything else gets 400.
async fn echoing_dyno() -> Dyno {
    Dyno::raw("web.1", |mut stream| async move {
        let head = read_head(&mut stream).await.to_lowercase();
        if !head.contains("upgrade: echo\r\n") || !head.contains("connection: upgrade\r\n") {
            let refusal = format!(
                "HTTP/1.1 400 No\r\ncontent-length: {}\r\n\r\n{head}",
                head.len()
            );
            return stream.write_all(refusal.as_bytes()).await.unwrap();
        }
        let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                      Upgrade: echo\r\nSec-Accept: x\r\n\r\n";
        stream.write_all(switch.as_bytes()).await.unwrap();
        let (mut reader, mut writer) = stream.split();
        drop(tokio::io::copy(&mut reader, &mut writer).await);
    })
    .await
}

async fn upgrade(bench: &Bench) -> TcpStream {
    let mut stream = TcpStream::connect(bench.http()).await.unwrap();
    let head = format!(
        "GET /socket HTTP/1.1\r\nHost: {HOST}\r\nConnection: keep-alive, Upgrade\r\n\
         Upgrade: echo\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = within(read_head(&mut stream)).await.to_lowercase();
    assert!(answer.starts_with("http/1.1 101 "), "{answer}");
    for header in [
        "connection: upgrade\r\n",
        "upgrade: echo\r\n",
        "sec-accept: x\r\n",
    ] {
        assert!(answer.contains(header), "{answer}");
    }
    stream
}

async fn echo(stream: &mut TcpStream, message: &[u8]) {
    stream.write_all(message).await.unwrap();
    let mut back = vec![0; message.len()];
    within(stream.read_exact(&mut back)).await.unwrap();
    assert_eq!(back, message);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_go_both_ways_until_one_side_ends() {
    let mut bench = Bench::new().await;
    let dyno = echoing_dyno().await;
    bench.serve(&[&dyno]).await;
    let mut stream = upgrade(&bench).await;
    for _ in 0..3 {
        echo(&mut stream, b"hello").await;
    }
    echo(&mut stream, &vec![7; 300_000]).await;
    stream.shutdown().await.unwrap();
    assert_eq!(within(stream.read(&mut [0; 1])).await.unwrap(), 0);
    insta::assert_snapshot!(bench.line().await, @r#"at=info method=GET path="/socket" host=example.localhost request_id=ID fwd="127.0.0.1" dyno=web.1 connect=Nms service=Nms status=101 bytes=300015 protocol=http"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_ends_it() {
    let mut bench = Bench::with(|timeouts| timeouts.rolling = Duration::from_millis(50)).await;
    let dyno = echoing_dyno().await;
    bench.serve(&[&dyno]).await;
    let mut stream = upgrade(&bench).await;
    assert_eq!(within(stream.read(&mut [0; 1])).await.unwrap_or(0), 0);
    assert!(
        bench
            .line()
            .await
            .starts_with("at=error code=H15 desc=\"Idle connection\" ")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_in_flight_until_it_ends() {
    let mut bench = Bench::new().await;
    let (old, new) = (echoing_dyno().await, Dyno::named("web.1").await);
    bench.serve(&[&old]).await;
    let mut stream = upgrade(&bench).await;
    bench.serve(&[&new]).await;
    echo(&mut stream, b"still there").await;
    assert!(!bench.feed.is_drained(old.id));
    drop(stream);
    assert_eq!(within(bench.feed.wait_drained(old.id)).await, Wait::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_cut_when_the_drain_time_is_over() {
    let mut bench = Bench::with(|timeouts| timeouts.drain = Duration::from_millis(50)).await;
    let (old, new) = (echoing_dyno().await, Dyno::named("web.1").await);
    bench.serve(&[&old]).await;
    let mut stream = upgrade(&bench).await;
    bench.serve(&[&new]).await;
    assert_eq!(within(bench.feed.wait_drained(old.id)).await, Wait::Done);
    assert_eq!(within(stream.read(&mut [0; 1])).await.unwrap_or(0), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_upgrade_is_a_plain_answer() {
    let mut bench = Bench::new().await;
    let dyno = echoing_dyno().await;
    bench.serve(&[&dyno]).await;
    for head in [
        "Connection: Upgrade, close\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n",
        "Connection: close\r\nUpgrade: echo\r\n",
        "Connection: Upgrade, close\r\nUpgrade: echo\r\nContent-Length: 1\r\n",
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n{head}\r\nx");
        let response = exchange(bench.http(), &request).await;
        assert_eq!(status(&response), "400");
        assert!(!body(&response).contains("upgrade:"), "{response}");
        assert!(!body(&response).contains("connection:"), "{response}");
    }
}
