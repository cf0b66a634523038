//! Connections to dynos: made, kept while idle, dropped in time. One pool a thread.
//!
//! The pool goes by a backend's serial number: addresses and names are used again, serials never.

use std::{cell::RefCell, collections::HashMap, io, sync::Arc, time::Duration};

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    sync::Notify,
    task::spawn_local,
    time::{Instant, timeout},
};

use super::body::RequestBody;
use crate::{
    codes::Code,
    config::{MAX_HEAD_BYTES, MAX_IDLE_PER_BACKEND},
    table::Backend,
};

/// One HTTP/1.1 connection to a dyno.
pub(crate) type Connection = SendRequest<RequestBody>;

/// A thread's idle connections.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    idle: RefCell<HashMap<u64, Vec<Idle>>>,
    filled: Notify,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

impl Pool {
    /// The connection that was used last, if it is alive and has not been idle for `max_idle`.
    pub(crate) fn check_out(&self, backend: &Backend, max_idle: Duration) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        let kept = idle.get_mut(&backend.serial)?;
        while let Some(Idle { connection, since }) = kept.pop() {
            if since.elapsed() >= max_idle {
                // The others have been idle for longer, but may do for another request.
                kept.push(Idle { connection, since });
                return None;
            }
            if connection.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection whose response has gone through.
    pub(crate) fn check_in(&self, backend: &Backend, connection: Connection) {
        if connection.is_closed() || backend.is_retired() {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        let kept = idle.entry(backend.serial).or_default();
        if kept.len() < MAX_IDLE_PER_BACKEND {
            kept.push(Idle {
                connection,
                since: Instant::now(),
            });
            self.filled.notify_one();
        }
    }

    /// Drops the connections of a backend.
    pub(crate) fn forget(&self, serial: u64) {
        self.idle.borrow_mut().remove(&serial);
    }

    /// Drops what has been idle for too long. Never ends.
    #[expect(clippy::infinite_loop, reason = "it is dropped with its thread")]
    pub(crate) async fn keep_fresh(&self, max_idle: Duration) {
        loop {
            if self.idle.borrow().is_empty() {
                self.filled.notified().await;
            }
            tokio::time::sleep(max_idle / 4).await;
            self.idle.borrow_mut().retain(|_, kept| {
                kept.retain(|idle| !idle.connection.is_closed() && idle.since.elapsed() < max_idle);
                !kept.is_empty()
            });
        }
    }
}

/// A new connection. Errors: H19 when the dyno does not answer in time, H21 when it refuses.
pub(crate) async fn connect(backend: &Arc<Backend>, limit: Duration) -> Result<Connection, Code> {
    let connecting = async {
        let stream = TcpStream::connect(backend.address).await?;
        stream.set_nodelay(true)?;
        http1::Builder::new()
            .max_header_size(MAX_HEAD_BYTES)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)
    };
    let (sender, connection) = match timeout(limit, connecting).await {
        Err(_) => return Err(Code::H19),
        Ok(Err(error)) => {
            tracing::debug!(%error, dyno = %backend.dyno, "a dyno refused a connection");
            return Err(Code::H21);
        }
        Ok(Ok(connected)) => connected,
    };
    let cut = backend.wait_cut();
    spawn_local(async move {
        tokio::select! {
            biased;
            ended = connection.with_upgrades() => if let Err(error) = ended {
                tracing::debug!(%error, "a connection to a dyno broke");
            },
            () = cut => {}
        }
    });
    Ok(sender)
}
