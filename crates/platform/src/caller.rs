//! Who asks for something, for authorization and for the record.

use api::ids::AccountId;
use store::{Actor, Change};

/// The person or robot behind one request.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The account whose token was shown.
    pub account: AccountId,
    /// Its email address.
    pub email: String,
    /// Where the request came from: an address.
    pub origin: String,
    /// The request's id.
    pub request_id: String,
    /// What was asked: `PATCH /apps/example/config-vars`.
    pub cause: String,
}

impl Caller {
    /// The record that goes with every change this request makes.
    pub fn change(&self) -> Change {
        Change {
            actor: Actor::Account(self.account),
            origin: self.origin.clone(),
            cause: self.cause.clone(),
            request_id: Some(self.request_id.clone()),
        }
    }
}

/// The record of a change the platform makes by itself.
pub(crate) fn system_change(cause: impl Into<String>) -> Change {
    Change {
        actor: Actor::System,
        origin: "platform".to_owned(),
        cause: cause.into(),
        request_id: None,
    }
}
