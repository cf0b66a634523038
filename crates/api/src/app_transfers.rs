//! App transfer: an offer to give an app to another owner. `/account/app-transfers`.

use serde::{Deserialize, Serialize};

use crate::{
    clock::Time,
    ids::AppTransferId,
    references::{AppReference, UserReference},
    rfc3339,
};

/// An offer as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppTransfer {
    /// Which app.
    pub app: AppReference,
    /// Since when.
    #[serde(with = "rfc3339")]
    pub created_at: Time,
    /// The offer's id.
    pub id: AppTransferId,
    /// Who owned it when it was offered.
    pub owner: UserReference,
    /// Who may have it.
    pub recipient: UserReference,
    /// `pending`, `accepted` or `declined`.
    pub state: String,
    /// When it was answered.
    #[serde(with = "rfc3339")]
    pub updated_at: Time,
}

/// `POST /account/app-transfers`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewAppTransfer {
    /// Name or id of the app.
    pub app: String,
    /// Email address or id of the account.
    pub recipient: String,
    /// Whether not to send mail; no mail is sent either way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent: Option<bool>,
}

/// `PATCH /account/app-transfers/{transfer}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppTransferUpdate {
    /// `accepted` or `declined`.
    pub state: String,
}
