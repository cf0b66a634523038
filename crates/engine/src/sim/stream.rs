//! The attached stream of a simulated dyno.
//!
//! A task stands for the dyno's side: it writes what the script printed, gives input back while
//! the script says `cat`, and tells the dyno when its input ended or the stream was dropped.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use api::ids::DynoId;
use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, WriteHalf, duplex,
    split,
};

use super::{SimEngine, dyno::SIGHUP};

/// As much as the real engine keeps unread.
const BUFFER_BYTES: usize = 64 * 1024;

/// The caller's side.
pub(super) struct SimStream {
    stream: DuplexStream,
    engine: SimEngine,
    id: DynoId,
}

impl SimStream {
    pub(super) fn open(engine: SimEngine, id: DynoId) -> Self {
        let (stream, inside) = duplex(BUFFER_BYTES);
        tokio::spawn(play(engine.clone(), id, inside));
        Self { stream, engine, id }
    }
}

/// A connection to a dyno that serves: it answers one request.
pub(super) fn served() -> DuplexStream {
    let (stream, mut inside) = duplex(BUFFER_BYTES);
    tokio::spawn(async move {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            match inside.read_buf(&mut request).await {
                Ok(length) if length > 0 && request.len() < BUFFER_BYTES => {}
                _ => return,
            }
        }
        // Whoever has gone needs no answer.
        drop(inside.write_all(b"HTTP/1.0 200 OK\r\n\r\n").await);
    });
    stream
}

impl Drop for SimStream {
    fn drop(&mut self) {
        self.engine.kill(self.id, SIGHUP);
        self.engine.change(|world, _| world.execs.remove(&self.id));
    }
}

/// The dyno's side, until the dyno has ended and its output is written.
async fn play(engine: SimEngine, id: DynoId, inside: DuplexStream) {
    let (mut input, mut output) = split(inside);
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut input_is_open = true;
    loop {
        if write_out(&engine, id, &mut output).await.is_none() {
            // Shutting down fails only when the caller is gone.
            drop(output.shutdown().await);
            return;
        }
        tokio::select! {
            () = until_written(&engine, id) => {}
            read = input.read(&mut buffer), if input_is_open => {
                let length = read.unwrap_or(0);
                input_is_open = length > 0;
                engine.change(|world, now| {
                    if let Some(dyno) = world.played(id) {
                        dyno.take_input(&buffer[..length], now);
                    }
                });
            }
        }
    }
}

/// Writes what is unread; nothing follows once the dyno has ended or the caller is gone.
async fn write_out(
    engine: &SimEngine,
    id: DynoId,
    output: &mut WriteHalf<DuplexStream>,
) -> Option<()> {
    let (unread, is_over) = engine.change(|world, _| {
        let dyno = world.played(id)?;
        Some((std::mem::take(&mut dyno.output), dyno.exit().is_some()))
    })?;
    output.write_all(&unread).await.ok()?;
    (!is_over).then_some(())
}

/// Waits until there is output or the dyno has ended or was removed.
async fn until_written(engine: &SimEngine, id: DynoId) {
    let written = engine
        .until(id, |dyno| {
            (!dyno.output.is_empty() || dyno.exit().is_some()).then_some(())
        })
        .await;
    // A removed dyno writes nothing more, which `write_out` finds out next.
    drop(written);
}

impl AsyncRead for SimStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
