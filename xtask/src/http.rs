//! Just enough of an HTTP/1.1 client: one request per connection, plain text.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Longest wait for one answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// One request.
pub(crate) struct Request<'a> {
    /// Where to connect: `127.0.0.1:8080`.
    pub(crate) address: &'a str,
    /// The name asked for.
    pub(crate) host: &'a str,
    /// `GET`, `POST`.
    pub(crate) method: &'a str,
    /// Path and query.
    pub(crate) path: &'a str,
    /// Bearer token.
    pub(crate) token: Option<&'a str>,
    /// JSON to send.
    pub(crate) body: Option<&'a Value>,
}

/// One answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: u16,
    /// The body.
    pub(crate) body: String,
}

/// `GET path` from `host` at `address`.
pub(crate) fn get(address: &str, host: &str, path: &str) -> Result<Answer> {
    send(&Request {
        address,
        host,
        method: "GET",
        path,
        token: None,
        body: None,
    })
}

/// Sends a request and reads the whole answer.
pub(crate) fn send(request: &Request<'_>) -> Result<Answer> {
    let mut stream = TcpStream::connect(request.address)
        .with_context(|| format!("could not connect to {}", request.address))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    let body = request.body.map(Value::to_string).unwrap_or_default();
    let head = head(request, body.len());
    stream.write_all(format!("{head}\r\n{body}").as_bytes())?;
    let mut bytes = Vec::new();
    stream
        .read_to_end(&mut bytes)
        .context("the answer broke off")?;
    parse(&String::from_utf8_lossy(&bytes))
}

fn head(request: &Request<'_>, length: usize) -> String {
    let mut lines = vec![
        format!("{} {} HTTP/1.1", request.method, request.path),
        format!("Host: {}", request.host),
        "Connection: close".to_owned(),
        format!("Content-Length: {length}"),
    ];
    if let Some(token) = request.token {
        lines.push("Accept: application/vnd.heroku+json; version=3".to_owned());
        lines.push(format!("Authorization: Bearer {token}"));
    }
    if request.body.is_some() {
        lines.push("Content-Type: application/json".to_owned());
    }
    lines.push(String::new());
    lines.join("\r\n")
}

fn parse(text: &str) -> Result<Answer> {
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        bail!("no HTTP answer");
    };
    let status = head
        .split_whitespace()
        .nth(1)
        .and_then(|status| status.parse().ok())
        .context("the answer has no status")?;
    let is_chunked = head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked");
    let body = if is_chunked {
        joined(body)
    } else {
        body.to_owned()
    };
    Ok(Answer { status, body })
}

/// The chunks of a body, joined.
fn joined(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        let Some(chunk) = after.get(..size).filter(|_| size > 0) else {
            break;
        };
        body.push_str(chunk);
        rest = after.get(size + 2..).unwrap_or_default();
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, status: u16, body: &str) {
        assert_eq!(
            parse(text).unwrap(),
            Answer {
                status,
                body: body.to_owned()
            }
        );
    }

    #[test]
    fn answers() {
        check("HTTP/1.1 204 No Content\r\nA: b\r\n\r\n", 204, "");
        check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, "hi");
        check(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n1\r\n!\r\n0\r\n\r\n",
            200,
            "hi!",
        );
    }
}
