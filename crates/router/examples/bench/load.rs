//! The load: requests over kept or new connections, plain, TLS or HTTP/2, as fast as answers come
//! or at a fixed rate, and what they cost the proxy.
//!
//! `load how=… address=… watch=PID warm=MS measure=MS …` prints one JSON line. Ways (`how`):
//! `kept` and `new` connections, `h2`, `socket`, and `paced` (see [`crate::paced`]).

use std::{rc::Rc, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep},
};
use tokio_rustls::TlsConnector;

use crate::{
    app::{ECHO_BYTES, MASKED_BYTES, SOCKET_KEY},
    arguments::Arguments,
    paced, spawn,
    tally::Tally,
    tell,
    used::Family,
    wire::{self, expect_success, head_end, read_message},
};

/// Requests under way at a time on one HTTP/2 connection.
const STREAMS: usize = 8;

/// After a failure, so that a proxy that refuses is not asked in a frenzy.
const BREATH: Duration = Duration::from_millis(10);

/// What is asked, and where.
pub(crate) struct Target {
    pub(crate) address: String,
    pub(crate) path: String,
    /// Bytes of a request's body; GET without.
    upload: usize,
    hosts: usize,
    tls: Option<TlsConnector>,
}

/// A plain or a TLS connection.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Runs it.
pub(crate) async fn run(arguments: &Arguments) -> Result<()> {
    let how = arguments.text("how")?;
    let connections: usize = arguments.value("connections")?;
    let target = Rc::new(Target::new(arguments)?);
    let family = Family::of(arguments.value("watch")?);
    let tally = Rc::new(Tally::new());
    if how == "paced" {
        paced::begin(&target, &tally, (connections, arguments.value("rate")?));
    } else {
        for index in 0..connections {
            let (target, tally) = (Rc::clone(&target), Rc::clone(&tally));
            spawn(repeat(how.to_owned(), target, tally, index));
        }
    }
    sleep(Duration::from_millis(arguments.value("warm")?)).await;
    let before = family.cpu_ns()?;
    let start = Instant::now();
    tally.begin();
    sleep(Duration::from_millis(arguments.value("measure")?)).await;
    tally.end();
    let (took, after) = (start.elapsed(), family.cpu_ns()?);
    ensure!(
        tally.answers() > 0,
        "nothing was answered: {}",
        tally.report(took, 0)
    );
    tell(&tally.report(took, after - before).to_string());
    Ok(())
}

/// One of many connections, and the next one if it breaks, until the run is over.
async fn repeat(how: String, target: Rc<Target>, tally: Rc<Tally>, index: usize) {
    while tally.goes_on() {
        if let Err(error) = one(&how, &target, &tally, index).await {
            tally.failed(&error);
            sleep(BREATH).await;
        }
    }
}

/// What one of many connections does until it breaks or the run is over.
async fn one(how: &str, target: &Target, tally: &Rc<Tally>, index: usize) -> Result<()> {
    match how {
        "kept" => kept(target, tally, index).await,
        "new" => fresh(target, tally, index).await,
        "h2" => multiplexed(target, tally, index).await,
        "socket" => socket(target, tally, index).await,
        other => anyhow::bail!("there is no way {other}"),
    }
}

/// One request after the other on one connection.
async fn kept(target: &Target, tally: &Tally, index: usize) -> Result<()> {
    let mut stream = target.connect(index).await?;
    let mut bytes = Vec::with_capacity(128 * 1024);
    let requests = target.requests("");
    for request in requests.iter().cycle().skip(index * 7) {
        if !tally.goes_on() {
            break;
        }
        let sent = Instant::now();
        if !ask(&mut stream, request, &mut bytes).await? {
            // The proxy ended a kept connection, as it may.
            break;
        }
        tally.answered(sent);
    }
    Ok(())
}

/// One request on a connection that may have been closed; whether it was answered.
pub(crate) async fn ask(
    stream: &mut impl Stream,
    request: &[u8],
    bytes: &mut Vec<u8>,
) -> Result<bool> {
    bytes.clear();
    stream.write_all(request).await?;
    let Some(message) = read_message(stream, bytes).await? else {
        return Ok(false);
    };
    expect_success(bytes.get(..message.head).context("within")?)?;
    ensure!(message.whole == bytes.len(), "more than an answer came");
    Ok(true)
}

/// One request on a connection of its own.
async fn fresh(target: &Target, tally: &Tally, index: usize) -> Result<()> {
    let requests = target.requests("Connection: close\r\n");
    let request = requests.get(index % target.hosts).context("a host")?;
    while tally.goes_on() {
        let sent = Instant::now();
        let mut stream = target.connect(index).await?;
        let mut bytes = Vec::new();
        ensure!(ask(&mut stream, request, &mut bytes).await?, "no answer");
        // Whoever closes first remembers the connection for a minute: that is the proxy.
        let mut end = [0; 16];
        drop(stream.read(&mut end).await);
        tally.answered(sent);
    }
    Ok(())
}

