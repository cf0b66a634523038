//! OAuth client: a program that people let act for them. `/oauth/clients`.

use serde::{Deserialize, Serialize};

use crate::{clock::Time, ids::OauthClientId, rfc3339};

/// A client as the API shows it to its owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OauthClient {
    /// When it was made.
    #[serde(with = "rfc3339")]
    pub created_at: Time,
    /// The client's id.
    pub id: OauthClientId,
    /// Always null: nobody is in debt.
    pub ignores_delinquent: Option<bool>,
    /// What people are told that it is called.
    pub name: String,
    /// Where it takes people back to.
    pub redirect_uri: String,
    /// What it shows when it exchanges a code for tokens.
    pub secret: String,
    /// When it last changed.
    #[serde(with = "rfc3339")]
    pub updated_at: Time,
}

/// `POST /oauth/clients`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewOauthClient {
    /// What people are told that it is called.
    pub name: String,
    /// Where it takes people back to: `https://…`, or `http://` of this machine.
    pub redirect_uri: String,
}

/// `PATCH /oauth/clients/{client}`. A field that is left out stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OauthClientUpdate {
    /// What people are told that it is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where it takes people back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect_uri: Option<String>,
}
