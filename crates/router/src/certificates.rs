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
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::{
    error::UnusableCertificate,
    table::Names,
    wire::{Certificate, Challenge, ClientAuthority, EntryKey},
};

/// Where a certificate authority looks for the answer to an HTTP-01 challenge.
const CHALLENGE_PATH: &str = "/.well-known/acme-challenge/";

/// The newest certificates, shared by all threads.
#[derive(Debug, Default)]
pub(crate) struct Certificates {
    newest: RwLock<Arc<Shown>>,
}

/// Certificates by host. A clone shares what is not changed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shown {
    hosts: Arc<Names<Arc<Own>>>,
    /// By their ids.
    own: Arc<HashMap<SniEndpointId, Arc<Own>>>,
    demands: Arc<Names<Arc<Demand>>>,
    /// How many hosts make demands.
    demanding: usize,
    /// What a host shows to those who offer `acme-tls/1`.
    tls_answers: Arc<HashMap<String, Arc<CertifiedKey>>>,
    /// Token → key authorization.
    http_answers: Arc<HashMap<String, String>>,
}

/// A host's own certificate.
#[derive(Debug)]
struct Own {
    id: SniEndpointId,
    /// As [`Names`] keeps them.
    hosts: Vec<Arc<str>>,
    key: Arc<CertifiedKey>,
    /// When it expires, in microseconds of the Unix epoch.
    expires: Option<i64>,
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
    /// Shows this from now on.
    pub(crate) fn show(&self, shown: Shown) {
        *self.newest.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(shown);
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
        self.hosts.find(host).map(|own| Arc::clone(&own.key))
    }

    /// When the certificates of hosts expire, in microseconds of the Unix epoch.
    pub(crate) fn expiries(&self) -> Vec<(i64, String)> {
        let own = self.own.values();
        own.filter_map(|own| Some((own.expires?, own)))
            .flat_map(|(expires, own)| {
                let hosts = own.hosts.iter();
                hosts.map(move |host| (expires, Names::<()>::shown(host)))
            })
            .collect()
    }

    pub(crate) fn has_demands(&self) -> bool {
        self.demanding > 0
    }

    /// Who may come to the host, if not everybody.
    pub(crate) fn demand(&self, host: &str) -> Option<&Arc<Demand>> {
        self.demands.find(host)
    }

    pub(crate) fn tls_answer(&self, host: &str) -> Option<Arc<CertifiedKey>> {
        self.tls_answers.get(host).cloned()
    }

