//! Talking to a running dyno's shim.

use std::{fs::File, io, os::fd::AsRawFd, path::Path, time::Duration};

use shim::{
    control::{Answer, MAX_REQUEST_BYTES, Request},
    files,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

/// A shim answers at once; one that does not is stuck with its disk or host.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Asks the shim of the dyno in `directory`. The connection goes on with what the request is for.
///
/// # Errors
/// `ConnectionRefused`, `NotFound` or `UnexpectedEof` when the shim has gone.
pub(crate) async fn ask(directory: &Path, request: Request) -> io::Result<(UnixStream, Answer)> {
    tokio::time::timeout(ANSWER_TIMEOUT, exchange(directory, request))
        .await
        .map_err(|_| io::ErrorKind::TimedOut)?
}

async fn exchange(directory: &Path, request: Request) -> io::Result<(UnixStream, Answer)> {
    // The address of a socket is short, the path of a directory may not be.
    let short = File::open(directory)?;
    let address = format!("/proc/self/fd/{}/{}", short.as_raw_fd(), files::CONTROL);
    let mut stream = UnixStream::connect(address).await?;
    let mut line = serde_json::to_vec(&request)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    let mut answer = Vec::new();
    // Byte by byte: what follows the line is not ours to read.
    while answer.len() < MAX_REQUEST_BYTES {
        match stream.read_u8().await? {
            b'\n' => return Ok((stream, serde_json::from_slice(&answer)?)),
            byte => answer.push(byte),
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}
