//! The platform's own CA and the certificate it gives the server and the router.
//!
//! The CA is made once. The server's certificate is issued anew at every start and again before
//! it ends; its key stays, so that certificate and key always fit, whoever reads them when.

use std::{
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use api::clock::Clock;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use thiserror::Error;

use crate::files::{self, Access};

const DAY: Duration = Duration::from_hours(24);
/// How long the CA is valid.
const CA_DAYS: u32 = 3650;
/// How long the server's certificate is valid: clients refuse those of more than 398 days.
const SERVER_DAYS: u32 = 397;
/// How often a running server issues its certificate anew.
const RENEWAL: Duration = Duration::from_hours(24 * 30);

/// Why there is no certificate.
#[derive(Debug, Error)]
pub enum AuthorityError {
    /// A file could not be read or written.
    #[error("cannot {step} {}", path.display())]
    File {
        /// "read", "write", "make".
        step: &'static str,
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// A certificate or key could not be made or read.
    #[error("cannot issue {what}")]
    Issue {
        /// "the CA", "the server's certificate".
        what: &'static str,
        /// Why.
        #[source]
        source: rcgen::Error,
    },
    /// The certificate cannot be used for TLS.
    #[error("cannot serve TLS with {}", path.display())]
    Tls {
        /// The certificate.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// What the server's certificate is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// Host names, wildcards allowed.
    pub hosts: Vec<String>,
    /// Addresses.
    pub addresses: Vec<IpAddr>,
}

/// The CA's directory. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Authority {
    directory: PathBuf,
    names: Arc<Names>,
    clock: Clock,
    tls: Arc<RwLock<Option<Arc<ServerConfig>>>>,
}

impl Authority {
    /// Reads the CA in `directory` or makes one, and issues a certificate for `names`.
    pub fn open(directory: &Path, names: Names, clock: Clock) -> Result<Self, AuthorityError> {
        let authority = Self {
            directory: directory.to_owned(),
            names: Arc::new(names),
            clock,
            tls: Arc::default(),
        };
        // Clients of other users need the CA's certificate; keys are for their owner alone.
        files::open_directory(directory).map_err(failed("make", directory))?;
        authority.ensure_ca()?;
        authority.renew()?;
        Ok(authority)
    }

    /// The CA's certificate, for clients to trust.
    pub fn ca_pem(&self) -> PathBuf {
        self.directory.join("ca.pem")
    }

    /// What the server and the router show.
    pub fn certificate(&self) -> PathBuf {
        self.directory.join("server.pem")
    }

    /// Its private key.
    pub fn key(&self) -> PathBuf {
        self.directory.join("server.key")
    }

    /// For a TLS server; the newest certificate.
    pub fn tls(&self) -> Result<Arc<ServerConfig>, AuthorityError> {
        let cached = self
            .tls
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        cached.map_or_else(|| self.load_tls(), Ok)
    }

    /// Renews the certificate for as long as it runs.
    pub async fn keep_renewed(&self) -> Result<(), AuthorityError> {
        loop {
            tokio::time::sleep(RENEWAL).await;
            self.renew()?;
        }
    }

    /// Issues the server's certificate anew.
    pub fn renew(&self) -> Result<(), AuthorityError> {
        let ca_key = key_pair(&self.directory.join("ca.key"))?;
        let ca = read(&self.ca_pem())?;
        let issued = |source| AuthorityError::Issue {
            what: "the server's certificate",
            source,
        };
        let issuer = Issuer::from_ca_cert_pem(&ca, ca_key).map_err(issued)?;
        let key = key_pair(&self.key())?;
        let certificate = self
            .server_params()
            .and_then(|params| params.signed_by(&key, &issuer))
            .map_err(issued)?;
        // With the CA behind it, so that a client that trusts only by chain is content as well.
        let chain = format!("{}{ca}", certificate.pem());
        let path = self.certificate();
        files::write(&path, chain.as_bytes(), Access::Everyone).map_err(failed("write", &path))?;
        self.load_tls().map(drop)
    }

    fn ensure_ca(&self) -> Result<(), AuthorityError> {
        if self.ca_pem().is_file() {
            return Ok(());
        }
        let issued = |source| AuthorityError::Issue {
            what: "the CA",
            source,
        };
        let key = key_pair(&self.directory.join("ca.key"))?;
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::OrganizationName, "Landfall");
        params
            .distinguished_name
            .push(DnType::CommonName, "Landfall CA of this platform");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        self.set_validity(&mut params, CA_DAYS);
        let certificate = params.self_signed(&key).map_err(issued)?;
        let path = self.ca_pem();
        files::write(&path, certificate.pem().as_bytes(), Access::Everyone)
            .map_err(failed("write", &path))
    }

    fn server_params(&self) -> Result<CertificateParams, rcgen::Error> {
        let mut params = CertificateParams::new(self.names.hosts.clone())?;
        let addresses = self.names.addresses.iter().copied().map(SanType::IpAddress);
        params.subject_alt_names.extend(addresses);
        params
            .distinguished_name
            .push(DnType::OrganizationName, "Landfall");
        params
            .distinguished_name
            .push(DnType::CommonName, "Landfall server");
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        self.set_validity(&mut params, SERVER_DAYS);
        Ok(params)
    }

    /// From yesterday, for clients whose clock is behind, over `days`.
    fn set_validity(&self, params: &mut CertificateParams, days: u32) {
        let now = self.clock.now();
        let yesterday = api::clock::Time::from_micros(
            now.as_micros()
                .saturating_sub(i64::try_from(DAY.as_micros()).unwrap_or(0)),
        );
        let (year, month, first) = day(yesterday);
        params.not_before = rcgen::date_time_ymd(year, month, first);
        let (year, month, last) = day(now.after(DAY * days));
        params.not_after = rcgen::date_time_ymd(year, month, last);
    }

    fn load_tls(&self) -> Result<Arc<ServerConfig>, AuthorityError> {
        let path = self.certificate();
        let config = tls_config(&path, &self.key())
            .map_err(|source| AuthorityError::Tls { path, source })?;
        let config = Arc::new(config);
        *self.tls.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&config));
        Ok(config)
    }
}

