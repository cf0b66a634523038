//! The way to a platform: its API and its rendezvous, both on one port, over TLS by its own CA.

use std::{path::Path, sync::Arc};

use anyhow::{Context, Result, anyhow, bail};
use api::client::{Body, BodyError, Client, ClientError, Transport};
use async_trait::async_trait;
use http::{HeaderValue, Request, Response, header};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{config::Surroundings, ready::Ready};

/// The platform's first line is shorter than this.
const LONGEST_LINE: usize = 1024;

/// See the module. Cloning shares it.
#[derive(Clone)]
pub(super) struct Link {
    pub(super) client: Client,
    pub(super) app: String,
    port: Port,
}

/// Where the platform listens.
#[derive(Clone)]
struct Port {
    /// `HOST:PORT`
    address: String,
    tls: TlsConnector,
    name: ServerName<'static>,
}

/// Both directions of a session.
pub(super) type Stream = TlsStream<TcpStream>;

/// What the platform says to a secret.
pub(super) enum Met {
    /// The session.
    Stream(Box<Stream>),
    /// The secret is unknown or spent.
    Gone,
    /// It cannot be now, and why.
    Refused(String),
}

impl Link {
    pub(super) fn open(
        ready_file: &Path,
        surroundings: &Surroundings,
        app: String,
    ) -> Result<Self> {
        let ready = Ready::read(ready_file)?;
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_file(&ready.ca_pem_path);
        roots.add(
            authority.with_context(|| format!("could not read {}", ready.ca_pem_path.display()))?,
        )?;
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let (host, _) = ready
            .rendezvous_addr
            .rsplit_once(':')
            .context("the ready file names no rendezvous address")?;
        let port = Port {
            tls: TlsConnector::from(Arc::new(config)),
            name: ServerName::try_from(host.to_owned())?,
            address: ready.rendezvous_addr.clone(),
        };
        let token = surroundings.get("HEROKU_API_KEY");
        let token = token.unwrap_or(&ready.admin_token).to_owned();
        Ok(Self {
            client: Client::new(Arc::new(port.clone()), token),
            app,
            port,
        })
    }

    /// Meets a session at its `attach_url`, `rendezvous://HOST:PORT/SECRET`.
    pub(super) async fn meet(&self, attach_url: Option<&str>) -> Result<Met> {
        let secret = attach_url
            .and_then(|url| url.rsplit_once('/'))
            .context("the platform gave no address to meet the session at")?
            .1;
        let mut stream = self.port.connect().await?;
        stream.write_all(format!("{secret}\r\n").as_bytes()).await?;
        stream.flush().await?;
        let line = first_line(&mut stream).await?;
        Ok(match line.as_str() {
            "rendezvous" => Met::Stream(Box::new(stream)),
            "gone" => Met::Gone,
            other => Met::Refused(other.trim_start_matches("refused: ").to_owned()),
        })
    }

    /// The same, where anything but a session is an error.
    pub(super) async fn enter(&self, attach_url: Option<&str>) -> Result<Box<Stream>> {
        match self.meet(attach_url).await? {
            Met::Stream(stream) => Ok(stream),
            Met::Gone => bail!("the session ended before it was met"),
            Met::Refused(reason) => Err(anyhow!(reason)),
        }
    }
}

/// Byte by byte: what follows the line is the session's.
async fn first_line(stream: &mut Stream) -> Result<String> {
    let mut line = Vec::new();
    while line.len() < LONGEST_LINE {
        match stream.read_u8().await? {
            b'\n' => return Ok(String::from_utf8_lossy(&line).trim_end().to_owned()),
            byte => line.push(byte),
        }
    }
    bail!("the platform answered with something else than expected")
}

impl Port {
    async fn connect(&self) -> std::io::Result<Stream> {
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        self.tls.connect(self.name.clone(), stream).await
    }

    fn unreachable(&self, step: &'static str, source: impl Into<BodyError>) -> ClientError {
        ClientError::Unreachable {
            step,
            server: self.address.clone(),
            source: source.into(),
        }
    }
}

#[async_trait]
impl Transport for Port {
    async fn send(&self, mut request: Request<Body>) -> Result<Response<Body>, ClientError> {
        let stream = self.connect().await;
        let stream = stream.map_err(|error| self.unreachable("connect to", error))?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) =
            handshake.map_err(|error| self.unreachable("connect to", error))?;
        // Ends with the answer's body, or when both halves are dropped.
        drop(tokio::spawn(connection));
        let host = HeaderValue::from_str(&self.address)
            .map_err(|error| self.unreachable("send a request to", error))?;
        request.headers_mut().insert(header::HOST, host);
        let answer = sender.send_request(request).await;
        let answer = answer.map_err(|error| self.unreachable("send a request to", error))?;
        Ok(answer.map(|body| body.map_err(BodyError::from).boxed_unsync()))
    }
}
