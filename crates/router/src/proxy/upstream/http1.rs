//! HTTP/1.1 to a dyno: one request at a time.

use std::{io, sync::Arc};

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::spawn_local};

use super::RequestBody;
use crate::{
    config::MAX_HEAD_BYTES,
    lane::Lane,
    place::Leg,
    pool::{Fresh, Keep, Use},
    table::Backend,
};

/// One HTTP/1.1 connection to a dyno.
#[derive(Debug)]
pub(crate) struct Http1(pub(super) SendRequest<RequestBody>);

impl Keep for Http1 {
    fn is_usable(&self, use_for: Use) -> bool {
        match use_for {
            Use::Repeatable => !self.0.is_closed(),
            Use::Once => self.0.is_ready(),
        }
    }
}

impl Leg for Http1 {
    fn kept(lane: &Lane, backend: &Backend, fresh: Fresh) -> Option<Self> {
        lane.pool.check_out(backend, fresh)
    }

    async fn begin(_lane: &Lane, stream: TcpStream, backend: &Arc<Backend>) -> io::Result<Self> {
        let (sender, connection) = http1::Builder::new()
            .max_header_size(MAX_HEAD_BYTES)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        let cut = backend.wait_cut();
        spawn_local(async move {
            tokio::select! {
                biased;
                ended = connection => if let Err(error) = ended {
                    tracing::debug!(%error, "a connection to a dyno broke");
                },
                () = cut => {}
            }
        });
        Ok(Self(sender))
    }
}
