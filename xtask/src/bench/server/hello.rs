//! Serves `200 ok` on `$PORT`, one connection after the other. No part of xtask: `rustc` builds it
//! alone.

use std::{
    io::{Read, Write},
    net::TcpListener,
};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

fn main() {
    let port = std::env::var("PORT").expect("PORT is set");
    let port: u16 = port.parse().expect("PORT is a port");
    let listener = TcpListener::bind(("0.0.0.0", port)).expect("the port is free");
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else { continue };
        let mut request = [0; 1024];
        if matches!(stream.read(&mut request), Ok(1..)) {
            // A client that has left needs no answer.
            drop(stream.write_all(ANSWER));
        }
    }
}
