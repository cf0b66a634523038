//! Serves `200 ok` on `$PORT`, a thread for each connection, which lasts as long as the client likes.
//! No part of xtask: `rustc` builds it alone.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn main() {
    let port = std::env::var("PORT").expect("PORT is set");
    let port: u16 = port.parse().expect("PORT is a port");
    let listener = TcpListener::bind(("0.0.0.0", port)).expect("the port is free");
    for stream in listener.incoming().flatten() {
        let thread = std::thread::Builder::new().stack_size(64 << 10);
        // Without a thread the connection is dropped, which its client notices.
        drop(thread.spawn(move || serve(stream)));
    }
}

/// A request is whatever ends with an empty line.
fn serve(mut stream: TcpStream) {
    drop(stream.set_nodelay(true));
    let mut request = [0; 4096];
    let mut length = 0;
    while let Ok(more @ 1..) = stream.read(&mut request[length..]) {
        length += more;
        if !request[..length].ends_with(b"\r\n\r\n") {
            continue;
        }
        length = 0;
        if stream.write_all(ANSWER).is_err() {
            return;
        }
    }
}
