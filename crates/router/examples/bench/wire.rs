//! Just enough HTTP/1.1 for two ends that know each other: where a head ends, how long a body is.

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The byte at a place of every body.
pub(crate) fn body(length: usize) -> Vec<u8> {
    (b'a'..=b'z').cycle().take(length).collect()
}

/// The length of the head with its empty line, once all of it is there.
pub(crate) fn head_end(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = bytes.get(from..)?.iter().position(|byte| *byte == b'\r') {
        if bytes.get(from + at..)?.starts_with(b"\r\n\r\n") {
            return Some(from + at + 4);
        }
        from += at + 1;
    }
    None
}

/// A header's value, whatever the case of its name.
pub(crate) fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a [u8]> {
    head.split(|byte| *byte == b'\n').find_map(|line| {
        let (start, value) = line.split_at_checked(name.len())?;
        let value = value.strip_prefix(b":")?;
        start
            .eq_ignore_ascii_case(name.as_bytes())
            .then(|| value.trim_ascii())
    })
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// After so many bytes.
    Length(usize),
    /// With its last chunk.
    Chunks,
}

impl Framing {
    /// Of a message whose body, if it has any, is framed.
    pub(crate) fn of(head: &[u8]) -> Result<Self> {
        if let Some(length) = header(head, "content-length") {
            return Ok(Self::Length(std::str::from_utf8(length)?.parse()?));
        }
        Ok(match header(head, "transfer-encoding") {
            Some(_) => Self::Chunks,
            None => Self::Length(0),
        })
    }

    /// The end of a body that begins at `start`, if it is there. No body here holds an empty line,
    /// and none has trailers.
    fn end(self, bytes: &[u8], start: usize) -> Option<usize> {
        match self {
            Self::Length(length) => (bytes.len() >= start + length).then_some(start + length),
            Self::Chunks => {
                let rest = bytes.get(start..)?;
                (rest == b"0\r\n\r\n" || rest.ends_with(b"\r\n0\r\n\r\n")).then_some(bytes.len())
            }
        }
    }
}

/// Where head and body of a message end within the bytes that were read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message {
    /// The head, with its empty line.
    pub(crate) head: usize,
    /// Head and body.
    pub(crate) whole: usize,
}

/// Reads one message; `None` if the other end has closed before its first byte. Whoever reads on
/// drains the message from the bytes first.
pub(crate) async fn read_message(
    stream: &mut (impl AsyncRead + Unpin),
    bytes: &mut Vec<u8>,
) -> Result<Option<Message>> {
    let mut head = None;
    let mut framing = Framing::Length(0);
    loop {
        if head.is_none() {
            head = head_end(bytes);
            if let Some(end) = head {
                framing = Framing::of(bytes.get(..end).context("within")?)?;
            }
        }
        if let Some(head) = head
            && let Some(whole) = framing.end(bytes, head)
        {
            return Ok(Some(Message { head, whole }));
        }
        if stream.read_buf(bytes).await? == 0 {
            ensure!(bytes.is_empty(), "cut off after {} bytes", bytes.len());
            return Ok(None);
        }
    }
}

/// An error unless the head says 200.
pub(crate) fn expect_success(head: &[u8]) -> Result<()> {
    if head.get(9..12) == Some(b"200") {
        return Ok(());
    }
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    bail!("answered {}", String::from_utf8_lossy(line))
}
