//! TLS with clients: the certificate by the name that they ask for, 1.2 and 1.3, HTTP/2 offered
//! first, client certificates where an app demands them.
//!
//! Session tickets work on every thread. Their keys live in memory only and are changed every few
//! hours, so that who steals a disk cannot read what was said before; a restarted router's clients
//! make one full handshake each. Read [`Tls::accept`].

use std::{fmt::Write, io, path::Path, sync::Arc};

use http::HeaderValue;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{Acceptor, ClientHello, NoClientAuth, ResolvesServerCert, danger::ClientCertVerifier},
    sign::CertifiedKey,
};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor, server::TlsStream};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::{
    certificates::{Certificates, Demand, provider},
    error::RouterError,
    proxy::ClientIdentity,
};

/// The protocol under which certificate authorities look for their answers (RFC 8737).
const ACME_PROTOCOL: &[u8] = b"acme-tls/1";
/// A subject longer than this is cut: it goes into a header of every request.
const MAX_SUBJECT_BYTES: usize = 2048;

/// What TLS connections are accepted with.
#[derive(Clone)]
pub(crate) struct Tls {
    certificates: Arc<Certificates>,
    /// For hosts that let everybody in.
    config: Arc<ServerConfig>,
    resolver: Arc<Resolver>,
}

/// An accepted connection.
pub(crate) struct Secured {
    pub(crate) stream: TlsStream<TcpStream>,
    /// Who the client is, at a host that demands to know.
    pub(crate) client: Option<ClientIdentity>,
}

#[derive(Debug)]
struct Resolver {
    certificates: Arc<Certificates>,
    /// Shown for hosts that have none of their own.
    default: Arc<CertifiedKey>,
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let host = hello.server_name();
        let is_authority = hello
            .alpn()
            .is_some_and(|mut offered| offered.all(|protocol| protocol == ACME_PROTOCOL));
        if is_authority {
            return self.certificates.shown().tls_answer(host?);
        }
        let own = host.and_then(|host| self.certificates.shown().find(host));
        Some(own.unwrap_or_else(|| Arc::clone(&self.default)))
    }
}

impl Tls {
    /// `certificate` and `key` are what hosts without a certificate of their own are shown.
    pub(crate) fn load(
        certificates: Arc<Certificates>,
        (certificate, key): (&Path, &Path),
    ) -> Result<Self, RouterError> {
        let default = load_default(certificate, key)?;
        let resolver = Arc::new(Resolver {
            certificates: Arc::clone(&certificates),
            default,
        });
        let config = config(&resolver, None).map_err(|source| RouterError::Certificate {
            path: certificate.to_owned(),
            source,
        })?;
        Ok(Self {
            certificates,
            config,
            resolver,
        })
    }

    /// The handshake; none when the client was a certificate authority, which wants nothing more.
    /// Safe to drop.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<Option<Secured>> {
        let mut secured = if self.certificates.shown().has_demands() {
            self.accept_by_host(stream).await?
        } else {
            let acceptor = TlsAcceptor::from(Arc::clone(&self.config));
            let stream = acceptor.accept(stream).await?;
            Secured {
                stream,
                client: None,
            }
        };
        if secured.stream.get_ref().1.alpn_protocol() == Some(ACME_PROTOCOL) {
            secured.stream.shutdown().await?;
            return Ok(None);
        }
        Ok(Some(secured))
    }

    async fn accept_by_host(&self, stream: TcpStream) -> io::Result<Secured> {
        let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let shown = self.certificates.shown();
        let host = start.client_hello().server_name().map(str::to_owned);
        let Some(demand) = host.and_then(|host| shown.demand(&host).cloned()) else {
            let stream = start.into_stream(Arc::clone(&self.config)).await?;
            return Ok(Secured {
                stream,
                client: None,
            });
        };
        let config = self.demanding(&demand)?;
        let stream = start.into_stream(config).await?;
        let leaf = stream
            .get_ref()
            .1
            .peer_certificates()
            .and_then(<[_]>::first);
        let client = ClientIdentity {
            app: demand.app,
            subject: leaf.map(subject),
        };
        Ok(Secured {
            stream,
            client: Some(client),
        })
    }

    /// The configuration of an app that demands client certificates.
    fn demanding(&self, demand: &Demand) -> io::Result<Arc<ServerConfig>> {
        if let Some(config) = demand.config.get() {
            return Ok(Arc::clone(config));
        }
        let verifier = demand.verifier.clone().ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::PermissionDenied,
                "the app's client authority cannot be used",
            )
        })?;
        let config = config(&self.resolver, Some(verifier)).map_err(io::Error::other)?;
        Ok(Arc::clone(demand.config.get_or_init(|| config)))
    }
}

fn config(
    resolver: &Arc<Resolver>,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let resolver: Arc<dyn ResolvesServerCert> = Arc::<Resolver>::clone(resolver);
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier.unwrap_or_else(|| Arc::new(NoClientAuth)))
        .with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec(), ACME_PROTOCOL.to_vec()];
    config.ticketer = rustls::crypto::ring::Ticketer::new()?;
    Ok(Arc::new(config))
}

fn load_default(certificate: &Path, key: &Path) -> Result<Arc<CertifiedKey>, RouterError> {
    let pem = |path: &Path| {
        let path = path.to_owned();
        |source| RouterError::Pem { path, source }
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(pem(certificate))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(pem(key))?;
    let certified = CertifiedKey::from_der(chain, key, &provider());
    certified
        .map(Arc::new)
        .map_err(|source| RouterError::Certificate {
            path: certificate.to_owned(),
            source,
        })
}

/// A certificate's subject as a header's value: `CN=…, O=…`, with what is no printable ASCII, and
/// the percent sign, percent-encoded.
fn subject(certificate: &CertificateDer<'_>) -> HeaderValue {
    let text = X509Certificate::from_der(certificate)
        .map(|(_, parsed)| parsed.subject().to_string())
        .unwrap_or_default();
    let mut safe = String::with_capacity(text.len());
    for byte in text.bytes().take(MAX_SUBJECT_BYTES) {
        if (0x20..0x7f).contains(&byte) && byte != b'%' {
            safe.push(char::from(byte));
        } else {
            write!(safe, "%{byte:02X}").expect("a string takes everything");
        }
    }
    HeaderValue::try_from(safe).unwrap_or_else(|_| HeaderValue::from_static(""))
}
