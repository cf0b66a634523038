//! A request's body on its way into a git process, gunzipped if need be.

use std::{
    io::{self, Write},
    time::Duration,
};

use axum::{
    body::{Body, BodyDataStream},
    extract::Request,
};
use bytes::Bytes;
use flate2::write::GzDecoder;
use futures_util::StreamExt;
use http::{HeaderMap, header};
use tokio::{io::AsyncWriteExt, process::ChildStdin, time::timeout};

/// Room for what surrounds a pack: past the largest pack git itself refuses, in better words.
const BESIDES_PACK_BYTES: u64 = 16 * 1024 * 1024;

/// A client that sends nothing for so long counts as gone.
const LONGEST_SILENCE: Duration = Duration::from_mins(1);
/// Bytes unpacked at once: gzip can make a thousand times as many of them.
const PACKED_BYTES: usize = 16 * 1024;

/// A body as git sent it.
pub(crate) struct RequestBody {
    chunks: BodyDataStream,
    gunzip: Option<GzDecoder<Vec<u8>>>,
    /// What has come and is not yet unpacked.
    packed: Bytes,
    /// Bytes, after unpacking, that may still come.
    left: u64,
}

impl RequestBody {
    pub(crate) fn new(request: Request<Body>, max_pack_bytes: u64) -> Self {
        let gunzip = is_gzip(request.headers()).then(|| GzDecoder::new(Vec::new()));
        Self {
            chunks: request.into_body().into_data_stream(),
            gunzip,
            packed: Bytes::new(),
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
                while let Ok(Some(Ok(_))) = timeout(LONGEST_SILENCE, self.chunks.next()).await {}
                return;
            }
        }
    }

    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        if self.packed.is_empty() {
            match timeout(LONGEST_SILENCE, self.chunks.next()).await {
                Ok(Some(Ok(chunk))) => self.packed = chunk,
                Ok(Some(Err(error))) => return Some(Err(io::Error::other(error))),
                Ok(None) => {
                    let rest = self.finish()?;
                    return Some(rest.and_then(|rest| self.count(rest)));
                }
                Err(silent) => return Some(Err(silent.into())),
            }
        }
        let chunk = self.unpack();
        Some(chunk.and_then(|chunk| self.count(chunk)))
    }

    fn unpack(&mut self) -> io::Result<Bytes> {
        let Some(gunzip) = &mut self.gunzip else {
            return Ok(std::mem::take(&mut self.packed));
        };
        let piece = self.packed.split_to(self.packed.len().min(PACKED_BYTES));
        gunzip.write_all(&piece)?;
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

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn body(content: Body, is_packed: bool) -> RequestBody {
        let mut request = Request::new(content);
        if is_packed {
            let gzip = http::HeaderValue::from_static("gzip");
            request.headers_mut().insert(header::CONTENT_ENCODING, gzip);
        }
        RequestBody::new(request, 1 << 30)
    }

    #[tokio::test]
    async fn a_packed_body_is_unpacked_piece_by_piece() {
        let mut packer = GzEncoder::new(Vec::new(), Compression::best());
        packer.write_all(&vec![0; 64 << 20]).unwrap();
        let mut body = body(packer.finish().unwrap().into(), true);
        let mut total = 0;
        while let Some(piece) = body.next().await {
            let piece = piece.unwrap();
            assert!(piece.len() < 2048 * PACKED_BYTES, "{}", piece.len());
            total += piece.len();
        }
        assert_eq!(total, 64 << 20);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_counts_as_gone() {
        let silence = Body::from_stream(futures_util::stream::pending::<io::Result<Bytes>>());
        let ended = body(silence, false).next().await.unwrap().unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::TimedOut);
    }
}
