//! Formation: how many dynos of each process type an app runs. `/apps/{app}/formation`.

use serde::{Deserialize, Serialize};

use crate::{
    clock::Time,
    ids::FormationId,
    names::ProcessType,
    references::{AppReference, NameReference},
    rfc3339,
};

/// One process type's formation as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Formation {
    /// Whose formation it is.
    pub app: AppReference,
    /// What its dynos run.
    pub command: String,
    /// When the type first appeared.
    #[serde(with = "rfc3339")]
    pub created_at: Time,
    /// The size of its dynos.
    pub dyno_size: NameReference,
    /// The formation's id.
    pub id: FormationId,
    /// How many dynos.
    pub quantity: u32,
    /// The size of its dynos by name, as clients write it: `Standard-1X`.
    pub size: String,
    /// The process type.
    #[serde(rename = "type")]
    pub process_type: ProcessType,
    /// When it last changed.
    #[serde(with = "rfc3339")]
    pub updated_at: Time,
}

/// `PATCH /apps/{app}/formation`: all updates are made, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormationUpdates {
    /// What to change.
    pub updates: Vec<FormationUpdate>,
}

/// One entry of [`FormationUpdates`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormationUpdate {
    /// Process type, or the formation's id.
    #[serde(rename = "type", default)]
    pub process_type: String,
    /// A new count; stays if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<Quantity>,
    /// A new size by name; stays if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// The same in the schema's form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dyno_size: Option<SizeIdentity>,
    /// An image that was pushed for the process type, to be released: the digest of its
    /// configuration (Docker's image id) or of its manifest. `null` takes the process type away.
    #[serde(
        default,
        deserialize_with = "crate::null::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub docker_image: Option<Option<String>>,
}

/// How many dynos: `2`, or relative to now, `"+1"` and `"-1"`; clients also send `"2"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Quantity {
    /// This many.
    Count(u32),
    /// A number as text, with a sign if it is a change.
    Text(String),
}

/// A dyno size in a request: its name, or an object with its name or id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SizeIdentity {
    /// The name alone.
    Name(String),
    /// An object.
    Reference {
        /// The size's name.
        #[serde(default)]
        name: Option<String>,
        /// The size's id.
        #[serde(default)]
        id: Option<uuid::Uuid>,
    },
}
