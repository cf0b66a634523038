//! A small shop front: greets, and numbers its visits.

use std::{
    env,
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

static VISITS: AtomicU64 = AtomicU64::new(0);

fn main() -> io::Result<()> {
    let port = env::var("PORT").map_err(io::Error::other)?;
    let listener = TcpListener::bind(format!("0.0.0.0:{port}"))?;
    for connection in listener.incoming().flatten() {
        thread::spawn(move || {
            if let Err(error) = serve(connection) {
                eprintln!("a visitor was lost: {error}");
            }
        });
    }
    Ok(())
}

fn serve(mut connection: TcpStream) -> io::Result<()> {
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    let path = loop {
        let length = connection.read(&mut piece)?;
        if length == 0 {
            return Ok(());
        }
        head.extend_from_slice(&piece[..length]);
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut headers);
        if request.parse(&head).map_err(io::Error::other)?.is_complete() {
            break request.path.unwrap_or("/").to_owned();
        }
    };
    let visit = VISITS.fetch_add(1, Ordering::Relaxed) + 1;
    let body = format!("Hello from Rust, visit {visit} of {path}\n");
    write!(
        connection,
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}
