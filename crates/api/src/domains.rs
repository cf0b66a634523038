//! Domain: a host name that an app answers on. `/apps/{app}/domains`.

use serde::{Deserialize, Serialize};

use crate::{
    clock::Time,
    ids::DomainId,
    references::{AppReference, NameReference},
    rfc3339,
};

/// A domain as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Domain {
    /// How its automatic certificate stands.
    pub acm_status: Option<String>,
    /// Why it stands so.
    pub acm_status_reason: Option<String>,
    /// Whose domain it is.
    pub app: AppReference,
    /// What a DNS record for it should point at; `null` for the default domain.
    pub cname: Option<String>,
    /// When it was added.
    #[serde(with = "rfc3339")]
    pub created_at: Time,
    /// The host name.
    pub hostname: String,
    /// The domain's id.
    pub id: DomainId,
    /// Whether the platform gave it or a person added it.
    pub kind: DomainKind,
    /// When it last changed.
    #[serde(with = "rfc3339")]
    pub updated_at: Time,
    /// `none` once it is routed.
    pub status: String,
    /// The certificate it uses.
    pub sni_endpoint: Option<NameReference>,
}

/// Where a domain comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DomainKind {
    /// The default domain, made with the app.
    Heroku,
    /// Added by a person.
    Custom,
}

/// `POST /apps/{app}/domains`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewDomain {
    /// The host name; a leading `*.` takes every name below.
    pub hostname: String,
    /// Name or id of a certificate.
    #[serde(default)]
    pub sni_endpoint: Option<String>,
}

/// `PATCH /apps/{app}/domains/{domain}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainUpdate {
    /// Name or id of a certificate; `null` for none.
    #[serde(deserialize_with = "Option::deserialize")]
    pub sni_endpoint: Option<String>,
}
