//! What the fuzz targets share: hyper's server as the second opinion, and rules for what the router
//! writes. It knows the router only through `router::fuzzing`.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{
    Request, Response,
    body::{Body, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::AsyncWriteExt,
    runtime::{Builder, Runtime},
};

/// A request as hyper's server reads it.
#[derive(Debug)]
pub struct Read {
    pub method: String,
    pub target: String,
    /// Names in lower case, in order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// `None` of chunks.
    pub length: Option<u64>,
    /// If all of it was there.
    pub body: Option<Vec<u8>>,
}

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().build().expect("a runtime");
}

/// The first request that hyper finds in the bytes; `None` if it refuses them.
pub fn hyper_reads(bytes: &[u8]) -> Option<Read> {
    RUNTIME.with(|runtime| runtime.block_on(read(bytes)))
}

async fn read(bytes: &[u8]) -> Option<Read> {
    let found = Arc::new(Mutex::new(None));
    let kept = Arc::clone(&found);
    let service = service_fn(move |request: Request<Incoming>| {
        let kept = Arc::clone(&kept);
        async move {
            let is_first = kept.lock().expect("one thread").is_none();
            if is_first {
                let (parts, body) = request.into_parts();
                let length = body.size_hint().exact();
                let read = Read {
                    method: parts.method.to_string(),
                    target: parts.uri.to_string(),
                    headers: parts
                        .headers
                        .iter()
                        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
                        .collect(),
                    length,
                    body: None,
                };
                *kept.lock().expect("one thread") = Some(read);
                if let Ok(whole) = body.collect().await {
                    let mut found = kept.lock().expect("one thread");
                    if let Some(read) = found.as_mut() {
                        read.body = Some(whole.to_bytes().to_vec());
                    }
                }
            }
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    });
    let (mut client, server) = tokio::io::duplex(bytes.len() + 1);
    client.write_all(bytes).await.ok()?;
    client.shutdown().await.ok()?;
    let serve = http1::Builder::new()
        .max_headers(1000)
        .half_close(true)
        .serve_connection(TokioIo::new(server), service);
    // Answers are read so that the connection can go on to its end.
    let mut answers = Vec::new();
    let (_, _) = tokio::join!(
        serve,
        tokio::io::AsyncReadExt::read_to_end(&mut client, &mut answers)
    );
    found.lock().expect("one thread").take()
}

/// What the router writes can be read in one way only: lines end in CR LF, framing is said once,
/// no byte that anybody could take for a line end. Gives the header lines.
pub fn strict_lines(written: &[u8]) -> Vec<(String, Vec<u8>)> {
    let text = written
        .strip_suffix(b"\r\n\r\n")
        .expect("a head ends with an empty line");
    let mut lines = text
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let mut without_ends = text.to_vec();
    without_ends = replace_line_ends(&without_ends);
    assert!(
        !without_ends
            .iter()
            .any(|byte| matches!(byte, b'\r' | b'\n' | 0)),
        "a bare line end or zero in what is written"
    );
    lines.next();
    let mut headers = Vec::new();
    for line in lines {
        let colon = line
            .iter()
            .position(|byte| *byte == b':')
            .expect("a header line has a colon");
        let (name, value) = line.split_at(colon);
        assert!(!name.is_empty(), "an empty name");
        assert!(
            name.iter()
                .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte)),
            "a name that is no token"
        );
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        headers.push((name, value[1..].trim_ascii().to_vec()));
    }
    let count = |name: &str| headers.iter().filter(|(other, _)| other == name).count();
    assert!(
        count("content-length") + count("transfer-encoding") <= 1,
        "framing is said twice"
    );
    headers
}

fn replace_line_ends(bytes: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(b"\r\n") {
            rest = after;
        } else {
            kept.push(*first);
            rest = after;
        }
    }
    kept
}

/// Headers of which the router and a client may say different things.
pub const REWRITTEN: &[&str] = &[
    "host",
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
    "content-length",
    "expect",
    "trailer",
    "via",
    "x-request-id",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-port",
    "x-request-start",
];

/// A header's values.
pub fn values<'a>(headers: &'a [(String, Vec<u8>)], name: &str) -> Vec<&'a [u8]> {
    let all = headers.iter().filter(|(other, _)| other == name);
    all.map(|(_, value)| value.as_slice()).collect()
}
