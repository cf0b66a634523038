//! Upgraded connections (WebSocket and others): bytes both ways after the dyno's 101, until both
//! sides have ended, both are silent for too long, or the dyno's drain time is over.

use std::{
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite};

use super::{connection::Connection, stream::Dyno};
use crate::{
    buffers::{Buffer, Buffers},
    codes::Code,
    table::Lease,
};

/// One direction.
#[derive(Debug)]
struct Way {
    buffer: Option<Buffer>,
    state: State,
    bytes: u64,
    moved: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// The source has ended; the sink is being told.
    Ending,
    Ended,
}

/// What a tunnel is made of.
pub(crate) struct Tunnel<'a> {
    pub(crate) connection: &'a mut Connection,
    pub(crate) dyno: Dyno,
    pub(crate) lease: &'a Lease,
    /// What the dyno sent behind its 101.
    pub(crate) from_dyno: Option<Buffer>,
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct TunnelEnd {
    pub(crate) bytes_to_client: u64,
    pub(crate) code: Option<Code>,
}

/// Carries bytes until the end.
pub(crate) async fn run(tunnel: Tunnel<'_>) -> TunnelEnd {
    let Tunnel {
        connection,
        mut dyno,
        lease,
        from_dyno,
    } = tunnel;
    let limit = connection.lane.timeouts.rolling;
    let buffers = Rc::clone(&connection.lane.buffers);
    let mut up = Way::new(connection.inbound.take());
    let mut down = Way::new(from_dyno);
    connection.timer.set(limit);
    let code = poll_fn(|context| {
        let client = &mut connection.stream;
        let upward = up.poll(context, client, &mut dyno.0, &buffers);
        let downward = down.poll(context, &mut dyno.0, client, &buffers);
        if up.moved || down.moved {
            (up.moved, down.moved) = (false, false);
            connection.timer.set(limit);
        }
        match (upward, downward) {
            (Poll::Ready(Ok(())), Poll::Ready(Ok(())))
            | (Poll::Ready(Err(())), _)
            | (_, Poll::Ready(Err(()))) => return Poll::Ready(None),
            _ => {}
        }
        let is_late = connection.timer.poll_due(context);
        if lease.backend().is_cut() {
            Poll::Ready(None)
        } else if connection.lane.is_forced() {
            Poll::Ready(Some(Code::H24))
        } else if is_late {
            Poll::Ready(Some(Code::H15))
        } else {
            Poll::Pending
        }
    })
    .await;
    TunnelEnd {
        bytes_to_client: down.bytes,
        code,
    }
}

impl Way {
    fn new(buffer: Option<Buffer>) -> Self {
        Self {
            bytes: 0,
            buffer,
            state: State::Open,
            moved: false,
        }
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
        source: &mut (impl AsyncRead + Unpin),
        sink: &mut (impl AsyncWrite + Unpin),
        buffers: &Rc<Buffers>,
    ) -> Poll<Result<(), ()>> {
        loop {
            while let Some(buffer) = self.buffer.as_mut().filter(|buffer| !buffer.is_empty()) {
                let written = Pin::new(&mut *sink).poll_write(context, buffer.filled());
                let count = ready!(written).map_err(|_| ())?;
                if count == 0 {
                    return Poll::Ready(Err(()));
                }
                buffer.consume(count);
                self.bytes += count as u64;
                self.moved = true;
            }
            let flushed = Pin::new(&mut *sink).poll_flush(context).map_err(|_| ())?;
            match self.state {
                State::Ended => return Poll::Ready(Ok(())),
                State::Ending => {
                    ready!(flushed);
                    ready!(Pin::new(&mut *sink).poll_shutdown(context)).map_err(|_| ())?;
                    self.state = State::Ended;
                }
                State::Open => {
                    let kept = self.buffer.take();
                    let mut buffer = kept.unwrap_or_else(|| buffers.large());
                    match buffer.poll_fill(context, source) {
                        // Whoever is silent needs no buffer.
                        Poll::Pending => return Poll::Pending,
                        Poll::Ready(Err(_)) => return Poll::Ready(Err(())),
                        Poll::Ready(Ok(0)) => self.state = State::Ending,
                        Poll::Ready(Ok(_)) => self.buffer = Some(buffer),
                    }
                }
            }
        }
    }
}