    /// What the certificate of this id is from now on. One that cannot be used leaves the former.
    pub(crate) fn set_certificate(&mut self, id: SniEndpointId, told: Option<&Certificate>) {
        let Some(certificate) = told else {
            return self.forget_certificate(id);
        };
        let ocsp = certificate.ocsp.clone();
        match parse(&certificate.chain, &certificate.key.0, ocsp) {
            Ok(key) => {
                self.forget_certificate(id);
                let hosts = certificate.hosts.iter();
                let hosts = hosts.map(|host| Names::<()>::key(host)).collect();
                let expires = key.cert.first().and_then(expiry);
                let own = Arc::new(Own {
                    id,
                    hosts,
                    key,
                    expires,
                });
                let names = Arc::make_mut(&mut self.hosts);
                for host in &own.hosts {
                    names.insert(Arc::clone(host), Arc::clone(&own));
                }
                Arc::make_mut(&mut self.own).insert(id, own);
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

    fn forget_certificate(&mut self, id: SniEndpointId) {
        let Some(own) = Arc::make_mut(&mut self.own).remove(&id) else {
            return;
        };
        let names = Arc::make_mut(&mut self.hosts);
        for host in &own.hosts {
            // Another one may have taken it over.
            names.remove_if(host, |owner| owner.id == id);
        }
    }

    /// Who vouches for the clients of an app, whose former and present hosts these are. Returns
    /// whether that changes anything.
    pub(crate) fn set_demand(
        &mut self,
        app: AppId,
        (former, hosts): (&[Arc<str>], &[Arc<str>]),
        authority: Option<&ClientAuthority>,
    ) -> bool {
        let mut demand = None;
        let mut differs = false;
        for host in former {
            let Some(before) = self.demands.get(host).filter(|at| at.app == app) else {
                continue;
            };
            if authority == Some(&before.authority) {
                demand = Some(Arc::clone(before));
            }
            Arc::make_mut(&mut self.demands).remove_if(host, |_| true);
            self.demanding -= 1;
            differs = true;
        }
        let Some(authority) = authority else {
            return differs;
        };
        let demand = demand.unwrap_or_else(|| Arc::new(Demand::new(app, authority)));
        for host in hosts {
            if self.demands.get(host).is_none() {
                self.demanding += 1;
            }
            Arc::make_mut(&mut self.demands).insert(Arc::clone(host), Arc::clone(&demand));
        }
        true
    }

    /// What is answered to a challenge from now on.
    pub(crate) fn set_answer(&mut self, key: &EntryKey, told: Option<&Challenge>) {
        match key {
            EntryKey::HttpChallenge(token) => {
                Arc::make_mut(&mut self.http_answers).remove(token);
            }
            EntryKey::TlsChallenge(host) => {
                Arc::make_mut(&mut self.tls_answers).remove(host);
            }
            EntryKey::App(_) | EntryKey::Certificate(_) | EntryKey::Note(_) => {}
        }
        match told {
            None => {}
            Some(Challenge::Http { token, answer }) => {
                Arc::make_mut(&mut self.http_answers).insert(token.clone(), answer.clone());
            }
            Some(Challenge::TlsAlpn { host, chain, key }) => match parse_answer(chain, &key.0) {
                Ok(key) => {
                    Arc::make_mut(&mut self.tls_answers).insert(host.clone(), key);
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

/// Reads an answer to a challenge. Whether its certificate and key belong together is not checked:
/// it carries an extension that nobody but authorities understands.
fn parse_answer(chain: &str, key: &str) -> Result<Arc<CertifiedKey>, UnusableCertificate> {
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())?;
    let key = provider().key_provider.load_private_key(key)?;
    Ok(Arc::new(CertifiedKey::new(chain, key)))
}

/// When a certificate expires, in microseconds of the Unix epoch.
fn expiry(certificate: &CertificateDer<'_>) -> Option<i64> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let seconds = certificate.validity().not_after.timestamp();
    Some(seconds.saturating_mul(1_000_000))
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
        let mut shown = Shown::default();
        for told in [&damaged, &exact, &wildcard] {
            shown.set_certificate(told.id, Some(told));
        }
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
        let mut after = shown.clone();
        let mut moved = wildcard.clone();
        moved.hosts = vec!["*.example.net".to_owned()];
        after.set_certificate(moved.id, Some(&moved));
        let (former, kept) = (shown.find("www.example.com"), after.find("www.example.com"));
        assert!(Arc::ptr_eq(&former.unwrap(), &kept.unwrap()), "parsed once");
        assert!(after.find("api.example.com").is_none());
        assert!(after.find("api.example.net").is_some());
        moved.chain.clear();
        after.set_certificate(moved.id, Some(&moved));
        assert!(after.find("api.example.net").is_some(), "the last good one");
        after.set_certificate(moved.id, None);
        assert!(after.find("api.example.net").is_none());
    }

    #[test]
    fn demands_follow_an_apps_hosts() {
        let mut shown = Shown::default();
        let app = AppId::new();
        let authority = ClientAuthority {
            certificates: String::new(),
            is_optional: false,
        };
        let (one, two) = ([Arc::from("one.test")], [Arc::from("two.test")]);
        assert!(!shown.set_demand(app, (&[], &one), None));
        assert!(shown.set_demand(app, (&[], &one), Some(&authority)));
        let before = shown.demand("one.test").map(Arc::clone).unwrap();
        assert!(shown.set_demand(app, (&one, &two), Some(&authority)));
        assert!(shown.demand("one.test").is_none());
        assert!(Arc::ptr_eq(&before, shown.demand("two.test").unwrap()));
        assert!(shown.set_demand(app, (&two, &two), None));
        assert!(!shown.has_demands());
    }

    #[test]
    fn open_challenges_are_answered_by_path() {
        let certificates = Certificates::default();
        let mut shown = Shown::default();
        let challenge = Challenge::Http {
            token: "abc".to_owned(),
            answer: "abc.thumb".to_owned(),
        };
        let key = EntryKey::HttpChallenge("abc".to_owned());
        shown.set_answer(&key, Some(&challenge));
        certificates.show(shown.clone());
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
