//! Which certificate a host is shown, which clients an app lets in, and what certificate
//! authorities are answered. One immutable [`Shown`], swapped as a whole.
//!
//! It must not know sockets. What cannot be used is left out with a log line: it hurts the hosts
//! that it names, and no others. Read [`Certificates`].

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock, PoisonError, RwLock},
};

use api::ids::{AppId, SniEndpointId};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::CertifiedKey,
};

use crate::{
    error::UnusableCertificate,
    wire::{AppRoutes, Certificate, Challenge, ClientAuthority, RouteTable},
};

/// Where a certificate authority looks for the answer to an HTTP-01 challenge.
const CHALLENGE_PATH: &str = "/.well-known/acme-challenge/";

/// The newest certificates, shared by all threads.
#[derive(Debug, Default)]
pub(crate) struct Certificates {
    newest: RwLock<Arc<Shown>>,
}

/// Certificates by host.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    hosts: HashMap<String, Arc<CertifiedKey>>,
    /// By their ids, with what they were made from: certificates that stay are not parsed again.
    parsed: HashMap<SniEndpointId, (Certificate, Arc<CertifiedKey>)>,
    demands: HashMap<String, Arc<Demand>>,
    /// What a host shows to those who offer `acme-tls/1`.
    tls_answers: HashMap<String, Arc<CertifiedKey>>,
    /// Token → key authorization.
    http_answers: HashMap<String, String>,
}

/// An app that asks its clients for certificates.
#[derive(Debug)]
pub(crate) struct Demand {
    pub(crate) app: AppId,
    authority: ClientAuthority,
    /// None when the authority's certificates cannot be used: then nobody is let in.
    pub(crate) verifier: Option<Arc<dyn ClientCertVerifier>>,
    /// Made at the first handshake. Its session tickets are its own, because a session that is
    /// resumed is not verified again.
    pub(crate) config: OnceLock<Arc<ServerConfig>>,
}

impl Certificates {
    /// Shows what the table says from now on.
    pub(crate) fn apply(&self, table: &RouteTable) {
        let after = Arc::new(Shown::build(table, &self.shown()));
        *self.newest.write().unwrap_or_else(PoisonError::into_inner) = after;
    }

    pub(crate) fn shown(&self) -> Arc<Shown> {
        Arc::clone(&self.newest.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The answer to an HTTP-01 challenge, if the path asks for one that is open. Comes before the
    /// host is looked up, because the host may have no route yet.
    pub(crate) fn answer(&self, path: &str) -> Option<String> {
        let token = path.strip_prefix(CHALLENGE_PATH)?;
        self.shown().http_answers.get(token).cloned()
    }
}

/// Whether the path is one where certificate authorities look: never sent away to HTTPS.
pub(crate) fn is_challenge(path: &str) -> bool {
    path.starts_with(CHALLENGE_PATH)
}

impl Shown {
    /// The host's own certificate, else one for all names below its parent.
    pub(crate) fn find(&self, host: &str) -> Option<Arc<CertifiedKey>> {
        by_host(&self.hosts, host).cloned()
    }

    pub(crate) fn has_demands(&self) -> bool {
        !self.demands.is_empty()
    }

    /// Who may come to the host, if not everybody.
    pub(crate) fn demand(&self, host: &str) -> Option<&Arc<Demand>> {
        by_host(&self.demands, host)
    }

    pub(crate) fn tls_answer(&self, host: &str) -> Option<Arc<CertifiedKey>> {
        self.tls_answers.get(host).cloned()
    }

    fn build(table: &RouteTable, before: &Self) -> Self {
        let mut after = Self::default();
        for certificate in &table.certificates {
            after.add_certificate(certificate, before);
        }
        for app in &table.apps {
            after.add_demand(app, before);
        }
        for challenge in &table.challenges {
            after.add_answer(challenge);
        }
        after
    }

    fn add_certificate(&mut self, certificate: &Certificate, before: &Self) {
        let parsed = match before.parsed.get(&certificate.id) {
            Some((same, parsed)) if same == certificate => Ok(Arc::clone(parsed)),
            _ => parse(
                &certificate.chain,
                &certificate.key.0,
                certificate.ocsp.clone(),
            ),
        };
        match parsed {
            Ok(key) => {
                for host in &certificate.hosts {
                    self.hosts.insert(host.clone(), Arc::clone(&key));
                }
                self.parsed
                    .insert(certificate.id, (certificate.clone(), key));
            }
            Err(error) => {
                tracing::error!(
                    app = %certificate.app,
                    certificate = %certificate.id,
                    error = &error as &dyn std::error::Error,
                    "a certificate cannot be used"
                );
            }
        }
    }

    fn add_demand(&mut self, app: &AppRoutes, before: &Self) {
        let Some(authority) = &app.tls.client_authority else {
            return;
        };
        let same = app
            .hosts
            .iter()
            .find_map(|host| before.demands.get(host))
            .filter(|demand| demand.app == app.app && demand.authority == *authority);
        let demand = same.map_or_else(|| Arc::new(Demand::new(app.app, authority)), Arc::clone);
        for host in &app.hosts {
            self.demands.insert(host.clone(), Arc::clone(&demand));
        }
    }

    fn add_answer(&mut self, challenge: &Challenge) {
        match challenge {
            Challenge::Http { token, answer } => {
                self.http_answers.insert(token.clone(), answer.clone());
            }
            Challenge::TlsAlpn { host, chain, key } => match parse(chain, &key.0, None) {
                Ok(key) => {
                    self.tls_answers.insert(host.clone(), key);
                }
                Err(error) => {
                    tracing::error!(
                        host,
                        error = &error as &dyn std::error::Error,
                        "an answer to a challenge cannot be used"
                    );
                }
            },
        }
    }
}

impl Demand {
    fn new(app: AppId, authority: &ClientAuthority) -> Self {
        let verifier = verifier(authority);
        if let Err(error) = &verifier {
            tracing::error!(
                %app,
                error = error as &dyn std::error::Error,
                "an app's client authority cannot be used: nobody is let in"
            );
        }
        Self {
            app,
            authority: authority.clone(),
            verifier: verifier.ok(),
            config: OnceLock::new(),
        }
    }
}

/// The entry of the host itself, else that of `*.` and its parent.
fn by_host<'m, T>(map: &'m HashMap<String, T>, host: &str) -> Option<&'m T> {
    map.get(host).or_else(|| {
        let (_, parent) = host.split_once('.')?;
        map.get(&format!("*.{parent}"))
    })
}

