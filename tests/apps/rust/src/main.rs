//! A small shop front: greets, and numbers its visits.

use std::{
    env,
    io::{self, BufRead, BufReader, Write},
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

fn serve(connection: TcpStream) -> io::Result<()> {
    let mut lines = BufReader::new(connection.try_clone()?).lines();
    let request = lines.next().unwrap_or(Ok(String::new()))?;
    let path = request.split(' ').nth(1).unwrap_or("/");
    // The rest of the head, up to the empty line.
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let body = greeting::words(path, VISITS.fetch_add(1, Ordering::Relaxed) + 1);
    let length = body.len();
    write!(
        &connection,
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}
