//! Team: a group of people that owns apps. `/teams`.

use serde::{Deserialize, Serialize};

use crate::{clock::Time, ids::TeamId, names::TeamName, references::NameReference, rfc3339};

/// A team as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Team {
    /// When it was made.
    #[serde(with = "rfc3339")]
    pub created_at: Time,
    /// Always false: there are no invoices.
    pub credit_card_collections: bool,
    /// Whether the caller's apps are made in it by default: never.
    pub default: bool,
    /// The enterprise account it is part of: none.
    pub enterprise_account: Option<NameReference>,
    /// The team's id.
    pub id: TeamId,
    /// Which provider signs its members in: none.
    pub identity_provider: Option<NameReference>,
    /// How many members it may have; `null` is no limit.
    pub membership_limit: Option<u64>,
    /// Its name.
    pub name: TeamName,
    /// Always false: nothing is licensed.
    pub provisioned_licenses: bool,
    /// What the caller is to it.
    pub role: Option<String>,
    /// Always `team`.
    #[serde(rename = "type")]
    pub kind: String,
    /// When it last changed.
    #[serde(with = "rfc3339")]
    pub updated_at: Time,
}

/// `POST /teams`. Addresses and cards may be sent and are neither needed nor kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewTeam {
    /// Its name.
    pub name: String,
}

/// `PATCH /teams/{team}`. A field that is left out stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TeamUpdate {
    /// A new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether the caller's apps are made in it by default; only `false` can be had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<bool>,
}
