//! Who changes something, from where and why: handed to every function that writes.

use std::{fmt, str::FromStr};

use api::ids::AccountId;

use crate::UnknownWord;

/// Who acts. As text: `system` or `account:<id>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Actor {
    /// A person or robot that signed in.
    Account(AccountId),
    /// The platform itself.
    System,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(account) => write!(f, "account:{account}"),
            Self::System => f.write_str("system"),
        }
    }
}

impl FromStr for Actor {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "system" {
            return Ok(Self::System);
        }
        text.strip_prefix("account:")
            .and_then(|id| id.parse().ok())
            .map(Self::Account)
            .ok_or_else(|| UnknownWord(text.to_owned()))
    }
}

/// The story behind a change; its event tells it. None of it may hold a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Who acts.
    pub actor: Actor,
    /// From where: an IP address, `git`, `reconciler`.
    pub origin: String,
    /// Because of what: `PATCH /apps/x/config-vars`, `build 0192…`.
    pub cause: String,
    /// The request that carried it, if one did.
    pub request_id: Option<String>,
}

impl Change {
    /// A change by a signed-in account.
    pub fn by(account: AccountId, origin: impl Into<String>, cause: impl Into<String>) -> Self {
        Self {
            actor: Actor::Account(account),
            origin: origin.into(),
            cause: cause.into(),
            request_id: None,
        }
    }

    /// A change that the platform makes on its own.
    pub fn by_system(origin: impl Into<String>, cause: impl Into<String>) -> Self {
        Self {
            actor: Actor::System,
            origin: origin.into(),
            cause: cause.into(),
            request_id: None,
        }
    }
}
