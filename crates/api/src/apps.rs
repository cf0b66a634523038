//! App: what everything else belongs to. `/apps`.

use serde::{Deserialize, Serialize};

use crate::{
    clock::Time,
    ids::AppId,
    names::AppName,
    references::{NameReference, UserReference},
    rfc3339,
};

/// An app as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct App {
    /// Whether certificates for custom domains are made automatically.
    pub acm: bool,
    /// When the app was archived.
    #[serde(with = "rfc3339::option")]
    pub archived_at: Option<Time>,
    /// The language of the newest slug: `Python`.
    pub buildpack_provided_description: Option<String>,
    /// The stack that the next build runs on.
    pub build_stack: NameReference,
    /// When the app was made.
    #[serde(with = "rfc3339")]
    pub created_at: Time,
    /// Which runtime runs the app: always `cedar`.
    pub generation: NameReference,
    /// Where to push.
    pub git_url: String,
    /// The app's id.
    pub id: AppId,
    /// Whether only other apps reach it.
    pub internal_routing: Option<bool>,
    /// Whether requests are answered with the maintenance page.
    pub maintenance: bool,
    /// The app's name, also its label in URLs.
    pub name: AppName,
    /// Who owns it.
    pub owner: UserReference,
    /// The team it belongs to.
    pub organization: Option<NameReference>,
    /// The same under its newer name.
    pub team: Option<NameReference>,
    /// Where it runs.
    pub region: NameReference,
    /// When the current release went live.
    #[serde(with = "rfc3339::option")]
    pub released_at: Option<Time>,
    /// Size of the git repository in bytes.
    pub repo_size: Option<u64>,
    /// Size of the current slug in bytes.
    pub slug_size: Option<u64>,
    /// The private space it runs in: none.
    pub space: Option<NameReference>,
    /// The stack that the app runs on.
    pub stack: NameReference,
    /// When the app last changed.
    #[serde(with = "rfc3339")]
    pub updated_at: Time,
    /// Where it answers.
    pub web_url: Option<String>,
}

/// `POST /apps`. Every field may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewApp {
    /// A name; one is made up if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Name or id of a region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Name or id of a stack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<String>,
}

/// `PATCH /apps/{app}`. A field that is left out stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppUpdate {
    /// A new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Maintenance mode on or off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<bool>,
    /// Name or id of the stack for the next build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_stack: Option<String>,
}

/// `POST /filters/apps`: the apps with these ids, of those the caller may see.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppFilter {
    /// What to look for.
    #[serde(default, rename = "in", skip_serializing_if = "Option::is_none")]
    pub within: Option<AppFilterIds>,
}

/// An app as `POST /filters/apps` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilteredApp {
    /// The app.
    #[serde(flatten)]
    pub app: App,
    /// Whether the caller works on it.
    pub joined: bool,
    /// Whether members of its team are kept from joining.
    pub locked: bool,
}

/// The ids of an [`AppFilter`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppFilterIds {
    /// Ids; ones that are no app's are passed over.
    #[serde(default)]
    pub id: Vec<AppId>,
}
