//! One port for everything: TLS and plain by the first byte, then rendezvous or HTTP.
//!
//! It must not know what is asked over HTTP: that is the router it is given. Read
//! [`Listener::serve`].

mod rewind;
mod sniff;

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::extract::ConnectInfo;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite},
    net::{TcpListener, TcpStream},
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

use self::{rewind::Rewind, sniff::Greeting};
use crate::{authority::Authority, rendezvous::Rendezvous};

/// The first byte of a TLS handshake record (RFC 8446 §5.1).
const TLS_HANDSHAKE: u8 = 0x16;
/// How long a client may take to say what it wants, be it byte by byte, and to finish its TLS
/// handshake.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a rendezvous client may take between its secret and the line end.
const LINE_END: Duration = Duration::from_millis(100);
/// How long to rest when the process has no file descriptor left.
const OUT_OF_FILES: Duration = Duration::from_millis(100);
/// How long answers in progress may take when the server ends.
const FAREWELL: Duration = Duration::from_secs(3);

/// The server's one port.
#[derive(Clone)]
pub struct Listener {
    authority: Authority,
    router: axum::Router,
    rendezvous: Arc<dyn Rendezvous>,
}

impl Listener {
    /// Serves HTTP by `router` and rendezvous by `rendezvous`, TLS with the authority's
    /// certificate.
    pub fn new(
        authority: Authority,
        router: axum::Router,
        rendezvous: Arc<dyn Rendezvous>,
    ) -> Self {
        Self {
            authority,
            router,
            rendezvous,
        }
    }

    /// Accepts connections until `end`, then lets answers in progress finish for a moment.
    pub async fn serve(self, port: TcpListener, end: CancellationToken) {
        let connections = TaskTracker::new();
        while let Some(accepted) = end.run_until_cancelled(port.accept()).await {
            match accepted {
                Ok((stream, peer)) => {
                    connections.spawn(self.clone().connection(stream, peer));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(OUT_OF_FILES).await;
                }
            }
        }
        connections.close();
        if timeout(FAREWELL, connections.wait()).await.is_err() {
            tracing::info!(left = connections.len(), "ending with connections open");
        }
    }

    async fn connection(self, stream: TcpStream, peer: SocketAddr) {
        // A client that goes away or talks nonsense is no fault of ours.
        if let Err(error) = self.talk(stream, peer).await {
            tracing::debug!(%peer, %error, "connection ended");
        }
    }

    async fn talk(self, stream: TcpStream, peer: SocketAddr) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut first = [0];
        if timeout(PATIENCE, stream.peek(&mut first)).await?? == 0 {
            return Ok(());
        }
        if first != [TLS_HANDSHAKE] {
            return self.greet(stream, peer).await;
        }
        let tls = self.authority.tls().map_err(io::Error::other)?;
        let stream = timeout(PATIENCE, TlsAcceptor::from(tls).accept(stream)).await??;
        self.greet(stream, peer).await
    }

    /// Finds out what the client wants from its first bytes.
    async fn greet<S>(self, mut stream: S, peer: SocketAddr) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let mut read = Vec::with_capacity(4096);
        let end = Instant::now() + PATIENCE;
        let greeting = loop {
            if timeout_at(end, stream.read_buf(&mut read)).await?? == 0 {
                break sniff::at_end(&read);
            }
            if read.len() == sniff::SECRET_LENGTH && sniff::is_rendezvous(&read) {
                // The line end may come by itself, or never; output does not wait for it long.
                drop(timeout(LINE_END, stream.read_buf(&mut read)).await);
            }
            if let Some(greeting) = sniff::greeting(&read) {
                break greeting;
            }
        };
        match greeting {
            Greeting::Http => self.http(Rewind::new(read.into(), stream), peer).await,
            Greeting::Rendezvous { secret, rest } => {
                let stream = Rewind::new(rest.into(), stream);
                self.rendezvous.serve(&secret, Box::new(stream)).await
            }
        }
    }

    async fn http<S>(self, stream: S, peer: SocketAddr) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let router = self.router;
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let router = router.clone();
            async move {
                let mut request = request.map(axum::body::Body::new);
                request.extensions_mut().insert(ConnectInfo(peer));
                let answer = router.oneshot(request).await;
                Ok::<_, Infallible>(answer.unwrap_or_else(|never| match never {}))
            }
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(PATIENCE * 4);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(PATIENCE);
        let served = builder
            .serve_connection_with_upgrades(TokioIo::new(stream), service)
            .await;
        served.map_err(io::Error::other)
    }
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
