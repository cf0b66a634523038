//! The rendezvous protocol: a client of `heroku run` and the terminal or pipes of its dyno.
//!
//! After the line `rendezvous` there are only raw bytes both ways. The official CLI throws away
//! the first chunk it gets, and looks for the exit status within single chunks: so what is sent
//! is cut with care (see `output`). It must not know who may attach: that is the secret's matter.

mod input;
mod output;

use std::{io, time::Duration};

use async_trait::async_trait;
use platform::{
    Error,
    rendezvous::{Attached, Manner},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, timeout, timeout_at},
};

use self::{input::Input, output::Output};

/// Bytes read at once, below the largest TLS record so that a chunk stays one.
const CHUNK: usize = 8 * 1024;
/// How long a held-back piece of output waits for the rest of its line.
const LINE_PATIENCE: Duration = Duration::from_millis(500);
/// How long after a final 0x04 nothing may follow for it to mean the end of input.
const END_OF_INPUT: Duration = Duration::from_millis(100);
/// The connection stays open at least this long after the greeting. The CLI writes 0x04 when its
/// own input is at its end, and dies of the error if a quick command's end came before that.
const SHORTEST_MEETING: Duration = Duration::from_millis(500);
/// How long the last output may take to reach the client.
const LAST_WRITE: Duration = Duration::from_secs(30);

/// Both directions of anything.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A dyno's terminal or pipes, and which of the two.
pub struct Dyno<S> {
    /// Both directions; ends when the dyno has ended.
    pub stream: S,
    /// Whether it is a terminal: then byte 0x04 ends the input by itself.
    pub has_terminal: bool,
}

/// Meets clients that show a secret.
#[async_trait]
pub trait Rendezvous: Send + Sync + 'static {
    /// Joins the client with the dyno that the secret stands for, until either ends.
    async fn serve(&self, secret: &str, client: Box<dyn Duplex>) -> io::Result<()>;
}

#[async_trait]
impl Rendezvous for platform::Platform {
    async fn serve(&self, secret: &str, mut client: Box<dyn Duplex>) -> io::Result<()> {
        match self.meet(secret).await {
            Ok(Attached {
                stream,
                manner: Manner::Raw,
            }) => relay(client, stream).await,
            Ok(attached) => {
                let dyno = Dyno {
                    stream: attached.stream,
                    has_terminal: attached.manner == Manner::Terminal,
                };
                join(client, dyno).await
            }
            Err(error) if Manner::is_raw_secret(secret) => {
                tracing::info!(%error, "a rendezvous failed");
                client.write_all(refused(&error).as_bytes()).await?;
                client.shutdown().await
            }
            Err(error) => {
                tracing::info!(%error, "a rendezvous failed");
                client.write_all(b"rendezvous\r\n").await?;
                client.flush().await?;
                client
                    .write_all(b" !    The dyno is gone, or this URL was used before.\r\n")
                    .await?;
                client.shutdown().await
            }
        }
    }
}

/// Greets the client and passes bytes both ways until the dyno ends or the client goes away;
/// in the latter case dropping the dyno's stream hangs it up.
///
/// # Errors
/// When the client cannot be written to.
pub async fn join<C: Duplex, D: Duplex>(mut client: C, dyno: Dyno<D>) -> io::Result<()> {
    // Alone in its flush, and so in its TLS record: the CLI throws the first chunk away.
    client.write_all(b"rendezvous\r\n").await?;
    client.flush().await?;
    let earliest_end = Instant::now() + SHORTEST_MEETING;
    let (from_client, mut to_client) = tokio::io::split(client);
    let (from_dyno, to_dyno) = tokio::io::split(dyno.stream);
    let mut input = std::pin::pin!(pass_input(from_client, to_dyno, dyno.has_terminal));
    let ended = tokio::select! {
        ended = pass_output(from_dyno, &mut to_client) => ended,
        () = &mut input => return Ok(()),
    };
    ended?;
    if timeout_at(earliest_end, input).await.is_ok() {
        return Ok(());
    }
    timeout(LAST_WRITE, to_client.shutdown()).await?
}

