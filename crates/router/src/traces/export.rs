//! The way of spans to the collector: in batches, from a thread of its own.
//!
//! A collector that is slow or away costs spans, never a request: while a batch is tried again the
//! queue fills, and what finds no room there is counted. Read [`Exporter::run`].

use std::{sync::Arc, time::Duration};

use http::{
    HeaderValue, Method, Request, StatusCode, Uri,
    header::{CONTENT_TYPE, HOST},
};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::{
    net::TcpStream,
    sync::mpsc,
    task::spawn_local,
    time::{sleep, timeout},
};

use super::{Span, Tally, otlp};

/// Spans in one request.
const BATCH: usize = 512;
/// A span waits no longer than this for others.
const BATCH_INTERVAL: Duration = Duration::from_secs(1);
/// For a collector to answer.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a batch is sent before it is given up.
const TRIES: u32 = 3;
/// Before a batch is sent once more.
const BACK_OFF: Duration = Duration::from_secs(1);
/// What is read of an answer.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Takes spans to a collector.
#[derive(Debug)]
pub(crate) struct Exporter {
    endpoint: Uri,
    spans: mpsc::Receiver<Span>,
    tally: Arc<Tally>,
    kept: Option<http1::SendRequest<Full<Bytes>>>,
}

/// Why a collector does not have a batch.
#[derive(Debug, Error)]
enum ExportError {
    #[error("the collector does not answer in time")]
    Late,
    #[error("the collector cannot be reached")]
    Connect(#[source] std::io::Error),
    #[error("the collector broke off")]
    Http(#[from] hyper::Error),
    #[error("spans cannot be written")]
    Json(#[from] serde_json::Error),
    #[error("the request cannot be made")]
    Request(#[from] http::Error),
    #[error("the collector refused spans with {0}")]
    Refused(StatusCode),
}

impl ExportError {
    /// Whether the same may be taken a little later
    /// (<https://opentelemetry.io/docs/specs/otlp/#failures-1>).
    fn is_passing(&self) -> bool {
        match self {
            Self::Late | Self::Connect(_) | Self::Http(_) => true,
            Self::Json(_) | Self::Request(_) => false,
            Self::Refused(status) => matches!(status.as_u16(), 429 | 502 | 503 | 504),
        }
    }
}

impl Exporter {
    pub(crate) fn new(endpoint: Uri, spans: mpsc::Receiver<Span>, tally: Arc<Tally>) -> Self {
        Self {
            endpoint,
            spans,
            tally,
            kept: None,
        }
    }

    /// Exports until all lanes have ended and their last spans are told.
    pub(crate) async fn run(mut self) {
        let mut batch = Vec::new();
        while self.spans.recv_many(&mut batch, BATCH).await > 0 {
            let is_over = self.gather(&mut batch).await;
            let tries = if is_over { 1 } else { TRIES };
            self.export(&batch, tries).await;
            batch.clear();
        }
    }

    /// Waits a moment for more. Returns whether there will be none.
    async fn gather(&mut self, batch: &mut Vec<Span>) -> bool {
        let fill = async {
            while batch.len() < BATCH {
                if self.spans.recv_many(batch, BATCH - batch.len()).await == 0 {
                    return true;
                }
            }
            false
        };
        timeout(BATCH_INTERVAL, fill).await.unwrap_or(false)
    }

    async fn export(&mut self, batch: &[Span], tries: u32) {
        for left in (0..tries).rev() {
            let sent = timeout(EXPORT_TIMEOUT, self.send(batch)).await;
            let error = match sent.unwrap_or(Err(ExportError::Late)) {
                Ok(()) => return self.tally.export(batch.len()),
                Err(error) => error,
            };
            self.kept = None;
            let spans = batch.len();
            if left == 0 || !error.is_passing() {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, spans, "spans are lost");
                break;
            }
            tracing::debug!(%error, spans, "sending spans once more");
            sleep(BACK_OFF).await;
        }
        self.tally.lose(batch.len());
    }

    async fn send(&mut self, batch: &[Span]) -> Result<(), ExportError> {
        let body = serde_json::to_vec(&otlp::body(batch))?;
        let host = self.endpoint.authority().map_or("", |at| at.as_str());
        let json = HeaderValue::from_static("application/json");
        let request = Request::builder()
            .method(Method::POST)
            .uri(path(&self.endpoint))
            .header(HOST, host)
            .header(CONTENT_TYPE, json)
            .body(Full::from(body))?;
        let kept = self.kept.take().filter(|kept| !kept.is_closed());
        let mut connection = match kept {
            Some(kept) => kept,
            None => connect(&self.endpoint).await?,
        };
        connection.ready().await?;
        let response = connection.send_request(request).await?;
        let status = response.status();
        if !status.is_success() {
            return Err(ExportError::Refused(status));
        }
        let answer = Limited::new(response.into_body(), MAX_ANSWER_BYTES);
        self.kept = answer.collect().await.is_ok().then_some(connection);
        Ok(())
    }
}

async fn connect(endpoint: &Uri) -> Result<http1::SendRequest<Full<Bytes>>, ExportError> {
    let host = endpoint.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = endpoint.port_u16().unwrap_or(80);
    let stream = TcpStream::connect((host, port));
    let stream = stream.await.map_err(ExportError::Connect)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    spawn_local(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "the connection to the collector broke");
        }
    });
    Ok(sender)
}

/// Where spans go below an endpoint, as with `OTEL_EXPORTER_OTLP_ENDPOINT`.
fn path(endpoint: &Uri) -> String {
    let base = endpoint.path().trim_end_matches('/');
    format!("{base}/v1/traces")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_go_below_the_endpoint() {
        for (endpoint, expected) in [
            ("http://127.0.0.1:4318", "/v1/traces"),
            ("http://127.0.0.1:4318/", "/v1/traces"),
            ("http://collector/otlp/", "/otlp/v1/traces"),
        ] {
            assert_eq!(path(&endpoint.parse().unwrap()), expected);
        }
    }
}
