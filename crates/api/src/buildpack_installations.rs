//! Buildpack installation: a buildpack chosen for an app. `/apps/{app}/buildpack-installations`.

use serde::{Deserialize, Serialize};

/// One chosen buildpack and its place in the order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildpackInstallation {
    /// Counts from 0.
    pub ordinal: u32,
    /// Which buildpack.
    pub buildpack: Buildpack,
}

/// A buildpack, by name or URL.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Buildpack {
    /// A URL, or a name such as `heroku/python`. Never empty in answers.
    #[serde(default)]
    pub url: String,
    /// The short name where there is one, else the URL.
    #[serde(default)]
    pub name: String,
}

/// `PUT /apps/{app}/buildpack-installations`: the complete new list, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildpackUpdates {
    /// The buildpacks; none lets builds detect the language.
    pub updates: Vec<BuildpackUpdate>,
}

/// One entry of [`BuildpackUpdates`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildpackUpdate {
    /// Name or URL. The CLI leaves it out for a name that the registry does not know.
    #[serde(default)]
    pub buildpack: String,
}
