//! Collaborator: a person who may work on an app, its owner included.
//! `/apps/{app}/collaborators`.

use serde::{Deserialize, Serialize};

use crate::{
    clock::Time,
    ids::{AccountId, CollaboratorId},
    references::AppReference,
    rfc3339,
};

/// A collaborator as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collaborator {
    /// The app worked on.
    pub app: AppReference,
    /// Since when.
    #[serde(with = "rfc3339")]
    pub created_at: Time,
    /// The collaborator's id, of this person on this app.
    pub id: CollaboratorId,
    /// What they may do.
    pub permissions: Vec<Permission>,
    /// `owner` or `collaborator`.
    pub role: Role,
    /// When it last changed.
    #[serde(with = "rfc3339")]
    pub updated_at: Time,
    /// Who.
    pub user: CollaboratorUser,
}

/// The account of a [`Collaborator`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollaboratorUser {
    /// The address that the person signs in with.
    pub email: String,
    /// Whether another identity provider signs them in.
    pub federated: bool,
    /// The account's id.
    pub id: AccountId,
}

/// A named permission.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permission {
    /// `view`, `deploy`, `operate`, `manage`.
    pub name: String,
    /// What it allows.
    pub description: String,
}

/// What a person is to an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Owns it.
    Owner,
    /// Is an admin of the team that owns it.
    Admin,
    /// Is in the team that owns it.
    Member,
    /// Works on it.
    Collaborator,
}

/// `POST /apps/{app}/collaborators`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewCollaborator {
    /// Email address or account id.
    pub user: String,
    /// What they may do there: of `view`, `deploy`, `operate`, `manage`. All but the last, if it is
    /// left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions: Option<Vec<String>>,
    /// Whether not to send mail; no mail is sent either way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent: Option<bool>,
}

/// `PATCH /teams/apps/{app}/collaborators/{collaborator}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollaboratorUpdate {
    /// What they may do there.
    pub permissions: Vec<String>,
}