/// A key from its file, made if there is none.
fn key_pair(path: &Path) -> Result<KeyPair, AuthorityError> {
    let issued = |source| AuthorityError::Issue {
        what: "a key",
        source,
    };
    if path.is_file() {
        return KeyPair::from_pem(&read(path)?).map_err(issued);
    }
    let key = KeyPair::generate().map_err(issued)?;
    files::write(path, key.serialize_pem().as_bytes(), Access::Owner)
        .map_err(failed("write", path))?;
    Ok(key)
}

fn failed(step: &'static str, path: &Path) -> impl Fn(io::Error) -> AuthorityError {
    let path = path.to_owned();
    move |source| AuthorityError::File {
        step,
        path: path.clone(),
        source,
    }
}

fn read(path: &Path) -> Result<String, AuthorityError> {
    fs::read_to_string(path).map_err(failed("read", path))
}

fn tls_config(
    certificate: &Path,
    key: &Path,
) -> Result<ServerConfig, Box<dyn std::error::Error + Send + Sync>> {
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    // HTTP/1.1 is preferred: git uploads packs of unknown length more robustly over it.
    config.alpn_protocols = vec![b"http/1.1".to_vec(), b"h2".to_vec()];
    Ok(config)
}

/// Year, month and day of a moment; validity need not be more exact.
fn day(time: api::clock::Time) -> (i32, u8, u8) {
    let text = time.to_rfc3339();
    let mut parts = text
        .split(['-', 'T'])
        .map(|part| part.parse::<u16>().unwrap_or(1));
    let mut next = || parts.next().unwrap_or(1);
    let (year, month, day) = (next(), next(), next());
    let small = |number: u16| u8::try_from(number).unwrap_or(1);
    (i32::from(year), small(month), small(day))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    fn open(directory: &Path) -> Authority {
        let names = Names {
            hosts: vec!["localhost".to_owned(), "*.apps.example.org".to_owned()],
            addresses: vec![IpAddr::from([127, 0, 0, 1])],
        };
        Authority::open(directory, names, Clock::system()).unwrap()
    }

    /// Whether a client that trusts `ca.pem` of `directory` accepts the server as `name`.
    async fn check(directory: &Path, authority: &Authority, name: &'static str, accepted: bool) {
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(directory.join("ca.pem")).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let (near, far) = tokio::io::duplex(16 * 1024);
        let acceptor = TlsAcceptor::from(authority.tls().unwrap());
        tokio::spawn(async move {
            if let Ok(mut stream) = acceptor.accept(far).await {
                stream.write_all(b"hello").await.unwrap();
                stream.shutdown().await.unwrap();
            }
        });
        let connector = TlsConnector::from(Arc::new(config));
        match connector.connect(name.try_into().unwrap(), near).await {
            Ok(mut stream) => {
                assert!(accepted, "{name} was accepted");
                let mut text = String::new();
                stream.read_to_string(&mut text).await.unwrap();
                assert_eq!(text, "hello");
            }
            Err(error) => assert!(!accepted, "{name}: {error}"),
        }
    }

    #[tokio::test]
    async fn rustls_accepts_the_names_and_no_others() {
        let directory = tempfile::tempdir().unwrap();
        let authority = open(directory.path());
        check(directory.path(), &authority, "localhost", true).await;
        check(directory.path(), &authority, "127.0.0.1", true).await;
        check(directory.path(), &authority, "shop.apps.example.org", true).await;
        check(directory.path(), &authority, "example.com", false).await;
    }

    #[tokio::test]
    async fn clients_go_on_trusting_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let ca = {
            open(directory.path());
            fs::read(directory.path().join("ca.pem")).unwrap()
        };
        let again = open(directory.path());
        assert_eq!(fs::read(again.ca_pem()).unwrap(), ca);
        check(directory.path(), &again, "localhost", true).await;
    }

    #[test]
    fn openssl_accepts_it() {
        let directory = tempfile::tempdir().unwrap();
        let authority = open(directory.path());
        let verify = Command::new("openssl")
            .args([
                "verify",
                "-purpose",
                "sslserver",
                "-verify_hostname",
                "localhost",
                "-CAfile",
            ])
            .arg(authority.ca_pem())
            .arg(authority.certificate())
            .output();
        let Ok(verify) = verify else { return };
        assert!(
            verify.status.success(),
            "{}",
            String::from_utf8_lossy(&verify.stderr)
        );
    }

    #[tokio::test]
    async fn node_accepts_it_as_an_extra_ca() {
        let directory = tempfile::tempdir().unwrap();
        let authority = open(directory.path());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let acceptor = TlsAcceptor::from(authority.tls().unwrap());
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = acceptor.accept(stream).await.unwrap();
            stream.write_all(b"hello").await.unwrap();
            stream.shutdown().await.unwrap();
        });
        // As the CLI's rendezvous does: no server name indication, the host still checked.
        let script = format!(
            "const s = require('tls').connect({{host: 'localhost', port: {port}}});\
             s.on('data', d => process.stdout.write(String(d))); s.on('end', () => process.exit(0));\
             s.on('error', e => {{ console.error(e.message); process.exit(1); }});"
        );
        let node = tokio::process::Command::new("node")
            .args(["-e", &script])
            .env("NODE_EXTRA_CA_CERTS", authority.ca_pem())
            .stdin(Stdio::null())
            .output();
        let Ok(node) = node.await else { return };
        let complaint = String::from_utf8_lossy(&node.stderr).into_owned();
        assert_eq!(
            String::from_utf8_lossy(&node.stdout),
            "hello",
            "{complaint}"
        );
    }
}
