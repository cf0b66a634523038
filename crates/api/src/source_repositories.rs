//! Source repository: where an app's source is kept, if elsewhere. `/apps/{app}/source-repository`,
//! an addition to Heroku's API.

use serde::{Deserialize, Serialize};

use crate::{clock::Time, rfc3339};

/// A repository as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRepository {
    /// The branch that is deployed.
    pub branch: String,
    /// When the app was first given one.
    #[serde(with = "rfc3339")]
    pub created_at: Time,
    /// The public half of the app's deploy key, which a private repository must be told.
    pub deploy_key: String,
    /// When it was last changed.
    #[serde(with = "rfc3339")]
    pub updated_at: Time,
    /// Its address: `https://…`, or for the deploy key `git@HOST:PATH` or `ssh://…`.
    pub url: String,
}

/// `PUT /apps/{app}/source-repository`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewSourceRepository {
    /// The branch that is deployed; `main`, if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Its address.
    pub url: String,
}
