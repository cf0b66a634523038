//! Real connections to a real port, by the clients the platform meets.

use std::path::PathBuf;

use async_trait::async_trait;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsConnector;

use super::*;
use crate::{
    authority::Names,
    rendezvous::{Duplex, Dyno, join},
};

const SECRET: &str = "rz-0123456789abcdef0123456789abcdef01234567";

/// A dyno that gives its input back, for the one secret.
struct Echo;

#[async_trait]
impl Rendezvous for Echo {
    async fn serve(&self, secret: &str, client: Box<dyn Duplex>) -> io::Result<()> {
        assert_eq!(secret, SECRET);
        let (near, far) = tokio::io::duplex(1024);
        tokio::spawn(async move {
            let (mut from, mut to) = tokio::io::split(far);
            tokio::io::copy(&mut from, &mut to).await
        });
        join(
            client,
            Dyno {
                stream: near,
                has_terminal: true,
            },
        )
        .await
    }
}

/// A listening server, ended when dropped.
struct Server {
    address: SocketAddr,
    ca: PathBuf,
    end: CancellationToken,
    _directory: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

impl Server {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let names = Names {
            hosts: vec!["localhost".to_owned()],
            addresses: vec![[127, 0, 0, 1].into()],
        };
        let clock = api::clock::Clock::system();
        let authority = Authority::open(directory.path(), names, clock).unwrap();
        let ca = authority.ca_pem();
        let router = axum::Router::new().route(
            "/peer",
            axum::routing::get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move {
                peer.ip().to_string()
            }),
        );
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = port.local_addr().unwrap();
        let end = CancellationToken::new();
        tokio::spawn(Listener::new(authority, router, Arc::new(Echo)).serve(port, end.clone()));
        Self {
            address,
            ca,
            end,
            _directory: directory,
        }
    }

    async fn plain(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn tls(&self) -> tokio_rustls::client::TlsStream<TcpStream> {
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(&self.ca).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = TlsConnector::from(Arc::new(config));
        connector
            .connect("localhost".try_into().unwrap(), self.plain().await)
            .await
            .unwrap()
    }
}

async fn check_http(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let request = "GET /peer HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    // In pieces: the first byte alone must not confuse the sniffing.
    let (first, rest) = request.split_at(1);
    stream.write_all(first.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    stream.write_all(rest.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n127.0.0.1"), "{answer}");
}

async fn check_rendezvous(mut stream: impl AsyncRead + AsyncWrite + Unpin, line_end: &str) {
    stream
        .write_all(format!("{SECRET}{line_end}").as_bytes())
        .await
        .unwrap();
    stream.flush().await.unwrap();
    let mut greeting = [0; 12];
    stream.read_exact(&mut greeting).await.unwrap();
    assert_eq!(&greeting, b"rendezvous\r\n");
    stream.write_all(b"hello").await.unwrap();
    stream.flush().await.unwrap();
    let mut echo = [0; 5];
    stream.read_exact(&mut echo).await.unwrap();
    assert_eq!(&echo, b"hello");
}

#[tokio::test]
async fn one_port_for_tls_and_plain_http() {
    let server = Server::start().await;
    check_http(server.plain().await).await;
    check_http(server.tls().await).await;
}

#[tokio::test]
async fn the_same_port_for_rendezvous_with_and_without_line_end() {
    let server = Server::start().await;
    check_rendezvous(server.tls().await, "\r\n").await;
    check_rendezvous(server.tls().await, "").await;
    check_rendezvous(server.plain().await, "\r\n").await;
}

#[tokio::test]
async fn http2_without_upgrade() {
    let server = Server::start().await;
    let stream = TokioIo::new(server.plain().await);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream)
            .await
            .unwrap();
    tokio::spawn(connection);
    let request = hyper::Request::get("http://localhost/peer")
        .body(http_body_util::Empty::<bytes::Bytes>::new())
        .unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), 200);
}

#[tokio::test]
async fn nothing_is_accepted_after_the_end() {
    let server = Server::start().await;
    check_http(server.plain().await).await;
    server.end.cancel();
    let refused = async {
        while let Ok(mut stream) = TcpStream::connect(server.address).await {
            drop(stream.read(&mut [0]).await);
        }
    };
    timeout(PATIENCE, refused).await.unwrap();
}
