//! The app behind the proxies: answers of fixed sizes, at next to no cost.
//!
//! `/1k` and `/64k` are bodies of that size, `/sink` takes any body, `/head` answers with the head
//! it was asked with, `/socket` echoes WebSocket messages. It prints its port.

use anyhow::Result;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{
    spawn, tell,
    wire::{self, body},
};

/// Of every WebSocket message: the longest of those with the shortest head.
pub(crate) const MESSAGE_BYTES: usize = 125;
/// What a client sends: two bytes of head, four of mask.
pub(crate) const MASKED_BYTES: usize = MESSAGE_BYTES + 6;
/// What it gets.
pub(crate) const ECHO_BYTES: usize = MESSAGE_BYTES + 2;
/// The example of RFC 6455 §1.3, so that nobody has to hash anything.
pub(crate) const SOCKET_KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const SOCKET_ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Serves for ever.
pub(crate) async fn run() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    tell(&listener.local_addr()?.port().to_string());
    let answers: &'static Answers = Box::leak(Box::new(Answers::new()));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        spawn(async move {
            // A client that breaks off is no concern of an app.
            drop(serve(stream, answers).await);
        });
    }
}

struct Answers {
    small: Vec<u8>,
    large: Vec<u8>,
    taken: Vec<u8>,
}

impl Answers {
    fn new() -> Self {
        Self {
            small: answer(&body(1024)),
            large: answer(&body(64 * 1024)),
            taken: answer(b"taken"),
        }
    }
}

/// As many headers as an app's framework sends.
fn answer(body: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "HTTP/1.1 200 OK\r\nServer: app\r\nDate: Thu, 19 Feb 2026 08:00:00 GMT\r\n\
         Content-Type: text/plain; charset=utf-8\r\nCache-Control: no-cache\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

async fn serve(mut stream: TcpStream, answers: &Answers) -> Result<()> {
    let mut bytes = Vec::with_capacity(128 * 1024);
    while let Some(message) = wire::read_message(&mut stream, &mut bytes).await? {
        let head = bytes.get(..message.head).unwrap_or_default();
        let target = head.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
        match target {
            b"/64k" => stream.write_all(&answers.large).await?,
            b"/sink" => stream.write_all(&answers.taken).await?,
            b"/head" => {
                let shown = answer(head);
                stream.write_all(&shown).await?;
            }
            b"/socket" => return echo(stream).await,
            _ => stream.write_all(&answers.small).await?,
        }
        bytes.drain(..message.whole);
    }
    Ok(())
}

/// WebSocket messages of [`MESSAGE_BYTES`], unmasked and sent back.
async fn echo(mut stream: TcpStream) -> Result<()> {
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {SOCKET_ACCEPT}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    let mut masked = [0; MASKED_BYTES];
    loop {
        stream.read_exact(&mut masked).await?;
        let (head, message) = masked.split_at(6);
        let mask = head.get(2..).unwrap_or_default().iter().cycle();
        let mut echo = Vec::with_capacity(ECHO_BYTES);
        echo.extend([0x82, 125]);
        echo.extend(message.iter().zip(mask).map(|(byte, mask)| byte ^ mask));
        stream.write_all(&echo).await?;
    }
}
