//! Listening sockets and client connections: accept, TLS, HTTP/1.1 or HTTP/2, graceful end.
//!
//! It must not know what a request is answered with: that is [`crate::proxy::answer`].

use std::{cell::Cell, convert::Infallible, io, net::SocketAddr, pin::pin, rc::Rc, time::Duration};

use hyper::{
    body::Incoming,
    rt::{Executor, Read, Write},
    server::conn::{http1, http2},
    service::{HttpService, service_fn},
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
    task::spawn_local,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use crate::{
    config::{ACCEPT_BACKLOG, MAX_HEAD_BYTES},
    error::RouterError,
    feed::Addresses,
    lane::Lane,
    proxy::{self, Peer, ReplyBody},
    run::Stop,
};

/// When the kernel has no file descriptor left.
const ACCEPT_BACK_OFF: Duration = Duration::from_millis(50);

/// One thread's sockets. Other threads have theirs on the same addresses; the kernel spreads
/// connections over them.
pub(crate) struct Listeners {
    pub(crate) http: TcpListener,
    pub(crate) https: TcpListener,
}

impl Listeners {
    /// Takes the addresses for this process; port 0 finds a free one.
    pub(crate) fn claim(addresses: Addresses) -> Result<Self, RouterError> {
        for address in [addresses.http, addresses.https] {
            refuse_shared(address).map_err(|source| RouterError::Bind { address, source })?;
        }
        Self::join(addresses)
    }

    /// Listens beside a thread that has claimed the addresses.
    pub(crate) fn join(addresses: Addresses) -> Result<Self, RouterError> {
        let listen = |address| {
            shared_listener(address).map_err(|source| RouterError::Bind { address, source })
        };
        Ok(Self {
            http: listen(addresses.http)?,
            https: listen(addresses.https)?,
        })
    }

    pub(crate) fn addresses(&self) -> io::Result<Addresses> {
        Ok(Addresses {
            http: self.http.local_addr()?,
            https: self.https.local_addr()?,
        })
    }
}

fn socket(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    Ok(socket)
}

/// With `SO_REUSEPORT` a second router would silently take half of the connections: find out
/// whether anybody listens there before using it.
fn refuse_shared(address: SocketAddr) -> io::Result<()> {
    if address.port() == 0 {
        return Ok(());
    }
    socket(address)?.bind(address)
}

fn shared_listener(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(address)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    socket.listen(ACCEPT_BACKLOG)
}

/// Accepts until told to stop; connections go on.
pub(crate) async fn accept(
    lane: &Rc<Lane>,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    mut stop: watch::Receiver<Stop>,
) {
    loop {
        let accepted = tokio::select! {
            _ = stop.wait_for(|stop| *stop != Stop::No) => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, client)) => {
                let (lane, tls, stop) = (Rc::clone(lane), tls.clone(), stop.clone());
                spawn_local(async move {
                    let open = lane.open();
                    if let Err(error) = serve(lane, stream, client, (tls, stop)).await {
                        tracing::debug!(%error, %client, "a client's connection broke");
                    }
                    drop(open);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                sleep(ACCEPT_BACK_OFF).await;
            }
        }
    }
}

async fn serve(
    lane: Rc<Lane>,
    stream: TcpStream,
    client: SocketAddr,
    (tls, stop): (Option<TlsAcceptor>, watch::Receiver<Stop>),
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let peer = Rc::new(Peer::new(client, stream.local_addr()?, tls.is_some()));
    let Some(tls) = tls else {
        return serve_http1(lane, TokioIo::new(stream), peer, stop).await;
    };
    let stream = timeout(lane.timeouts.handshake, tls.accept(stream)).await??;
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        serve_http2(lane, TokioIo::new(stream), peer, stop).await
    } else {
        serve_http1(lane, TokioIo::new(stream), peer, stop).await
    }
}

async fn serve_http1(
    lane: Rc<Lane>,
    io: impl Read + Write + Unpin + Send + 'static,
    peer: Rc<Peer>,
    mut stop: watch::Receiver<Stop>,
) -> io::Result<()> {
    let has_begun = Rc::new(Cell::new(false));
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(lane.timeouts.header_read)
            .max_header_size(MAX_HEAD_BYTES)
            .serve_connection(io, service(lane, peer, Rc::clone(&has_begun)))
            .with_upgrades()
    );
    tokio::select! {
        biased;
        ended = connection.as_mut() => return ended.map_err(io::Error::other),
        _ = stop.wait_for(|stop| *stop != Stop::No) => {}
    }
    if !has_begun.get() {
        return Ok(());
    }
    connection.as_mut().graceful_shutdown();
    connection.await.map_err(io::Error::other)
}

async fn serve_http2(
    lane: Rc<Lane>,
    io: impl Read + Write + Unpin + 'static,
    peer: Rc<Peer>,
    mut stop: watch::Receiver<Stop>,
) -> io::Result<()> {
    let max_head_bytes = u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX);
    let mut connection = pin!(
        http2::Builder::new(LaneExecutor)
            .timer(TokioTimer::new())
            .max_header_list_size(max_head_bytes)
            .keep_alive_interval(lane.timeouts.header_read)
            .serve_connection(io, service(lane, peer, Rc::default()))
    );
    tokio::select! {
        biased;
        ended = connection.as_mut() => return ended.map_err(io::Error::other),
        _ = stop.wait_for(|stop| *stop != Stop::No) => {}
    }
    connection.as_mut().graceful_shutdown();
    connection.await.map_err(io::Error::other)
}

fn service(
    lane: Rc<Lane>,
    peer: Rc<Peer>,
    has_begun: Rc<Cell<bool>>,
) -> impl HttpService<Incoming, ResBody = ReplyBody, Error = Infallible, Future: 'static> {
    service_fn(move |request| {
        has_begun.set(true);
        let answer = proxy::answer(Rc::clone(&lane), Rc::clone(&peer), request);
        async move { Ok(answer.await) }
    })
}

/// Runs what hyper spawns on the same thread.
#[derive(Clone, Copy, Debug)]
struct LaneExecutor;

impl<F: Future<Output: 'static> + 'static> Executor<F> for LaneExecutor {
    fn execute(&self, future: F) {
        spawn_local(future);
    }
}
