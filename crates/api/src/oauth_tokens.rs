//! OAuth token: what a client gets for a code, or for the refresh token of the time before.
//! `/oauth/tokens`.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    authorizations::AccessToken,
    clock::Time,
    ids::{AccountId, AuthorizationId},
    rfc3339,
};

/// Tokens as the API shows them, once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OauthToken {
    /// What the client shows; it is valid for hours.
    pub access_token: AccessToken,
    /// What it belongs to.
    pub authorization: Named<AuthorizationId>,
    /// Always null: the client knows its secret.
    pub client: Option<ClientSecret>,
    /// When it was made.
    #[serde(with = "rfc3339")]
    pub created_at: Time,
    /// For what it was made.
    pub grant: TokenGrant,
    /// The id of the tokens.
    pub id: Uuid,
    /// What makes the next tokens, once.
    pub refresh_token: AccessToken,
    /// The authorization again: a client has no session of its own.
    pub session: Named<AuthorizationId>,
    /// When it was made.
    #[serde(with = "rfc3339")]
    pub updated_at: Time,
    /// For whom the client acts.
    pub user: Named<AccountId>,
}

/// Something by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named<Id> {
    /// The id.
    pub id: Id,
}

/// What a client shows that it is itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientSecret {
    /// The secret.
    #[serde(default)]
    pub secret: Option<String>,
}

/// For what tokens are made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenGrant {
    /// The code, if it was one; not told again.
    #[serde(default)]
    pub code: Option<String>,
    /// `authorization_code` or `refresh_token`.
    #[serde(rename = "type", default)]
    pub kind: Option<String>,
}

/// `POST /oauth/tokens`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewOauthToken {
    /// Which client asks.
    #[serde(default)]
    pub client: ClientSecret,
    /// For what.
    #[serde(default)]
    pub grant: TokenGrant,
    /// The refresh token, for `refresh_token`.
    #[serde(default)]
    pub refresh_token: RefreshToken,
}

/// A refresh token that is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshToken {
    /// The token.
    #[serde(default)]
    pub token: Option<String>,
}
