//! One request and its whole answer, for whoever wants to look at it before measuring.
//!
//! `ask address=… path=… host=N [upload=BYTES] [tls=true]` prints the answer's head and what is
//! to be known of its body, as JSON.

use anyhow::{Context, Result};
use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::{
    arguments::Arguments,
    load::Target,
    tell,
    wire::{Framing, body, read_message},
};

/// Asks.
pub(crate) async fn run(arguments: &Arguments) -> Result<()> {
    let target = Target::new(arguments)?;
    let host: usize = arguments.value("host")?;
    let mut stream = target.connect(host).await?;
    let requests = target.requests("Connection: close\r\n");
    stream
        .write_all(requests.get(host).context("there are fewer hosts")?)
        .await?;
    let mut bytes = Vec::new();
    let message = read_message(&mut stream, &mut bytes)
        .await?
        .context("no answer")?;
    let (head, rest) = bytes.split_at(message.head);
    let whole = match Framing::of(head)? {
        Framing::Length(_) => rest.to_vec(),
        Framing::Chunks => unchunked(rest)?,
    };
    tell(
        &json!({
            "head": String::from_utf8_lossy(head),
            "length": whole.len(),
            "is_pattern": whole == body(whole.len()),
            "body": if whole.len() < 4096 { String::from_utf8_lossy(&whole) } else { "".into() },
        })
        .to_string(),
    );
    Ok(())
}

fn unchunked(mut rest: &[u8]) -> Result<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let end = rest
            .iter()
            .position(|byte| *byte == b'\r')
            .context("a size")?;
        let size = std::str::from_utf8(rest.get(..end).context("within")?)?;
        let size = usize::from_str_radix(size, 16)?;
        if size == 0 {
            return Ok(whole);
        }
        let chunk = rest.get(end + 2..end + 2 + size).context("a whole chunk")?;
        whole.extend_from_slice(chunk);
        rest = rest.get(end + 4 + size..).context("another chunk")?;
    }
}