/// The line for a client of raw bytes, in place of the greeting.
fn refused(error: &Error) -> String {
    match error {
        Error::NotFound { .. } => "gone\r\n".to_owned(),
        Error::Engine(error) => format!("refused: {error}\r\n"),
        _ => "refused: the platform failed\r\n".to_owned(),
    }
}

/// Greets the client and passes any bytes both ways, each until its end; the dyno's end is the end
/// of both.
///
/// # Errors
/// When either breaks off.
pub async fn relay<C: Duplex, D: Duplex>(mut client: C, dyno: D) -> io::Result<()> {
    client.write_all(b"rendezvous\r\n").await?;
    client.flush().await?;
    let (from_client, mut to_client) = tokio::io::split(client);
    let (mut from_dyno, to_dyno) = tokio::io::split(dyno);
    tokio::select! {
        ended = copy_flushing(&mut from_dyno, &mut to_client) => ended?,
        () = pass_raw_input(from_client, to_dyno) => return Ok(()),
    }
    timeout(LAST_WRITE, to_client.shutdown()).await?
}

/// Until the client breaks off; that it writes no more is only passed on.
async fn pass_raw_input(mut client: impl AsyncRead + Unpin, mut dyno: impl AsyncWrite + Unpin) {
    let mut buffer = vec![0; CHUNK];
    let mut is_taken = true;
    while let Ok(count) = client.read(&mut buffer).await {
        if count == 0 {
            close(&mut dyno).await;
            return std::future::pending().await;
        }
        let bytes = buffer.get(..count).unwrap_or_default();
        // A dyno that reads no more may still have output to give.
        is_taken = is_taken && dyno.write_all(bytes).await.is_ok() && dyno.flush().await.is_ok();
    }
}

/// What is written to TLS goes out when it is flushed.
async fn copy_flushing(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        to.write_all(buffer.get(..count).unwrap_or_default())
            .await?;
        to.flush().await?;
    }
}

/// Until the dyno ends.
async fn pass_output(
    mut dyno: impl AsyncRead + Unpin,
    client: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    let mut output = Output::default();
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = if output.is_holding() {
            timeout(LINE_PATIENCE, dyno.read(&mut buffer)).await
        } else {
            Ok(dyno.read(&mut buffer).await)
        };
        let chunks = match read {
            Err(_late) => output.release(),
            // A dyno that breaks off has ended like one that ends.
            Ok(Ok(0) | Err(_)) => {
                send(client, output.release()).await?;
                return Ok(());
            }
            Ok(Ok(count)) => output.take(buffer.get(..count).unwrap_or_default()),
        };
        send(client, chunks).await?;
    }
}

/// Each chunk in its own flush.
async fn send(client: &mut (impl AsyncWrite + Unpin), chunks: Vec<Vec<u8>>) -> io::Result<()> {
    for chunk in chunks {
        client.write_all(&chunk).await?;
        client.flush().await?;
    }
    Ok(())
}

/// Until the client goes away.
async fn pass_input(
    mut client: impl AsyncRead + Unpin,
    mut dyno: impl AsyncWrite + Unpin,
    has_terminal: bool,
) {
    let mut input = Input::new(has_terminal);
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = if input.may_have_ended() {
            timeout(END_OF_INPUT, client.read(&mut buffer)).await
        } else {
            Ok(client.read(&mut buffer).await)
        };
        match read {
            Err(_nothing_followed) => {
                input.end();
                close(&mut dyno).await;
            }
            Ok(Ok(0) | Err(_)) => return,
            Ok(Ok(count)) => {
                let bytes = input.take(buffer.get(..count).unwrap_or_default());
                // A dyno that reads no more may still have output to give.
                if dyno.write_all(&bytes).await.is_err() || dyno.flush().await.is_err() {
                    input.end();
                }
            }
        }
    }
}

async fn close(dyno: &mut (impl AsyncWrite + Unpin)) {
    if let Err(error) = dyno.shutdown().await {
        tracing::debug!(%error, "the dyno closed its input before");
    }
}

#[cfg(test)]
mod tests;
