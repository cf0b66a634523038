//! Whether a dyno serves on its port: one connection, one request.

use std::{io, net::SocketAddr, time::Duration};

use engine::{HttpQuestion, Probe};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// As much of an answer as its status line needs.
const STATUS_LINE_BYTES: usize = 64;
/// The rest of an answer is read up to here, so that the app does not find its client gone.
const REST_BYTES: u64 = 16 << 20;
/// How long the rest may take.
const REST_TIMEOUT: Duration = Duration::from_secs(10);

/// Asks at the address; without a question, whether it accepts.
pub(crate) async fn probe(
    address: SocketAddr,
    question: Option<&HttpQuestion>,
    timeout: Duration,
) -> Probe {
    let deadline = tokio::time::Instant::now() + timeout;
    let Ok(Ok(stream)) = tokio::time::timeout_at(deadline, TcpStream::connect(address)).await
    else {
        return Probe::Refused;
    };
    let Some(question) = question else {
        return Probe::Answered { status: None };
    };
    let request = request(address, question);
    match tokio::time::timeout_at(deadline, ask(stream, &request)).await {
        Ok(Ok((answer, stream))) if !answer.is_empty() => {
            tokio::spawn(hear_out(stream));
            Probe::Answered {
                status: status(&answer),
            }
        }
        _ => Probe::Silent,
    }
}

/// Reads the rest of an answer and forgets it.
async fn hear_out(stream: TcpStream) {
    let mut rest = stream.take(REST_BYTES);
    let mut nowhere = tokio::io::sink();
    let read = tokio::io::copy(&mut rest, &mut nowhere);
    if !matches!(tokio::time::timeout(REST_TIMEOUT, read).await, Ok(Ok(_))) {
        tracing::debug!("an answer to a probe did not end");
    }
}

/// The request in full. Who may ask has made sure that nothing in it ends a line.
fn request(address: SocketAddr, question: &HttpQuestion) -> String {
    let host = address.to_string();
    let mut request = format!("GET {} HTTP/1.1\r\n", question.path);
    let own = [
        ("Host", host.as_str()),
        ("User-Agent", "Landfall-Probe/1"),
        ("Accept", "*/*"),
        ("Connection", "close"),
    ];
    let is_given = |name: &str| {
        let mut given = question.headers.keys();
        given.any(|given| given.eq_ignore_ascii_case(name))
    };
    let own = own.into_iter().filter(|(name, _)| !is_given(name));
    let given = question
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in own.chain(given) {
        request.extend([name, ": ", value, "\r\n"]);
    }
    request.push_str("\r\n");
    request
}

/// The first bytes of the answer, and the connection.
async fn ask(mut stream: TcpStream, request: &str) -> io::Result<(Vec<u8>, TcpStream)> {
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    while answer.len() < STATUS_LINE_BYTES && !answer.contains(&b'\n') {
        if stream.read_buf(&mut answer).await? == 0 {
            break;
        }
    }
    Ok((answer, stream))
}

/// The status of an HTTP/1 answer that begins with these bytes.
fn status(answer: &[u8]) -> Option<u16> {
    let line = str::from_utf8(answer.split(|byte| *byte == b'\n').next()?).ok()?;
    let (version, rest) = line.split_once(' ')?;
    let status = rest.split_ascii_whitespace().next()?;
    let is_http = version.starts_with("HTTP/1.") && status.len() == 3;
    is_http.then(|| status.parse().ok())?
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn check(answer: &str, expected: Option<u16>) {
        assert_eq!(status(answer.as_bytes()), expected, "{answer:?}");
    }

    #[test]
    fn the_status_is_read_from_the_first_line() {
        check("HTTP/1.1 200 OK\r\n", Some(200));
        check("HTTP/1.0 503\r\n", Some(503));
        check("HTTP/1.1 20 OK\r\n", None);
        check("SSH-2.0-OpenSSH\r\n", None);
        check("", None);
    }

    #[test]
    fn headers_go_before_those_every_request_has() {
        let question = HttpQuestion {
            path: "/health".to_owned(),
            headers: [("host".to_owned(), "example.com".to_owned())].into(),
        };
        assert_eq!(
            request(([10, 0, 0, 1], 80).into(), &question),
            "GET /health HTTP/1.1\r\nUser-Agent: Landfall-Probe/1\r\nAccept: */*\r\n\
             Connection: close\r\nhost: example.com\r\n\r\n"
        );
    }

    #[tokio::test]
    async fn a_port_is_refused_silent_or_answers() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let short = Duration::from_millis(50);
        let question = engine::Question::default().http;
        let ask = |timeout| probe(address, question.as_ref(), timeout);
        assert_eq!(ask(short).await, Probe::Silent);
        let served = async {
            // The first connection in the queue is the one that gave up.
            drop(listener.accept().await.unwrap());
            let (mut stream, _) = listener.accept().await.unwrap();
            stream
                .write_all(b"HTTP/1.1 404 Not Found\r\n\r\n")
                .await
                .unwrap();
            stream
        };
        let (found, stream) = tokio::join!(ask(Duration::from_secs(10)), served);
        assert_eq!(found, Probe::Answered { status: Some(404) });
        drop((listener, stream));
        assert_eq!(ask(Duration::from_secs(10)).await, Probe::Refused);
    }
}
