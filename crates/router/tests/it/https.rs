//! TLS, HTTP/1.1 and HTTP/2 by ALPN.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, client::conn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ClientConfig, HandshakeKind, RootCertStore,
    crypto::ring::default_provider as provider,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::support::{Bench, Dyno, HOST, text, within};

pub(crate) async fn connect(bench: &Bench, protocol: &[u8]) -> TlsStream<TcpStream> {
    connect_with(bench, |config| {
        config.alpn_protocols = vec![protocol.to_vec()];
    })
    .await
}

/// A connection that was made for no host in particular.
pub(crate) async fn connect_to_nobody(bench: &Bench) -> TlsStream<TcpStream> {
    connect_with(bench, |config| config.enable_sni = false).await
}

async fn connect_with(
    bench: &Bench,
    adapt: impl FnOnce(&mut ClientConfig),
) -> TlsStream<TcpStream> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots(bench))
        .with_no_client_auth();
    adapt(&mut config);
    let stream = TcpStream::connect(bench.https()).await.unwrap();
    let name = ServerName::try_from(HOST).unwrap();
    within(TlsConnector::from(Arc::new(config)).connect(name, stream))
        .await
        .unwrap()
}

fn roots(bench: &Bench) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let own = CertificateDer::from_pem_slice(bench.certificate.as_bytes()).unwrap();
    roots.add(own).unwrap();
    roots
}

async fn dyno() -> Dyno {
    Dyno::answering("web.1", |request| async move {
        let shown = ["host", "x-forwarded-proto", "via"]
            .map(|name| request.headers()[name].to_str().unwrap().to_owned());
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let body = String::from_utf8(body.to_vec()).unwrap();
        Response::new(text(format!("{} {body}", shown.join(" "))))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn http1_over_tls() {
    let mut bench = Bench::new().await;
    let dyno = dyno().await;
    bench.serve(&[&dyno]).await;
    let stream = connect(&bench, b"http/1.1").await;
    let (mut sender, connection) = conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::builder().uri("/").header("host", HOST);
    let request = request.body(Full::new(Bytes::from("hello"))).unwrap();
    let response = within(sender.send_request(request)).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "example.localhost https 1.1 landfall hello");
    assert!(bench.line().await.ends_with("protocol=https"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_resumed_on_whichever_thread_it_comes_to() {
    let mut bench = Bench::new().await;
    let dyno = dyno().await;
    bench.serve(&[&dyno]).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots(&bench))
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let connector = TlsConnector::from(Arc::new(config));
        let mut kinds = Vec::new();
        // The kernel deals connections out to the threads: among so many, each gets some.
        for _ in 0..24 {
            let stream = TcpStream::connect(bench.https()).await.unwrap();
            let name = ServerName::try_from(HOST).unwrap();
            let mut stream = within(connector.connect(name, stream)).await.unwrap();
            let request = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            within(stream.read_to_end(&mut answer)).await.unwrap();
            kinds.push(stream.get_ref().1.handshake_kind());
        }
        assert_eq!(kinds.remove(0), Some(HandshakeKind::Full));
        let is_resumed = |kind: &Option<HandshakeKind>| *kind == Some(HandshakeKind::Resumed);
        assert!(kinds.iter().all(is_resumed), "{version:?}: {kinds:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_with_many_streams() {
    let mut bench = Bench::new().await;
    let dyno = dyno().await;
    bench.serve(&[&dyno]).await;
    let stream = connect(&bench, b"h2").await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (sender, connection) = conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let mut requests = tokio::task::JoinSet::new();
    for number in 0..50 {
        let mut sender = sender.clone();
        requests.spawn(async move {
            let request = Request::builder()
                .method("POST")
                .uri(format!("https://{HOST}/{number}"))
                .body(Full::new(Bytes::from(number.to_string())))
                .unwrap();
            let response = within(sender.send_request(request)).await.unwrap();
            assert_eq!(response.status(), 200);
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(
                body,
                format!("example.localhost https 2.0 landfall {number}")
            );
        });
    }
    while let Some(request) = requests.join_next().await {
        request.unwrap();
    }
}