/// The one set of algorithms this program uses.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Reads a chain and its key, and checks that they belong together.
pub(crate) fn parse(
    chain: &str,
    key: &str,
    ocsp: Option<Vec<u8>>,
) -> Result<Arc<CertifiedKey>, UnusableCertificate> {
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())?;
    let mut certified = CertifiedKey::from_der(chain, key, &provider())?;
    certified.ocsp = ocsp;
    Ok(Arc::new(certified))
}

fn verifier(
    authority: &ClientAuthority,
) -> Result<Arc<dyn ClientCertVerifier>, UnusableCertificate> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority.certificates.as_bytes()) {
        roots.add(certificate?)?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    let builder = if authority.is_optional {
        builder.allow_unauthenticated()
    } else {
        builder
    };
    Ok(builder.build()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::PrivateKey;

    fn certificate(hosts: &[&str]) -> Certificate {
        let names: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names.clone()).unwrap();
        Certificate {
            id: SniEndpointId::new(),
            app: AppId::new(),
            hosts: names,
            chain: made.cert.pem(),
            key: PrivateKey(made.signing_key.serialize_pem()),
            ocsp: None,
        }
    }

    #[test]
    fn the_exact_name_comes_before_the_wildcard_and_damage_hurts_one_alone() {
        let exact = certificate(&["www.example.com"]);
        let wildcard = certificate(&["*.example.com"]);
        let mut damaged = certificate(&["damaged.example.org"]);
        damaged.key.clone_from(&exact.key);
        let certificates = Certificates::default();
        let mut table = RouteTable {
            certificates: vec![damaged, exact.clone(), wildcard.clone()],
            ..RouteTable::default()
        };
        certificates.apply(&table);
        let shown = certificates.shown();
        let leaf = |host: &str| shown.find(host).map(|key| key.cert[0].clone());
        let expected = |of: &Certificate| CertificateDer::from_pem_slice(of.chain.as_bytes()).ok();
        for (host, certificate) in [
            ("www.example.com", Some(&exact)),
            ("api.example.com", Some(&wildcard)),
            ("a.b.example.com", None),
            ("example.com", None),
            ("damaged.example.org", None),
        ] {
            assert_eq!(leaf(host), certificate.and_then(expected), "{host}");
        }
        table.certificates[2].hosts = vec!["*.example.net".to_owned()];
        certificates.apply(&table);
        let after = certificates.shown();
        let (former, kept) = (shown.find("www.example.com"), after.find("www.example.com"));
        assert!(Arc::ptr_eq(&former.unwrap(), &kept.unwrap()), "parsed once");
        assert!(after.find("api.example.com").is_none());
        assert!(after.find("api.example.net").is_some());
    }

    #[test]
    fn open_challenges_are_answered_by_path() {
        let certificates = Certificates::default();
        certificates.apply(&RouteTable {
            challenges: vec![Challenge::Http {
                token: "abc".to_owned(),
                answer: "abc.thumb".to_owned(),
            }],
            ..RouteTable::default()
        });
        for (path, expected) in [
            ("/.well-known/acme-challenge/abc", Some("abc.thumb")),
            ("/.well-known/acme-challenge/abd", None),
            ("/.well-known/acme-challenge/", None),
            ("/abc", None),
        ] {
            assert_eq!(certificates.answer(path).as_deref(), expected, "{path}");
        }
    }
}
