//! A request's body on its way into a git process, gunzipped if need be.

use std::io::{self, Write};

use axum::{
    body::{Body, BodyDataStream},
    extract::Request,
};
use bytes::Bytes;
use flate2::write::GzDecoder;
use futures_util::StreamExt;
use http::{HeaderMap, header};
use tokio::{io::AsyncWriteExt, process::ChildStdin};

/// Room for what surrounds a pack: past the largest pack git itself refuses, in better words.
const BESIDES_PACK_BYTES: u64 = 16 * 1024 * 1024;

/// A body as git sent it.
pub(crate) struct RequestBody {
    chunks: BodyDataStream,
    gunzip: Option<GzDecoder<Vec<u8>>>,
    /// Bytes, after unpacking, that may still come.
    left: u64,
}

impl RequestBody {
    pub(crate) fn new(request: Request<Body>, max_pack_bytes: u64) -> Self {
        let gunzip = is_gzip(request.headers()).then(|| GzDecoder::new(Vec::new()));
        Self {
            chunks: request.into_body().into_data_stream(),
            gunzip,
            left: max_pack_bytes.saturating_add(BESIDES_PACK_BYTES),
        }
    }

    /// Writes the body to git, then closes git's input. When git stops listening the rest is read
    /// and forgotten: a client that still sends would not see git's answer.
    pub(crate) async fn feed(mut self, mut stdin: ChildStdin) {
        while let Some(chunk) = self.next().await {
            let written = match chunk {
                Ok(chunk) => stdin.write_all(&chunk).await,
                Err(error) => Err(error),
            };
            if let Err(error) = written {
                tracing::debug!(%error, "git's input ended early");
                drop(stdin);
                while self.chunks.next().await.is_some_and(|chunk| chunk.is_ok()) {}
                return;
            }
        }
    }

    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        let chunk = match self.chunks.next().await {
            Some(Ok(chunk)) => self.unpack(chunk),
            Some(Err(error)) => return Some(Err(io::Error::other(error))),
            None => self.finish()?,
        };
        Some(chunk.and_then(|chunk| self.count(chunk)))
    }

    fn unpack(&mut self, chunk: Bytes) -> io::Result<Bytes> {
        let Some(gunzip) = &mut self.gunzip else {
            return Ok(chunk);
        };
        gunzip.write_all(&chunk)?;
        Ok(std::mem::take(gunzip.get_mut()).into())
    }

    /// What the end of a gzip stream still holds.
    fn finish(&mut self) -> Option<io::Result<Bytes>> {
        let gunzip = self.gunzip.take()?;
        Some(gunzip.finish().map(Bytes::from))
    }

    fn count(&mut self, chunk: Bytes) -> io::Result<Bytes> {
        let left = self.left.checked_sub(chunk.len() as u64);
        self.left = left.ok_or_else(|| io::Error::other("the request is too large"))?;
        Ok(chunk)
    }
}

fn is_gzip(headers: &HeaderMap) -> bool {
    let encoding = headers
        .get(header::CONTENT_ENCODING)
        .and_then(|value| value.to_str().ok());
    encoding.is_some_and(|encoding| matches!(encoding.trim(), "gzip" | "x-gzip"))
}
