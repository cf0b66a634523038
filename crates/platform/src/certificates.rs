//! What a certificate says, and whether it can be served. Pure functions over PEM.

use std::sync::{Arc, OnceLock};

use api::clock::Time;
use rustls::{
    RootCertStore,
    client::verify_server_cert_signed_by_trust_anchor,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject},
    server::ParsedCertificate,
    sign::CertifiedKey,
};
use store::CertificatePair;
use thiserror::Error;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// Certificates in one chain; browsers give up before.
const MOST_IN_CHAIN: usize = 10;
/// A chain or a key as text.
const MOST_PEM_BYTES: usize = 64 * 1024;

/// What the first certificate of a chain says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// The host names it is for, lower case.
    pub domains: Vec<String>,
    /// Whom it names.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// When it begins.
    pub starts_at: Time,
    /// When it ends.
    pub expires_at: Time,
}

/// Why a certificate cannot be served. The text is for who brought it.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Fault {
    /// Nothing between `BEGIN` and `END CERTIFICATE`.
    #[error("No certificate was found in the chain: it must be PEM text")]
    NoCertificate,
    /// Damaged.
    #[error("Certificate {0} of the chain cannot be read")]
    Unreadable(usize),
    /// More than anybody needs.
    #[error("The chain is too long")]
    TooLong,
    /// Nothing between `BEGIN` and `END PRIVATE KEY`, or with a passphrase.
    #[error("No private key was found: it must be PEM text without a passphrase")]
    NoKey,
    /// Of a kind that nobody should use, or damaged.
    #[error(
        "The private key is of a kind that is not supported: use RSA (2048 bits or more), ECDSA P-256 or P-384, or Ed25519"
    )]
    UnsupportedKey,
    /// Of another certificate of the chain.
    #[error(
        "The private key belongs to certificate {0} of the chain: put that one first, then the one that signed it, and so on"
    )]
    LeafIsNotFirst(usize),
    /// Of another certificate altogether.
    #[error("The private key does not belong to the certificate")]
    WrongKey,
    /// Mixed up, or with a gap.
    #[error(
        "Certificate {0} of the chain is not signed by the next one: put each certificate before the one that signed it"
    )]
    Disordered(usize),
    /// Too late.
    #[error("The certificate has expired at {0}")]
    Expired(Time),
    /// It names no host.
    #[error("The certificate names no host")]
    NoDomains,
}

/// Reads the first certificate of a chain.
pub fn read(chain: &str) -> Result<Contents, Fault> {
    let certificates = parse_chain(chain)?;
    let leaf = certificates.first().ok_or(Fault::NoCertificate)?;
    contents(leaf).ok_or(Fault::Unreadable(1))
}

/// Checks that chain and key can be served together.
pub fn check(chain: &str, key: &str, now: Time) -> Result<CertificatePair, Fault> {
    let certificates = parse_chain(chain)?;
    let read: Vec<X509Certificate<'_>> = certificates
        .iter()
        .enumerate()
        .map(|(index, der)| {
            let parsed = X509Certificate::from_der(der).map(|(_, parsed)| parsed);
            parsed.map_err(|_| Fault::Unreadable(index + 1))
        })
        .collect::<Result<_, _>>()?;
    check_key(&certificates, key)?;
    for (index, pair) in read.windows(2).enumerate() {
        if let [one, next] = pair
            && one.issuer().as_raw() != next.subject().as_raw()
        {
            return Err(Fault::Disordered(index + 1));
        }
    }
    let leaf = certificates.first().ok_or(Fault::NoCertificate)?;
    let contents = contents(leaf).ok_or(Fault::Unreadable(1))?;
    if contents.expires_at <= now {
        return Err(Fault::Expired(contents.expires_at));
    }
    if contents.domains.is_empty() {
        return Err(Fault::NoDomains);
    }
    Ok(CertificatePair {
        certificate_chain: chain.to_owned(),
        private_key: key.to_owned(),
        starts_at: contents.starts_at,
        expires_at: contents.expires_at,
    })
}

/// Whether a certificate for `domains` is good for a host; a wildcard for itself and for the names
/// one label below its parent (RFC 6125 §6.4.3).
pub fn covers(domains: &[String], hostname: &str) -> bool {
    let above = hostname
        .split_once('.')
        .map(|(_, parent)| format!("*.{parent}"));
    domains
        .iter()
        .any(|domain| domain == hostname || above.as_ref() == Some(domain))
}

fn parse_chain(chain: &str) -> Result<Vec<CertificateDer<'static>>, Fault> {
    if chain.len() > MOST_PEM_BYTES {
        return Err(Fault::TooLong);
    }
    let mut certificates = Vec::new();
    for (index, parsed) in CertificateDer::pem_slice_iter(chain.as_bytes()).enumerate() {
        certificates.push(parsed.map_err(|_| Fault::Unreadable(index + 1))?);
    }
    match certificates.len() {
        0 => Err(Fault::NoCertificate),
        1..=MOST_IN_CHAIN => Ok(certificates),
        _ => Err(Fault::TooLong),
    }
}

