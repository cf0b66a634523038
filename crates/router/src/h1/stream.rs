//! The two ends of a request: a client's connection, plain or TLS, and a dyno's.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use rustix::net::{RecvFlags, recv};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::server::TlsStream;

use crate::{
    lane::Lane,
    place::Leg,
    pool::{Fresh, Keep, Use},
    table::Backend,
};

/// A client's connection. TLS has much state of its own, which plain connections shall not pay for.
#[derive(Debug)]
pub(crate) enum ClientStream {
    Plain(TcpStream),
    Secure(Box<TlsStream<TcpStream>>),
}

/// A connection to a dyno.
#[derive(Debug)]
pub(crate) struct Dyno(pub(crate) TcpStream);

impl AsyncRead for ClientStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, space),
            Self::Secure(stream) => Pin::new(&mut **stream).poll_read(context, space),
        }
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Secure(stream) => Pin::new(&mut **stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Secure(stream) => Pin::new(&mut **stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Secure(stream) => Pin::new(&mut **stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Secure(stream) => Pin::new(&mut **stream).poll_shutdown(context),
        }
    }
}

impl Keep for Dyno {
    /// The runtime knows of what the last round of events told; the kernel knows all.
    fn is_usable(&self, use_for: Use) -> bool {
        let mut byte = [0];
        match use_for {
            Use::Repeatable => {
                let seen = self.0.try_read(&mut byte);
                seen.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
            }
            Use::Once => {
                let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
                recv(&self.0, &mut byte[..], flags) == Err(rustix::io::Errno::AGAIN)
            }
        }
    }
}

impl Leg for Dyno {
    fn kept(lane: &Lane, backend: &Backend, fresh: Fresh) -> Option<Self> {
        lane.dynos.check_out(backend, fresh)
    }

    async fn begin(_lane: &Lane, stream: TcpStream, _backend: &Arc<Backend>) -> io::Result<Self> {
        Ok(Self(stream))
    }
}
