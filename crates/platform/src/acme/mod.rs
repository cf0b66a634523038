//! Certificates from an authority that speaks ACME (RFC 8555): one order at a time, from the account
//! to the chain.
//!
//! When to order is not decided here: see `plan::certificates`. Read [`AcmeSettings`], then [`order`].

mod answers;
pub mod dns_updates;
mod http;
pub(crate) mod order;

use std::time::Duration;

use thiserror::Error;

use self::dns_updates::{DnsError, DnsUpdates};
use crate::certificates::Fault;

/// Where certificates come from, and how the platform shows that a domain is its own.
#[derive(Clone, Debug)]
pub struct AcmeSettings {
    /// The URL of the authority's directory.
    pub directory: String,
    /// Where the authority writes to.
    pub email: Option<String>,
    /// How ordinary domains are shown to be ours; wildcards always by DNS.
    pub challenge: ChallengeKind,
    /// Certificates, PEM, that the directory is trusted by beside those that the machine trusts.
    pub root: Option<String>,
    /// Changes DNS records, if the platform may.
    pub dns: Option<DnsUpdates>,
}

/// How a domain is shown to be ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChallengeKind {
    /// By an answer over plain HTTP on port 80: `http-01`.
    #[default]
    Http,
    /// By a certificate in a TLS handshake on port 443: `tls-alpn-01`.
    TlsAlpn,
    /// By a DNS record: `dns-01`.
    Dns,
}

impl ChallengeKind {
    /// How a host is shown to be ours: only DNS shows that of a wildcard.
    #[must_use]
    pub fn for_host(self, hostname: &str) -> Self {
        if hostname.starts_with("*.") {
            Self::Dns
        } else {
            self
        }
    }
}

/// Why no certificate was issued.
#[derive(Debug, Error)]
pub(crate) enum AcmeError {
    #[error("{}", problem(source))]
    Protocol {
        #[source]
        source: instant_acme::Error,
        /// How long the authority wants to be left alone, if it said.
        retry_after: Option<Duration>,
    },
    #[error("the authority offers no {0:?} challenge")]
    NoChallenge(ChallengeKind),
    #[error("{0}")]
    Invalid(String),
    #[error("no router is there to answer the authority")]
    NoRouter,
    #[error("DNS updates are not configured, and only they can show that a wildcard is ours")]
    NoDns,
    #[error("the DNS record could not be changed: {0}")]
    Dns(#[from] DnsError),
    #[error("the key or the request could not be made: {0}")]
    Request(#[from] rcgen::Error),
    #[error("the certificate cannot be used: {0}")]
    Unusable(#[from] Fault),
    #[error("the account could not be kept: {0}")]
    Account(#[from] serde_json::Error),
    #[error("the database failed")]
    Store(#[from] store::StoreError),
    #[error("the root certificate of the directory cannot be read")]
    Root,
    #[error("the authority took too long")]
    TooSlow,
}

impl AcmeError {
    /// The problem's type without its namespace: `rateLimited`.
    fn kind(&self) -> Option<&str> {
        let Self::Protocol {
            source: instant_acme::Error::Api(problem),
            ..
        } = self
        else {
            return None;
        };
        problem.r#type.as_deref()?.rsplit(':').next()
    }

    /// Whether our account is no longer an account there.
    pub(crate) fn is_account_gone(&self) -> bool {
        matches!(self.kind(), Some("accountDoesNotExist" | "unauthorized"))
    }

    /// Whether the authority wants fewer requests.
    pub(crate) fn is_rate_limit(&self) -> bool {
        self.kind() == Some("rateLimited")
    }

    /// How long the authority wants to be left alone, if it said.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Protocol { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// In the authority's own words where it has any.
fn problem(error: &instant_acme::Error) -> String {
    match error {
        instant_acme::Error::Api(problem) => {
            let detail = problem.detail.as_deref().unwrap_or("no reason given");
            let first = problem.subproblems.first();
            let first = first.and_then(|problem| problem.detail.as_deref());
            format!(
                "the certificate authority refused: {}",
                first.unwrap_or(detail)
            )
        }
        instant_acme::Error::Other(other) => {
            format!("the certificate authority cannot be reached: {other}")
        }
        other => format!("the certificate authority: {other}"),
    }
}
