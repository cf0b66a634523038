//! HTTP/2 without TLS to a dyno: requests are streams that share a connection.
//!
//! A connection is not taken out of its pool for a request. It takes as many streams as the dyno
//! allows, and no more than [`MAX_STREAMS`]; what comes beyond has another one made. Read [`Streams`].

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    error::Error as _,
    future::poll_fn,
    io,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::{
        TrySendError,
        http2::{self, SendRequest},
    },
    rt::Executor,
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, sync::Notify, task::spawn_local, time::Instant};

use super::RequestBody;
use crate::{config::MAX_HEAD_BYTES, lane::Lane, place::Leg, pool::Fresh, table::Backend};

/// Streams of one connection, whatever the dyno allows.
const MAX_STREAMS: usize = 100;
/// What a dyno may send ahead of a client that does not read.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// More than all streams together, so that slow clients do not hold up the others.
const CONNECTION_WINDOW_BYTES: u32 = 64 * 1024 * 1024;
/// For which a connection without streams is kept. The dyno says if it closes it before, so this may
/// be longer than for HTTP/1.1.
const MAX_IDLE: Duration = Duration::from_mins(1);

/// A thread's connections to dynos that speak HTTP/2, by the serial number of the backend.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    shared: RefCell<HashMap<u64, Vec<Rc<Shared>>>>,
    filled: Notify,
}

type Driver = http2::Connection<TokioIo<TcpStream>, RequestBody, UntilCut>;

/// A connection.
#[derive(Debug)]
struct Shared {
    sender: SendRequest<RequestBody>,
    /// Driven by a task of its own; here it is asked how many streams the dyno allows.
    driver: Rc<RefCell<Option<Driver>>>,
    streams: Cell<usize>,
    /// No more streams begin on it.
    is_leaving: Cell<bool>,
    idle_since: Cell<Instant>,
}

/// One stream of it; it is over when this is dropped.
#[derive(Debug)]
pub(crate) struct Http2(Rc<Shared>);

/// Runs what hyper spawns until the dyno is cut.
#[derive(Clone, Debug)]
struct UntilCut(Arc<Backend>);

impl<F: Future<Output: 'static> + 'static> Executor<F> for UntilCut {
    fn execute(&self, future: F) {
        let cut = self.0.wait_cut();
        spawn_local(async move {
            tokio::select! {
                biased;
                _ = future => {}
                () = cut => {}
            }
        });
    }
}

impl Streams {
    /// A stream on a connection that has room.
    fn check_out(&self, backend: &Backend) -> Option<Http2> {
        let mut shared = self.shared.borrow_mut();
        let kept = shared.get_mut(&backend.serial)?;
        kept.retain(|connection| connection.is_usable());
        kept.iter().find(|at| at.has_room()).map(Http2::on)
    }

    fn add(&self, backend: &Backend, connection: &Rc<Shared>) {
        if backend.is_retired() {
            return;
        }
        let mut shared = self.shared.borrow_mut();
        let kept = shared.entry(backend.serial).or_default();
        kept.push(Rc::clone(connection));
        self.filled.notify_one();
    }

    /// Lets go of the connections of a backend: each ends with its last stream.
    pub(crate) fn forget(&self, serial: u64) {
        self.shared.borrow_mut().remove(&serial);
    }

    /// Drops what has been idle for too long. Never ends.
    #[expect(clippy::infinite_loop, reason = "it is dropped with its thread")]
    pub(crate) async fn keep_fresh(&self) {
        loop {
            if self.shared.borrow().is_empty() {
                self.filled.notified().await;
            }
            tokio::time::sleep(MAX_IDLE / 4).await;
            self.shared.borrow_mut().retain(|_, kept| {
                kept.retain(|at| at.is_usable() && !at.is_stale());
                !kept.is_empty()
            });
        }
    }
}

impl Shared {
    fn is_usable(&self) -> bool {
        !self.sender.is_closed() && !self.is_leaving.get()
    }

    fn has_room(&self) -> bool {
        let driver = self.driver.try_borrow();
        let allowed = driver.map_or(0, |driver| {
            driver.as_ref().map_or(0, Driver::current_max_send_streams)
        });
        self.streams.get() < allowed.min(MAX_STREAMS)
    }

    fn is_stale(&self) -> bool {
        self.streams.get() == 0 && self.idle_since.get().elapsed() >= MAX_IDLE
    }
}

impl Http2 {
    fn on(connection: &Rc<Shared>) -> Self {
        connection.streams.set(connection.streams.get() + 1);
        Self(Rc::clone(connection))
    }

    pub(super) async fn send(
        &self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        let mut sender = self.0.sender.clone();
        sender.try_send_request(request).await
    }

    pub(super) fn leave(&self) {
        self.0.is_leaving.set(true);
    }
}

impl Drop for Http2 {
    fn drop(&mut self) {
        self.0.streams.set(self.0.streams.get().saturating_sub(1));
        self.0.idle_since.set(Instant::now());
    }
}

impl Leg for Http2 {
    fn kept(lane: &Lane, backend: &Backend, _fresh: Fresh) -> Option<Self> {
        lane.streams.check_out(backend)
    }

    async fn begin(lane: &Lane, stream: TcpStream, backend: &Arc<Backend>) -> io::Result<Self> {
        // Another request may have been quicker: of many at once, one connects for all.
        if let Some(stream) = lane.streams.check_out(backend) {
            return Ok(stream);
        }
        let max_head_bytes = u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX);
        let (sender, driver) = http2::Builder::new(UntilCut(Arc::clone(backend)))
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_header_list_size(max_head_bytes)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        let driver = Rc::new(RefCell::new(Some(driver)));
        spawn_local(drive(Rc::clone(&driver), Arc::clone(backend)));
        let shared = Rc::new(Shared {
            sender,
            driver,
            streams: Cell::new(0),
            is_leaving: Cell::new(false),
            idle_since: Cell::new(Instant::now()),
        });
        lane.streams.add(backend, &shared);
        Ok(Self::on(&shared))
    }
}

/// Has a connection do its work until it ends, or the dyno is cut. Then it is gone for all: what waits
/// for it learns so.
async fn drive(driver: Rc<RefCell<Option<Driver>>>, backend: Arc<Backend>) {
    let ended = poll_fn(|context| match driver.borrow_mut().as_mut() {
        Some(driver) => Pin::new(driver).poll(context),
        None => Poll::Ready(Ok(())),
    });
    tokio::select! {
        biased;
        ended = ended => if let Err(error) = ended {
            tracing::debug!(%error, "a connection to a dyno broke");
        },
        () = backend.wait_cut() => {}
    }
    let gone = driver.borrow_mut().take();
    drop(gone);
}

/// Whether the dyno said that it has not looked at the request, and will not (RFC 9113 §8.7).
pub(crate) fn is_unprocessed(error: &hyper::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref());
    cause.is_some_and(|cause: &h2::Error| {
        let is_refused = cause.is_reset() && cause.reason() == Some(h2::Reason::REFUSED_STREAM);
        cause.is_remote() && (is_refused || cause.is_go_away())
    })
}
