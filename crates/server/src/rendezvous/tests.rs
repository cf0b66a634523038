//! The protocol from the client's side, with the dyno played by the test.

use tokio::io::{DuplexStream, duplex};

use super::*;

/// A joined client and dyno; the join itself runs beside the test.
fn joined(has_terminal: bool) -> (DuplexStream, DuplexStream, tokio::task::JoinHandle<()>) {
    let (client, near) = duplex(64 * 1024);
    let (dyno, far) = duplex(64 * 1024);
    let running = tokio::spawn(async move {
        join(
            near,
            Dyno {
                stream: far,
                has_terminal,
            },
        )
        .await
        .unwrap();
    });
    (client, dyno, running)
}

async fn greeted(client: &mut DuplexStream) {
    let mut line = [0; 12];
    client.read_exact(&mut line).await.unwrap();
    assert_eq!(&line, b"rendezvous\r\n");
}

#[tokio::test]
async fn bytes_pass_both_ways_until_the_dyno_ends() {
    let (mut client, mut dyno, running) = joined(true);
    greeted(&mut client).await;
    client.write_all(b"ls\n").await.unwrap();
    let mut input = [0; 3];
    dyno.read_exact(&mut input).await.unwrap();
    assert_eq!(&input, b"ls\n");
    dyno.write_all(b"README.md\r\n").await.unwrap();
    drop(dyno);
    let mut output = String::new();
    client.read_to_string(&mut output).await.unwrap();
    assert_eq!(output, "README.md\r\n");
    running.await.unwrap();
}

#[tokio::test]
async fn a_client_that_goes_away_hangs_the_dyno_up() {
    let (mut client, mut dyno, running) = joined(true);
    greeted(&mut client).await;
    drop(client);
    running.await.unwrap();
    assert_eq!(dyno.read(&mut [0; 8]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_final_0x04_closes_the_input_of_pipes() {
    let (mut client, mut dyno, running) = joined(false);
    greeted(&mut client).await;
    client.write_all(b"one\ntwo\n\x04").await.unwrap();
    let mut input = String::new();
    dyno.read_to_string(&mut input).await.unwrap();
    assert_eq!(input, "one\ntwo\n");
    dyno.write_all(b"2 lines\n").await.unwrap();
    drop(dyno);
    let mut output = String::new();
    client.read_to_string(&mut output).await.unwrap();
    assert_eq!(output, "2 lines\n");
    running.await.unwrap();
}

#[tokio::test]
async fn a_terminal_gets_0x04_as_it_is() {
    let (mut client, mut dyno, _running) = joined(true);
    greeted(&mut client).await;
    client.write_all(b"\x04").await.unwrap();
    let mut input = [0];
    dyno.read_exact(&mut input).await.unwrap();
    assert_eq!(input, [4]);
}

#[tokio::test]
async fn much_input_and_much_output_do_not_block_each_other() {
    let (client, dyno, running) = joined(false);
    let (mut from_dyno, mut to_dyno) = tokio::io::split(dyno);
    // An echo that is slower to read than to write.
    let echo = tokio::spawn(async move { tokio::io::copy(&mut from_dyno, &mut to_dyno).await });
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let sent = vec![b'x'; 1024 * 1024];
    let writing = tokio::spawn(async move {
        to_client.write_all(&sent).await.unwrap();
        to_client
    });
    let mut received = vec![0; 12 + 1024 * 1024];
    from_client.read_exact(&mut received).await.unwrap();
    let to_client = writing.await.unwrap();
    drop((from_client, to_client));
    running.await.unwrap();
    echo.await.unwrap().unwrap();
}

/// A relay and its two ends; it runs beside the test.
fn relayed() -> (
    DuplexStream,
    DuplexStream,
    tokio::task::JoinHandle<io::Result<()>>,
) {
    let (client, near) = duplex(1024);
    let (dyno, far) = duplex(1024);
    (client, dyno, tokio::spawn(relay(near, far)))
}

#[tokio::test]
async fn raw_bytes_pass_as_they_are_and_each_direction_ends_by_itself() {
    let (mut client, mut dyno, running) = relayed();
    greeted(&mut client).await;
    client.write_all(b"a\x04").await.unwrap();
    client.shutdown().await.unwrap();
    let mut input = Vec::new();
    dyno.read_to_end(&mut input).await.unwrap();
    assert_eq!(input, b"a\x04");
    dyno.write_all(b"\xef\xbf\xbf late").await.unwrap();
    drop(dyno);
    let mut output = Vec::new();
    client.read_to_end(&mut output).await.unwrap();
    assert_eq!(output, b"\xef\xbf\xbf late");
    running.await.unwrap().unwrap();
}