fn check_key(chain: &[CertificateDer<'static>], key: &str) -> Result<(), Fault> {
    if key.len() > MOST_PEM_BYTES {
        return Err(Fault::NoKey);
    }
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| Fault::NoKey)?;
    let signing =
        rustls::crypto::ring::sign::any_supported_type(&key).map_err(|_| Fault::UnsupportedKey)?;
    let belongs = |certificate: &CertificateDer<'static>| {
        let pair = CertifiedKey::new(vec![certificate.clone()], Arc::clone(&signing));
        pair.keys_match().is_ok()
    };
    match chain.iter().position(belongs) {
        Some(0) => Ok(()),
        Some(index) => Err(Fault::LeafIsNotFirst(index + 1)),
        None => Err(Fault::WrongKey),
    }
}

fn contents(der: &CertificateDer<'_>) -> Option<Contents> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let at = |time: x509_parser::time::ASN1Time| {
        Time::from_micros(time.timestamp().saturating_mul(1_000_000))
    };
    let validity = certificate.validity();
    let mut domains: Vec<String> = certificate
        .subject_alternative_name()
        .ok()?
        .into_iter()
        .flat_map(|names| &names.value.general_names)
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        })
        .collect();
    if domains.is_empty() {
        let common = certificate.subject().iter_common_name();
        let names = common.filter_map(|name| name.as_str().ok());
        domains.extend(names.map(str::to_ascii_lowercase));
    }
    Some(Contents {
        domains,
        subject: certificate.subject().to_string(),
        issuer: certificate.issuer().to_string(),
        starts_at: at(validity.not_before),
        expires_at: at(validity.not_after),
    })
}

/// Whom this machine trusts; read when first asked for.
#[derive(Debug, Default)]
pub(crate) struct Trust(OnceLock<Arc<RootCertStore>>);

impl Trust {
    pub(crate) fn roots(&self) -> Arc<RootCertStore> {
        let load = || {
            let mut roots = RootCertStore::empty();
            let found = rustls_native_certs::load_native_certs();
            for error in &found.errors {
                tracing::warn!(%error, "cannot read a certificate that this machine trusts");
            }
            roots.add_parsable_certificates(found.certs);
            Arc::new(roots)
        };
        Arc::clone(self.0.get_or_init(load))
    }

    /// Whether the machine trusts who signed the chain.
    pub(crate) fn vouches_for(&self, chain: &str, now: Time) -> bool {
        let Ok(certificates) = parse_chain(chain) else {
            return false;
        };
        let Some((leaf, others)) = certificates.split_first() else {
            return false;
        };
        let seconds = u64::try_from(now.as_micros() / 1_000_000).unwrap_or_default();
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        ParsedCertificate::try_from(leaf).is_ok_and(|leaf| {
            let algorithms = default_provider().signature_verification_algorithms;
            verify_server_cert_signed_by_trust_anchor(
                &leaf,
                &self.roots(),
                others,
                now,
                algorithms.all,
            )
            .is_ok()
        })
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

    use super::*;

    fn issuer(name: &str) -> CertifiedIssuer<'static, KeyPair> {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap()
    }

    fn leaf(issuer: &CertifiedIssuer<'static, KeyPair>) -> (String, String) {
        let names = vec!["www.example.com".to_owned(), "*.Example.org".to_owned()];
        let mut parameters = CertificateParams::new(names).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2024, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(2034, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    #[test]
    fn chains_and_keys() {
        let (authority, other) = (issuer("Authority"), issuer("Other"));
        let (leaf, key) = leaf(&authority);
        let (root, other_root) = (authority.pem(), other.pem());
        let other_key = KeyPair::generate().unwrap().serialize_pem();
        let damaged = leaf.replace("MII", "MIX");
        let (now, late) = (1_800_000_000_000_000, 2_100_000_000_000_000);
        let expired = Fault::Expired(Time::from_micros(2_019_686_400_000_000));
        for (chain, key, now, expected) in [
            (leaf.clone(), &key, now, None),
            (format!("{leaf}{root}"), &key, now, None),
            (
                format!("{root}{leaf}"),
                &key,
                now,
                Some(Fault::LeafIsNotFirst(2)),
            ),
            (
                format!("{leaf}{other_root}"),
                &key,
                now,
                Some(Fault::Disordered(1)),
            ),
            (leaf.clone(), &other_key, now, Some(Fault::WrongKey)),
            (leaf.clone(), &String::new(), now, Some(Fault::NoKey)),
            (leaf.clone(), &leaf, now, Some(Fault::NoKey)),
            (String::new(), &key, now, Some(Fault::NoCertificate)),
            (key.clone(), &key, now, Some(Fault::NoCertificate)),
            (damaged, &key, now, Some(Fault::Unreadable(1))),
            (leaf.clone(), &key, late, Some(expired)),
            (leaf.repeat(11), &key, now, Some(Fault::TooLong)),
        ] {
            let checked = check(&chain, key, Time::from_micros(now));
            assert_eq!(checked.err(), expected, "{chain}");
        }
        let contents = read(&leaf).unwrap();
        assert_eq!(contents.domains, ["www.example.com", "*.example.org"]);
        assert!(contents.issuer.contains("CN=Authority"), "{contents:?}");
        assert!(!Trust::default().vouches_for(&leaf, Time::from_micros(now)));
    }

    #[test]
    fn hosts_that_a_certificate_is_good_for() {
        let domains = ["www.example.com", "*.example.org"].map(str::to_owned);
        for (hostname, expected) in [
            ("www.example.com", true),
            ("example.com", false),
            ("api.example.org", true),
            ("*.example.org", true),
            ("example.org", false),
            ("a.b.example.org", false),
        ] {
            assert_eq!(covers(&domains, hostname), expected, "{hostname}");
        }
    }
}
