//! Stack: the root filesystem under builds and dynos. `GET /stacks`.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{clock::Time, names::StackName, rfc3339};

/// A stack as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stack {
    /// Whether new apps get it.
    #[serde(rename = "default")]
    pub is_default: bool,
    /// When it was introduced.
    #[serde(with = "rfc3339")]
    pub created_at: Time,
    /// The stack's id.
    pub id: Uuid,
    /// The stack's name.
    pub name: StackName,
    /// `public`, `beta` or `deprecated`.
    pub state: String,
    /// When it last changed.
    #[serde(with = "rfc3339")]
    pub updated_at: Time,
}
