//! Real certificate authorities: pebble, with its own and with a real name server; and a broken one.
//!
//! Everything listens on ports that were free a moment ago, on the loopback address.

use std::{
    fmt::Write as _,
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    pin::Pin,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, header::HOST};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::{Account, AccountCredentials, BodyWrapper, BytesResponse, Error, HttpClient};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::AbortHandle,
};
use tokio_rustls::{TlsAcceptor, TlsConnector, client::TlsStream};

/// A program that ends with the test.
pub(crate) struct Program(Child);

impl Program {
    fn start(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::null());
        Self(command.stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Where the authority finds the router, and asks for names.
pub(crate) struct Surroundings {
    pub(crate) http: u16,
    pub(crate) https: u16,
    pub(crate) dns: SocketAddr,
    pub(crate) life_seconds: u64,
}

/// Returns when somebody listens there.
fn listening(address: SocketAddr) {
    let tries = 200_000;
    assert!(
        (0..tries).any(|_| {
            std::thread::yield_now();
            std::net::TcpStream::connect(address).is_ok()
        }),
        "nobody listens on {address}"
    );
}

/// A running pebble.
pub(crate) struct Pebble {
    directory: PathBuf,
    port: u16,
    management: u16,
    /// What its directory is trusted by, PEM.
    pub(crate) root: String,
    surroundings: Surroundings,
    program: Option<Program>,
}

impl Pebble {
    pub(crate) fn start(directory: &Path, surroundings: Surroundings) -> Self {
        let names = vec!["localhost".to_owned()];
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
        fs::write(directory.join("pebble.pem"), cert.pem()).unwrap();
        fs::write(directory.join("pebble.key"), signing_key.serialize_pem()).unwrap();
        let mut pebble = Self {
            directory: directory.to_owned(),
            port: free_port(),
            management: free_port(),
            root: cert.pem(),
            surroundings,
            program: None,
        };
        pebble.restart();
        pebble
    }

    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}/dir", self.port)
    }

    pub(crate) fn stop(&mut self) {
        self.program = None;
    }

    /// It remembers nothing of what was before.
    pub(crate) fn restart(&mut self) {
        self.stop();
        let Self {
            directory,
            port,
            management,
            surroundings,
            ..
        } = self;
        let config = serde_json::json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{port}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": directory.join("pebble.pem"),
            "privateKey": directory.join("pebble.key"),
            "httpPort": surroundings.http,
            "tlsPort": surroundings.https,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
            "certificateValidityPeriod": surroundings.life_seconds,
        }});
        let path = directory.join("pebble.json");
        fs::write(&path, config.to_string()).unwrap();
        let program = Program::start(
            Command::new("pebble")
                .env("PEBBLE_VA_NOSLEEP", "1")
                .env("PEBBLE_WFE_NONCEREJECT", "5")
                .arg("-config")
                .arg(path)
                .args(["-dnsserver", &surroundings.dns.to_string()]),
        );
        self.program = Some(program);
        listening(SocketAddr::from(([127, 0, 0, 1], self.port)));
    }

    /// Ends an account there, as its owner may, or who has stolen its key.
    pub(crate) async fn deactivate(&self, credentials: &str) {
        let root = CertificateDer::from_pem_slice(self.root.as_bytes()).unwrap();
        let builder = Account::builder_with_http(Box::new(Caller(root)));
        let credentials: AccountCredentials = serde_json::from_str(credentials).unwrap();
        let account = builder.from_credentials(credentials).await.unwrap();
        account.deactivate().await.unwrap();
    }

    /// The root of the certificates it issues; each start has another.
    pub(crate) async fn issuing_root(&self) -> CertificateDer<'static> {
        let answer = get(self.management, &self.root, "/roots/0").await;
        CertificateDer::from_pem_slice(answer.as_bytes()).unwrap()
    }
}

/// A client of the authority beside the platform's.
struct Caller(CertificateDer<'static>);

impl HttpClient for Caller {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let root = self.0.clone();
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            let port = parts.uri.port_u16().unwrap();
            let to = SocketAddr::from(([127, 0, 0, 1], port));
            let stream = connect(to, "localhost", &root).await.unwrap();
            let io = TokioIo::new(stream);
            let (mut sender, connection) = http1::handshake(io).await.unwrap();
            tokio::spawn(connection);
            let host = parts.uri.authority().unwrap().as_str().parse().unwrap();
            parts.headers.insert(HOST, host);
            parts.uri = parts.uri.path().parse().unwrap();
            let sent = sender.send_request(Request::from_parts(parts, body)).await;
            let (parts, body) = sent.unwrap().into_parts();
            let body = Full::new(body.collect().await.unwrap().to_bytes());
            Ok(BytesResponse::from(Response::from_parts(parts, body)))
        })
    }
}

