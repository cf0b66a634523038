//! The internal address where the metrics are read.
//!
//! A thread of its own, so that nobody who reads them, however slowly, is met by a request. It must
//! not know what a metric is. Whatever happens here, routing goes on: an address that cannot be had
//! is tried again. Read [`Door`].

use std::{convert::Infallible, net::SocketAddr, rc::Rc, time::Duration};

use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, CONTENT_TYPE},
};
use http_body_util::Full;
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{Sources, text};
use crate::{handover::shared_listener, run::Stop};

/// Connections at a time; more wait.
const MAX_CONNECTIONS: usize = 8;
/// For a client to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// For a connection in all: who reads every few seconds comes again.
const CONNECTION_TIMEOUT: Duration = Duration::from_mins(10);
/// Before an address that could not be had is tried again.
const BACK_OFF: Duration = Duration::from_secs(1);

/// Where the metrics are read.
#[derive(Debug)]
pub(crate) struct Door {
    address: SocketAddr,
    listener: Option<std::net::TcpListener>,
}

impl Door {
    /// Listens there. A router that takes over from another of the same user has the same address
    /// beside it until that one lets go.
    pub(crate) fn open(address: SocketAddr) -> Self {
        match shared_listener(address) {
            Ok(listener) => Self {
                address: listener.local_addr().unwrap_or(address),
                listener: Some(listener),
            },
            Err(error) => {
                tracing::error!(%error, %address, "cannot show metrics; trying again");
                Self {
                    address,
                    listener: None,
                }
            }
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until told to stop.
    pub(crate) async fn serve(self, sources: Sources, mut stop: watch::Receiver<Stop>) {
        tokio::select! {
            () = self.accept(Rc::new(sources)) => {}
            _ = stop.wait_for(|stop| *stop != Stop::No) => {}
        }
    }

    #[expect(clippy::infinite_loop, reason = "it is dropped when the router stops")]
    async fn accept(self, sources: Rc<Sources>) {
        let listener = self.listen().await;
        let mut readers = JoinSet::new();
        loop {
            while readers.len() >= MAX_CONNECTIONS {
                readers.join_next().await;
            }
            match listener.accept().await {
                Ok((stream, _)) => {
                    readers.spawn_local(converse(stream, Rc::clone(&sources)));
                    while readers.try_join_next().is_some() {}
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept who reads metrics");
                    sleep(BACK_OFF).await;
                }
            }
        }
    }

    async fn listen(self) -> TcpListener {
        let mut listener = self.listener;
        loop {
            if let Some(Ok(listener)) = listener.map(TcpListener::from_std) {
                return listener;
            }
            sleep(BACK_OFF).await;
            listener = shared_listener(self.address).ok();
        }
    }
}

async fn converse(stream: TcpStream, sources: Rc<Sources>) {
    let service = service_fn(|request| {
        let reply = reply(&request, &sources);
        async move { Ok::<_, Infallible>(reply) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    let ended = timeout(CONNECTION_TIMEOUT, connection).await;
    if let Ok(Err(error)) = ended {
        tracing::debug!(%error, "who reads metrics broke off");
    }
}

fn reply(request: &Request<Incoming>, sources: &Sources) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        let headers = response.headers_mut();
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let (kind, body) = match request.uri().path() {
        "/metrics" => (text::CONTENT_TYPE, sources.page()),
        "/" => ("text/plain", "The metrics are at /metrics\n".to_owned()),
        _ => {
            *response.status_mut() = StatusCode::NOT_FOUND;
            ("text/plain", "Not found; see /metrics\n".to_owned())
        }
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    *response.body_mut() = Full::from(body);
    response
}
