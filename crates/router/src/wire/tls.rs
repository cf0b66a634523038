//! What the router needs to speak TLS for the apps: certificates, answers to a certificate
//! authority's challenges, and what each app asks of its clients.
//!
//! Private keys travel in the clear over a socket that only our own user may open, and lie in a
//! file that only it may read. Read [`Certificate`] first.

use std::fmt;

use api::ids::{AppId, SniEndpointId};
use serde::{Deserialize, Serialize};

/// A certificate and the hosts it is shown for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Its key in the table: what is told again under the same id replaces it.
    pub id: SniEndpointId,
    /// Whose hosts these are; a certificate that cannot be used hurts this app only.
    pub app: AppId,
    /// Host names, lower case; `*.example.com` takes the names one label below that have no
    /// certificate of their own.
    pub hosts: Vec<String>,
    /// PEM, the host's own certificate first.
    pub chain: String,
    /// PEM.
    pub key: PrivateKey,
    /// A DER-encoded OCSP response to staple.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ocsp: Option<Vec<u8>>,
}

/// A private key in PEM, which is never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PrivateKey(pub String);

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(..)")
    }
}

/// What a certificate authority will look for to see that a host is ours (RFC 8555 §8.3, RFC 8737).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Challenge {
    /// `GET /.well-known/acme-challenge/TOKEN`, whatever the host, is answered with this.
    Http {
        /// Its key in the table.
        token: String,
        /// The key authorization.
        answer: String,
    },
    /// A handshake for this host that offers `acme-tls/1` alone is shown this.
    TlsAlpn {
        /// Its key in the table: a host name, lower case.
        host: String,
        /// PEM.
        chain: String,
        /// PEM.
        key: PrivateKey,
    },
}
