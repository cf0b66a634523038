//! OAuth authorization: a token and what it may do. `/oauth/authorizations`.
//!
//! The token itself is shown once, when it is made; afterwards only its ends are.

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use uuid::Uuid;

use crate::{
    clock::Time,
    ids::{AccountId, AuthorizationId},
    rfc3339,
};

/// An authorization as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authorization {
    /// The token.
    pub access_token: Option<AccessToken>,
    /// The OAuth client it was made for.
    pub client: Option<OauthClient>,
    /// When it was made.
    #[serde(with = "rfc3339")]
    pub created_at: Time,
    /// What it is for, in the words of who made it.
    pub description: String,
    /// The code for its client, when it was just made.
    pub grant: Option<Grant>,
    /// The authorization's id.
    pub id: AuthorizationId,
    /// What makes a client's next token.
    pub refresh_token: Option<AccessToken>,
    /// What the token may do.
    pub scope: Vec<Scope>,
    /// The session it belongs to: itself, if somebody signed in for it with their password.
    pub session: Option<SessionReference>,
    /// When it last changed.
    #[serde(with = "rfc3339")]
    pub updated_at: Time,
    /// Whose it is.
    pub user: AuthorizationUser,
}

/// A code that a client exchanges for tokens, once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The code.
    pub code: String,
    /// Seconds until it expires.
    pub expires_in: u64,
    /// An id of the code, not secret.
    pub id: Uuid,
}

/// A session, by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionReference {
    /// The id.
    pub id: AuthorizationId,
}

/// The account in an [`Authorization`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorizationUser {
    /// The account's id.
    pub id: AccountId,
    /// Its email address.
    pub email: String,
    /// The person's name.
    pub full_name: Option<String>,
}

/// A token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessToken {
    /// Seconds until it expires, from now; `null` if it does not.
    pub expires_in: Option<i64>,
    /// An id of the token, not secret.
    pub id: Uuid,
    /// The token when it was just made, else its first and last characters around asterisks.
    pub token: String,
}

/// An OAuth client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OauthClient {
    /// The client's id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Where it takes people back to.
    pub redirect_uri: String,
}

/// `POST /oauth/authorizations`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewAuthorization {
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Seconds until it expires; never, if left out.
    #[serde(
        default,
        deserialize_with = "seconds",
        skip_serializing_if = "Option::is_none"
    )]
    pub expires_in: Option<i64>,
    /// The id of the OAuth client that it is for: answered with a code for it, not with a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// What it may do; everything, if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Vec<Scope>>,
}

/// Seconds as a number, or as digits: the official CLI sends what was typed.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Seconds {
        Number(i64),
        Digits(String),
    }
    match Option::<Seconds>::deserialize(deserializer)? {
        None => Ok(None),
        Some(Seconds::Number(number)) => Ok(Some(number)),
        Some(Seconds::Digits(digits)) => digits.parse().map(Some).map_err(D::Error::custom),
    }
}

/// `PATCH /oauth/authorizations/{authorization}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorizationUpdate {
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// What a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Everything the account may do.
    Global,
    /// See who the account is.
    Identity,
    /// See apps and what belongs to them, but for config vars and releases' config vars.
    Read,
    /// Change the same; includes `read`.
    Write,
    /// See everything, config vars included.
    ReadProtected,
    /// Change everything, config vars included; includes `read-protected`.
    WriteProtected,
}
