//! Team invitation: that somebody may join a team. `/teams/{team}/invitations`.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    clock::Time, ids::TeamInvitationId, references::NameReference, rfc3339, team_members::TeamUser,
};

/// An invitation as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TeamInvitation {
    /// Where the invited joins, in a browser: only in the answer to who invites, once. There is no
    /// mail; whoever invites hands it on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accept_url: Option<String>,
    /// Since when.
    #[serde(with = "rfc3339")]
    pub created_at: Time,
    /// The invitation's id.
    pub id: TeamInvitationId,
    /// Who says so.
    pub invited_by: TeamUser,
    /// As what.
    pub role: String,
    /// To which team.
    pub team: NameReference,
    /// The secret of `/teams/invitations/{token}`: as [`Self::accept_url`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// When it last changed.
    #[serde(with = "rfc3339")]
    pub updated_at: Time,
    /// Who.
    pub user: InvitedUser,
}

/// The invited. Without an account yet, the id follows from the address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvitedUser {
    /// The address.
    pub email: String,
    /// Of the account, if there is one.
    pub id: Uuid,
    /// What the person is called.
    pub name: Option<String>,
}
