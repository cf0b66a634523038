//! SNI endpoint: a certificate and the domains it is shown for. `/apps/{app}/sni-endpoints`.

use serde::{Deserialize, Serialize};

use crate::{
    clock::Time,
    ids::{DomainId, SniEndpointId},
    references::AppReference,
    rfc3339,
};

/// A certificate as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SniEndpoint {
    /// Whose certificate it is.
    pub app: AppReference,
    /// PEM, the domains' own certificate first.
    pub certificate_chain: String,
    /// When it was added.
    #[serde(with = "rfc3339")]
    pub created_at: Time,
    /// A name for people: none.
    pub display_name: Option<String>,
    /// The domains it is shown for.
    pub domains: Vec<DomainId>,
    /// Its id.
    pub id: SniEndpointId,
    /// Its name, made up.
    pub name: String,
    /// What the certificate says.
    pub ssl_cert: SslCertificate,
    /// When it last changed.
    #[serde(with = "rfc3339")]
    pub updated_at: Time,
}

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SslCertificate {
    /// Whether it was made and is renewed by the platform.
    pub acm: bool,
    /// Whether this machine trusts who signed it.
    #[serde(rename = "ca_signed?")]
    pub is_ca_signed: bool,
    /// The host names it is for.
    pub cert_domains: Vec<String>,
    /// When it ends.
    #[serde(with = "rfc3339")]
    pub expires_at: Time,
    /// The endpoint's id: a certificate has none of its own.
    pub id: SniEndpointId,
    /// Who signed it.
    pub issuer: String,
    /// Whether it signed itself.
    #[serde(rename = "self_signed?")]
    pub is_self_signed: bool,
    /// When it begins.
    #[serde(with = "rfc3339")]
    pub starts_at: Time,
    /// Whom it names.
    pub subject: String,
}

/// `POST` and `PATCH /apps/{app}/sni-endpoints`.
#[derive(Clone, Deserialize, Serialize)]
pub struct NewSniEndpoint {
    /// PEM, the domains' own certificate first, then who signed it, and so on.
    pub certificate_chain: String,
    /// PEM.
    pub private_key: String,
}

impl std::fmt::Debug for NewSniEndpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewSniEndpoint").finish_non_exhaustive()
    }
}
