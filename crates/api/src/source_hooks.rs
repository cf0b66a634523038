//! Source hook: a webhook of a code host that deploys an app on each push to its branch.
//! `/apps/{app}/source-hooks`, an addition to Heroku's API.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    clock::Time,
    ids::{BuildId, SourceHookId},
    rfc3339,
};

/// A hook as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceHook {
    /// When it was made.
    #[serde(with = "rfc3339")]
    pub created_at: Time,
    /// The hook's id.
    pub id: SourceHookId,
    /// What the sender is told to sign with; shown once, when the hook is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// Who calls it.
    pub sender: Sender,
    /// Where the sender is told to send to.
    pub url: String,
}

/// `POST /apps/{app}/source-hooks`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewSourceHook {
    /// Who will call it.
    pub sender: Sender,
}

/// What a delivery is answered with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    /// What was done.
    pub message: String,
    /// The build that was begun, if one was.
    pub build: Option<BuildId>,
}

/// A kind of code host; each signs in its own way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sender {
    /// GitHub.
    Github,
    /// GitLab.
    Gitlab,
    /// Gitea and Forgejo.
    Gitea,
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Github => "github",
            Self::Gitlab => "gitlab",
            Self::Gitea => "gitea",
        })
    }
}

/// A word that is no sender's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is none of github, gitlab and gitea")]
pub struct UnknownSender(String);

impl FromStr for Sender {
    type Err = UnknownSender;

    fn from_str(text: &str) -> Result<Self, UnknownSender> {
        match text {
            "github" => Ok(Self::Github),
            "gitlab" => Ok(Self::Gitlab),
            "gitea" | "forgejo" => Ok(Self::Gitea),
            _ => Err(UnknownSender(text.to_owned())),
        }
    }
}
