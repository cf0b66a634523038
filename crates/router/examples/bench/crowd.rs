//! Many clients that do next to nothing: connections that are kept idle, or whose requests come
//! in drop by drop.
//!
//! `crowd kind=idle|heads|bodies address=… count=N` prints `ready` when all are there and have had
//! an answer, or have begun to drip; it ends with its standard input. Those that the proxy closes
//! come again.

use std::{cell::Cell, rc::Rc, time::Duration};

use anyhow::{Result, bail, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, stdin},
    net::TcpStream,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    arguments::Arguments,
    load::{Target, ask},
    spawn, tell,
};

/// Between two bytes of a slow client.
const DRIP: Duration = Duration::from_secs(1);
/// Connections begun at a time, so that no listening queue overflows.
const AT_ONCE: usize = 200;
const PAUSE: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_mins(1);

/// Runs it.
pub(crate) async fn run(arguments: &Arguments) -> Result<()> {
    let target = Rc::new(Target::new(arguments)?);
    let kind = arguments.text("kind")?.to_owned();
    let count: usize = arguments.value("count")?;
    let there = Rc::new(Cell::new(0_usize));
    let again = Rc::new(Cell::new(0_usize));
    for index in 0..count {
        let (target, there, again) = (Rc::clone(&target), Rc::clone(&there), Rc::clone(&again));
        let kind = kind.clone();
        spawn(async move {
            loop {
                if stay(&kind, &target, index, &there).await.is_err() {
                    sleep(DRIP).await;
                }
                again.set(again.get() + 1);
            }
        });
        if index % AT_ONCE == AT_ONCE - 1 {
            sleep(PAUSE).await;
        }
    }
    let start = Instant::now();
    while there.get() < count {
        ensure!(
            start.elapsed() < PATIENCE,
            "only {} of {count} came",
            there.get()
        );
        sleep(PAUSE).await;
    }
    tell("ready");
    stdin().read_to_end(&mut Vec::new()).await?;
    tell(&format!("{{\"came_again\": {}}}", again.get()));
    Ok(())
}

/// One client, until the proxy closes.
async fn stay(kind: &str, target: &Target, index: usize, there: &Cell<usize>) -> Result<()> {
    let mut stream = TcpStream::connect(&target.address).await?;
    match kind {
        "idle" => {
            let requests = target.requests("");
            let request = requests.get(index % requests.len());
            let request = request.map(Vec::as_slice).unwrap_or_default();
            ensure!(
                ask(&mut stream, request, &mut Vec::new()).await?,
                "no answer"
            );
            there.set(there.get() + 1);
            await_end(&mut stream).await
        }
        "heads" => {
            drip(
                stream,
                "GET / HTTP/1.1\r\nHost: h1.localhost\r\nX-Slow: ",
                (index, there),
            )
            .await
        }
        "bodies" => {
            let head = "POST /sink HTTP/1.1\r\nHost: h1.localhost\r\nContent-Length: 65536\r\n\r\n";
            drip(stream, head, (index, there)).await
        }
        other => bail!("there is no kind {other}"),
    }
}

/// When a client's drips fall within the second: clients come from everywhere, not in step.
fn beat(index: usize) -> Duration {
    // In steps of about the golden ratio they lie evenly, however many there are.
    DRIP / 1000 * u32::try_from(index * 618 % 1000).unwrap_or(0)
}

/// Says what it has to say byte by byte.
async fn drip(
    mut stream: TcpStream,
    head: &str,
    (index, there): (usize, &Cell<usize>),
) -> Result<()> {
    stream.write_all(head.as_bytes()).await?;
    there.set(there.get() + 1);
    let (mut reader, mut writer) = stream.split();
    let mut next = Instant::now() + beat(index);
    let mut answer = [0; 1024];
    loop {
        next += DRIP;
        tokio::select! {
            () = sleep_until(next) => writer.write_all(b"x").await?,
            // An answer before the request's end, or the connection's.
            read = reader.read(&mut answer) => if read? == 0 { return Ok(()) },
        }
    }
}

async fn await_end(stream: &mut TcpStream) -> Result<()> {
    while stream.read(&mut [0; 64]).await? > 0 {}
    Ok(())
}
