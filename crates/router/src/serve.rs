//! One client connection from its acceptance to its end: TLS, then HTTP/1.1 or HTTP/2.
//!
//! It must not know what a request is answered with: that is [`crate::proxy::answer`].

use std::{
    convert::Infallible,
    io::{self, IoSlice},
    net::SocketAddr,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll},
};

use hyper::{
    body::Incoming,
    rt::{Executor, Read, Write},
    server::conn::http2,
    service::{HttpService, service_fn},
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::watch,
    task::spawn_local,
    time::timeout,
};

use crate::{
    config::MAX_HEAD_BYTES,
    h1::{self, ClientStream, Http2Client},
    lane::Lane,
    proxy::{self, Peer, ReplyBody},
    run::Stop,
    tls::Tls,
};

/// Serves an accepted connection to its end: TLS if there is an acceptor, then HTTP. `port` is the
/// one that the client came to.
pub(crate) async fn serve(
    lane: Rc<Lane>,
    stream: TcpStream,
    (client, port): (SocketAddr, u16),
    (tls, stop): (Option<Tls>, watch::Receiver<Stop>),
) -> io::Result<()> {
    lane.follow_stop(&stop);
    match tls {
        None => {
            let peer = Rc::new(Peer::new(client, port, false));
            serve_plain(lane, stream, peer, stop).await
        }
        // Boxed, like all that idle connections shall not hold room for.
        Some(tls) => {
            let peer = Peer::new(client, port, true);
            Box::pin(serve_secure(lane, stream, peer, (tls, stop))).await
        }
    }
}

async fn serve_plain(
    lane: Rc<Lane>,
    stream: TcpStream,
    peer: Rc<Peer>,
    stop: watch::Receiver<Stop>,
) -> io::Result<()> {
    let stream = ClientStream::Plain(stream);
    let served = h1::serve(Rc::clone(&lane), stream, Rc::clone(&peer));
    match served.await {
        None => Ok(()),
        Some(client) => {
            Box::pin(serve_http2(lane, TokioIo::new(Resumed(client)), peer, stop)).await
        }
    }
}

async fn serve_secure(
    lane: Rc<Lane>,
    stream: TcpStream,
    mut peer: Peer,
    (tls, stop): (Tls, watch::Receiver<Stop>),
) -> io::Result<()> {
    let stream = {
        let handshake = Box::pin(timeout(lane.timeouts.handshake, tls.accept(stream)));
        let Some(secured) = handshake.await?? else {
            return Ok(());
        };
        peer.identity = secured.client;
        Box::new(secured.stream)
    };
    let peer = Rc::new(peer);
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        Box::pin(serve_http2(lane, TokioIo::new(stream), peer, stop)).await
    } else {
        let _none = h1::serve(lane, ClientStream::Secure(stream), peer).await;
        Ok(())
    }
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
            .serve_connection(io, service(lane, peer))
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
) -> impl HttpService<Incoming, ResBody = ReplyBody, Error = Infallible, Future: 'static> {
    service_fn(move |request| {
        let answer = proxy::answer(Rc::clone(&lane), Rc::clone(&peer), request);
        async move { Ok(answer.await) }
    })
}

/// A connection that another has begun to read.
struct Resumed(Box<Http2Client>);

impl AsyncRead for Resumed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let client = &mut *self.0;
        let said = client.said.filled();
        let count = said.len().min(space.remaining());
        if count == 0 {
            return Pin::new(&mut client.stream).poll_read(context, space);
        }
        space.put_slice(said.get(..count).unwrap_or_default());
        client.said.consume(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Resumed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.stream).poll_shutdown(context)
    }
}

/// Runs what hyper spawns on the same thread.
#[derive(Clone, Copy, Debug)]
struct LaneExecutor;

impl<F: Future<Output: 'static> + 'static> Executor<F> for LaneExecutor {
    fn execute(&self, future: F) {
        spawn_local(future);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an `async fn` holds while it waits, in bytes.
    fn held<A, B, C, D, F>(_: fn(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_idle_connection_holds_little() {
        let bytes = held(serve);
        assert!(
            bytes <= 640,
            "it is {bytes}: what only some need belongs in a box"
        );
    }
}