async fn get(port: u16, root: &str, path: &str) -> String {
    let root = CertificateDer::from_pem_slice(root.as_bytes()).unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = loop {
        match connect(address, "localhost", &root).await {
            Ok(stream) => break stream,
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// A TLS client that trusts one root.
pub(crate) async fn connect(
    to: SocketAddr,
    host: &str,
    root: &CertificateDer<'static>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(to).await?;
    let name = ServerName::try_from(host.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

/// Answers every question for an address with 127.0.0.1.
pub(crate) fn mock_dns() -> (Program, SocketAddr) {
    let port = free_port();
    let program = Program::start(Command::new("pebble-challtestsrv").args([
        "-http01",
        "",
        "-https01",
        "",
        "-tlsalpn01",
        "",
        "-defaultIPv6",
        "",
        "-dns01",
        &format!("127.0.0.1:{port}"),
        "-management",
        &format!("127.0.0.1:{}", free_port()),
    ]));
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    listening(address);
    (program, address)
}

/// A real name server for `example.test`, which takes updates signed with a key.
pub(crate) struct NameServer {
    _program: Program,
    pub(crate) address: SocketAddr,
    /// As `tsig-keygen` writes it.
    pub(crate) key: String,
}

impl NameServer {
    pub(crate) fn start(directory: &Path) -> Self {
        let (port, path) = (free_port(), directory.display());
        let key = "key \"landfall\" {\n\talgorithm hmac-sha256;\n\tsecret \
                   \"bGFuZGZhbGwgaXMgYSBzZWNyZXQgb2YgdGVzdHMgLi4=\";\n};\n";
        let zone = "$TTL 30\n@ IN SOA ns hostmaster 1 3600 600 86400 30\n@ IN NS ns\n\
                    ns IN A 127.0.0.1\n* IN A 127.0.0.1\n";
        fs::write(directory.join("example.test.zone"), zone).unwrap();
        let mut config = key.to_owned();
        write!(
            config,
            "options {{ directory \"{path}\"; pid-file \"{path}/named.pid\"; \
             session-keyfile \"{path}/session.key\"; managed-keys-directory \"{path}\"; \
             listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; recursion no; \
             dnssec-validation no; }};\ncontrols {{ }};\n\
             zone \"example.test\" {{ type primary; file \"{path}/example.test.zone\"; \
             update-policy {{ grant landfall zonesub TXT; }}; }};\n"
        )
        .unwrap();
        let file = directory.join("named.conf");
        fs::write(&file, config).unwrap();
        let program = Program::start(Command::new("/usr/sbin/named").args(["-f", "-c"]).arg(file));
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        listening(address);
        Self {
            _program: program,
            address,
            key: key.to_owned(),
        }
    }
}

/// An authority that has had enough: it makes no account, and says for how long.
pub(crate) struct Limited {
    pub(crate) url: String,
    pub(crate) root: String,
    task: AbortHandle,
}

impl Drop for Limited {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Limited {
    /// Needs a runtime around it, which it ends with.
    pub(crate) async fn start(retry_after_seconds: u64) -> Self {
        let names = vec!["localhost".to_owned()];
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!(
            "https://localhost:{}",
            listener.local_addr().unwrap().port()
        );
        let url = format!("{base}/dir");
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if let Ok(stream) = acceptor.accept(stream).await {
                    drop(refuse(stream, &base, retry_after_seconds).await);
                }
            }
        });
        Self {
            url,
            root: cert.pem(),
            task: task.abort_handle(),
        }
    }
}

async fn refuse(
    mut stream: tokio_rustls::server::TlsStream<TcpStream>,
    base: &str,
    retry_after_seconds: u64,
) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|window| window == b"\r\n\r\n") {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let request = String::from_utf8_lossy(&request);
    let (head, body) = match request.split(' ').nth(1) {
        Some("/dir") => {
            let urls = ["newNonce", "newAccount", "newOrder"].map(|name| {
                let url = format!("{base}/{name}");
                (name.to_owned(), serde_json::Value::from(url))
            });
            let urls: serde_json::Map<_, _> = urls.into_iter().collect();
            (
                "200 OK".to_owned(),
                serde_json::Value::from(urls).to_string(),
            )
        }
        Some("/newNonce") => ("200 OK\r\nReplay-Nonce: nonce".to_owned(), String::new()),
        _ => (
            format!("429 Too Many Requests\r\nRetry-After: {retry_after_seconds}"),
            r#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many accounts"}"#
                .to_owned(),
        ),
    };
    let answer = format!(
        "HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}
