//! TLS: what an app asks of those who come to it over HTTPS, or without. `/apps/{app}/tls`, our own
//! addition.

use serde::{Deserialize, Serialize};

/// What an app asks of its clients.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppTls {
    /// Requests over plain HTTP are sent to HTTPS.
    #[serde(default)]
    pub redirect: bool,
    /// Sent with every answer over HTTPS.
    #[serde(default)]
    pub hsts: Option<Hsts>,
    /// Clients must show a certificate.
    #[serde(default)]
    pub client_authority: Option<ClientAuthority>,
}

/// `Strict-Transport-Security` (RFC 6797).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hsts {
    /// For how long browsers shall remember, in seconds.
    pub max_age_seconds: u64,
    /// Whether it goes for all names below the host, too.
    #[serde(default)]
    pub include_subdomains: bool,
    /// Whether browsers may build it in.
    #[serde(default)]
    pub preload: bool,
}

/// Who vouches for an app's clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientAuthority {
    /// Certificates of authorities, PEM.
    pub certificates: String,
    /// Whether a client without a certificate is let in, and told apart by the missing header.
    #[serde(default)]
    pub is_optional: bool,
}