/// Several requests at a time on one HTTP/2 connection.
async fn multiplexed(target: &Target, tally: &Rc<Tally>, index: usize) -> Result<()> {
    let stream = target.connect(index).await?;
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let mut lanes = Vec::new();
    for lane in 0..STREAMS {
        let (mut sender, tally) = (sender.clone(), Rc::clone(tally));
        let (path, hosts) = (target.path.clone(), target.hosts);
        lanes.push(spawn(async move {
            let mut turn = index * 7 + lane * 11;
            while tally.goes_on() {
                turn += 1;
                let sent = Instant::now();
                let request = hyper::Request::builder()
                    .uri(format!("https://h{}.localhost{path}", turn % hosts))
                    .header("user-agent", "bench")
                    .header("accept", "*/*")
                    .header("cookie", "session=0123456789abcdef0123456789abcdef")
                    .body(Empty::<Bytes>::new())?;
                sender.ready().await?;
                let answer = sender.send_request(request).await?;
                ensure!(answer.status() == 200, "answered {}", answer.status());
                answer.into_body().collect().await?;
                tally.answered(sent);
            }
            Ok(())
        }));
    }
    for lane in lanes {
        lane.await??;
    }
    connection.abort();
    Ok(())
}

/// WebSocket messages, each sent when the one before has come back.
async fn socket(target: &Target, tally: &Tally, index: usize) -> Result<()> {
    let mut stream = target.connect(index).await?;
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: h{}.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {SOCKET_KEY}\r\n\r\n",
        target.path,
        index % target.hosts
    );
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    while head_end(&bytes).is_none() {
        ensure!(stream.read_buf(&mut bytes).await? > 0, "no answer");
    }
    ensure!(bytes.get(9..12) == Some(b"101"), "no upgrade");
    let mut message = vec![0x82, 0x80 + 125, 1, 2, 3, 4];
    let plain = wire::body(MASKED_BYTES - message.len());
    let masked = plain.iter().zip([1, 2, 3, 4].iter().cycle());
    message.extend(masked.map(|(byte, mask)| byte ^ mask));
    let mut echo = [0; ECHO_BYTES];
    while tally.goes_on() {
        let sent = Instant::now();
        stream.write_all(&message).await?;
        stream.read_exact(&mut echo).await?;
        tally.answered(sent);
    }
    ensure!(
        echo.ends_with(&plain) || echo == [0; ECHO_BYTES],
        "another message came back"
    );
    Ok(())
}

impl Target {
    /// What the arguments name.
    pub(crate) fn new(arguments: &Arguments) -> Result<Self> {
        let protocol: &[u8] = match arguments.text("how") {
            Ok("h2") => b"h2",
            _ => b"http/1.1",
        };
        let is_tls: bool = arguments.value_or("tls", false)?;
        let tls = is_tls.then(|| connector(protocol)).transpose()?;
        Ok(Self {
            address: arguments.text("address")?.to_owned(),
            path: arguments.text("path")?.to_owned(),
            upload: arguments.value_or("upload", 0)?,
            hosts: arguments.value_or("hosts", 100)?,
            tls,
        })
    }

    /// A new connection.
    pub(crate) async fn connect(&self, index: usize) -> Result<Box<dyn Stream>> {
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else {
            return Ok(Box::new(stream));
        };
        let name = ServerName::try_from(format!("h{}.localhost", index % self.hosts))?;
        Ok(Box::new(tls.connect(name, stream).await?))
    }

    /// A request for each host, as large as browsers make them.
    pub(crate) fn requests(&self, more: &str) -> Vec<Vec<u8>> {
        let request = |host: usize| {
            let (method, length) = match self.upload {
                0 => ("GET", String::new()),
                bytes => ("POST", format!("Content-Length: {bytes}\r\n")),
            };
            let head = format!(
                "{method} {} HTTP/1.1\r\nHost: h{host}.localhost\r\nUser-Agent: bench\r\n\
                 Accept: */*\r\nCookie: session=0123456789abcdef0123456789abcdef\r\n\
                 {length}{more}\r\n",
                self.path
            );
            let mut bytes = head.into_bytes();
            bytes.extend(wire::body(self.upload));
            bytes
        };
        (0..self.hosts).map(request).collect()
    }
}

/// TLS 1.3, a whole handshake each time, whoever the other end is.
fn connector(protocol: &[u8]) -> Result<TlsConnector> {
    let provider = Arc::new(ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Takes any certificate: the certificate is the bench's own.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
