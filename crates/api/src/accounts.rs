//! Account: a person or robot that signs in. `GET /account`, `GET /users/{account}`.

use serde::{Deserialize, Serialize};

use crate::{clock::Time, ids::AccountId, references::NameReference, rfc3339};

/// An account as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "the published shape")]
pub struct Account {
    /// What the person said; nothing is tracked.
    pub allow_tracking: bool,
    /// What the person said; nothing comes of it.
    pub beta: bool,
    /// Unknown.
    pub country_of_residence: Option<String>,
    /// When the account was made.
    #[serde(with = "rfc3339")]
    pub created_at: Time,
    /// The team that apps are made in by default.
    pub default_organization: Option<NameReference>,
    /// The same under its newer name.
    pub default_team: Option<NameReference>,
    /// Never set: there are no invoices.
    #[serde(with = "rfc3339::option")]
    pub delinquent_at: Option<Time>,
    /// The address that people sign in with.
    pub email: String,
    /// Whether another identity provider signs this account in.
    pub federated: bool,
    /// The account's id.
    pub id: AccountId,
    /// Which provider that is.
    pub identity_provider: Option<NameReference>,
    /// When a token was last made with the password.
    #[serde(with = "rfc3339::option")]
    pub last_login: Option<Time>,
    /// The person's name.
    pub name: Option<String>,
    /// Unused.
    pub sms_number: Option<String>,
    /// Never set.
    #[serde(with = "rfc3339::option")]
    pub suspended_at: Option<Time>,
    /// Whether signing in asks for a second factor.
    pub two_factor_authentication: bool,
    /// When the account last changed.
    #[serde(with = "rfc3339")]
    pub updated_at: Time,
    /// Always true: an account does not need a payment method.
    pub verified: bool,
}

/// `PATCH /account`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountUpdate {
    /// Whether the person may be tracked; nothing comes of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_tracking: Option<bool>,
    /// Whether the person wants to try new things; nothing comes of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beta: Option<bool>,
    /// A new name; `null` leaves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The present password or a valid token, needed to set a new password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// A new password, at least 12 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_password: Option<String>,
}
