//! hyper's connections to dynos, of either protocol.

mod http1;
mod http2;

use hyper::{Request, Response, body::Incoming, client::conn::TrySendError};

use super::upload::RequestBody;
use crate::{lane::Lane, table::Backend};

pub(crate) use self::{
    http1::Http1,
    http2::{Http2, Streams, is_unprocessed},
};

/// What a request is sent on.
#[derive(Debug)]
pub(crate) enum Connection {
    /// A connection of its own.
    Http1(Http1),
    /// One of the streams of a connection.
    Http2(Http2),
}

impl Connection {
    /// Sends a request. Safe to drop.
    pub(crate) async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        match self {
            Self::Http1(connection) => connection.0.try_send_request(request).await,
            Self::Http2(stream) => stream.send(request).await,
        }
    }

    pub(crate) fn is_http2(&self) -> bool {
        matches!(self, Self::Http2(_))
    }

    /// No request begins on it any more.
    pub(crate) fn leave(&self) {
        if let Self::Http2(stream) = self {
            stream.leave();
        }
    }

    /// Keeps it for the next request; streams are not kept, and their connection is anyway.
    pub(crate) fn check_in(self, lane: &Lane, backend: &Backend) {
        match self {
            Self::Http1(connection) => lane.pool.check_in(backend, connection),
            Self::Http2(_) => {}
        }
    }
}
