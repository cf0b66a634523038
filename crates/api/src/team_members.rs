//! Team member: a person in a team. `/teams/{team}/members`.

use serde::{Deserialize, Serialize};

use crate::{
    clock::Time,
    ids::{AccountId, TeamMemberId},
    references::NameReference,
    rfc3339,
};

/// A member as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TeamMember {
    /// Since when.
    #[serde(with = "rfc3339")]
    pub created_at: Time,
    /// The address that the person signs in with.
    pub email: String,
    /// Always false: nobody else signs them in.
    pub federated: bool,
    /// The membership's id.
    pub id: TeamMemberId,
    /// Which provider signs them in: none.
    pub identity_provider: Option<NameReference>,
    /// `admin`, `member`, …
    pub role: String,
    /// Whether signing in asks them for a second factor.
    pub two_factor_authentication: bool,
    /// When the role last changed.
    #[serde(with = "rfc3339")]
    pub updated_at: Time,
    /// Who.
    pub user: TeamUser,
}

/// A person, as teams show one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TeamUser {
    /// The address that the person signs in with.
    pub email: String,
    /// The account's id.
    pub id: AccountId,
    /// What the person is called.
    pub name: Option<String>,
}

/// `PUT`, `POST` and `PATCH /teams/{team}/members`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewTeamMember {
    /// Who.
    pub email: String,
    /// As what.
    pub role: String,
}
