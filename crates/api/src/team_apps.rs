//! Team app: an app as a team sees it. `/teams/apps`, `/teams/{team}/apps`.

use serde::{Deserialize, Serialize};

use crate::apps::App;

/// An app, and what it is to its team.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TeamApp {
    /// The app.
    #[serde(flatten)]
    pub app: App,
    /// Whether the caller works on it.
    pub joined: bool,
    /// Whether members cannot let themselves on.
    pub locked: bool,
}

/// `POST /teams/apps`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewTeamApp {
    /// A name; one is made up if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Name or id of the team; the app is the caller's own without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// Whether it is the caller's own, whatever `team` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub personal: Option<bool>,
    /// Whether members cannot let themselves on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locked: Option<bool>,
    /// Name or id of a region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Name or id of a stack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<String>,
    /// A private space: none can be had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub space: Option<String>,
    /// Whether only other apps reach it; only `false` can be had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub internal_routing: Option<bool>,
}

/// `PATCH /teams/apps/{app}`: one of both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TeamAppUpdate {
    /// Whether members cannot let themselves on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locked: Option<bool>,
    /// Who shall own it: name or id of a team, email address or id of an account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}
