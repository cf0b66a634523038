//! App features: what an app may switch on. One table; switched ones have a row.

use api::clock::Time;
use store::App;

use crate::{
    Platform,
    caller::Caller,
    error::{Error, Result},
};

/// A feature as it stands for one app.
#[derive(Clone, Debug)]
pub struct FeatureState {
    /// The feature.
    pub feature: &'static Feature,
    /// Whether it is on.
    pub is_enabled: bool,
    /// When it was last switched.
    pub updated_at: Option<Time>,
}

/// A feature.
#[derive(Debug)]
pub struct Feature {
    /// Its name in the API.
    pub name: &'static str,
    /// Its name for people.
    pub display_name: &'static str,
    /// What it does.
    pub description: &'static str,
    /// Whether it is on where nobody switched it.
    pub is_default: bool,
    /// Whether it can be switched at all.
    pub is_fixed: bool,
}

/// What the official CLI asks for before `ps:exec`, `ps:copy` and `ps:forward`, which go through
/// Heroku's own SSH servers.
const EXEC: &str = "runtime-heroku-exec";
const INSTEAD_OF_EXEC: &str = "This platform has no SSH tunnels, which Heroku Exec needs. Use \
    `landfall ps:exec`, `landfall ps:copy` and `landfall ps:forward`, or `heroku run:inside`.";

/// The same dyno again for a client that comes back.
pub(crate) const SESSION_AFFINITY: &str = "http-session-affinity";

const FEATURES: &[Feature] = &[
    Feature {
        name: SESSION_AFFINITY,
        display_name: "Session affinity",
        description: "Sends a client to the same web dyno again, as long as it is up, by a cookie.",
        is_default: false,
        is_fixed: false,
    },
    Feature {
        name: "preboot",
        display_name: "Preboot",
        description: "New web dynos answer before the old ones stop. Always on.",
        is_default: true,
        is_fixed: true,
    },
];

impl Platform {
    /// Every feature as it stands for an app.
    pub async fn app_features(&self, app: &App) -> Result<Vec<FeatureState>> {
        let rows = self.store.app_features(app.id).await?;
        let state = |feature: &'static Feature| {
            let row = rows.iter().find(|row| row.name == feature.name);
            FeatureState {
                feature,
                is_enabled: row.map_or(feature.is_default, |row| row.enabled),
                updated_at: row.map(|row| row.updated_at),
            }
        };
        Ok(FEATURES.iter().map(state).collect())
    }

    /// One feature as it stands for an app.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for [`EXEC`], with what stands in for it.
    pub async fn app_feature(&self, app: &App, name: &str) -> Result<FeatureState> {
        if name == EXEC {
            return Err(Error::Invalid {
                message: INSTEAD_OF_EXEC.to_owned(),
            });
        }
        let found = self.app_features(app).await?.into_iter();
        found
            .into_iter()
            .find(|state| state.feature.name == name)
            .ok_or_else(|| Error::NotFound {
                resource: "app_feature",
                name: name.to_owned(),
            })
    }

    /// Switches a feature.
    pub async fn update_app_feature(
        &self,
        caller: &Caller,
        app: &App,
        name: &str,
        is_enabled: bool,
    ) -> Result<FeatureState> {
        let state = self.app_feature(app, name).await?;
        if state.is_enabled == is_enabled {
            return Ok(state);
        }
        if state.feature.is_fixed {
            return Err(Error::Invalid {
                message: format!("{name} cannot be switched."),
            });
        }
        self.store
            .update_app_feature(&caller.change(), app.id, name, is_enabled)
            .await?;
        self.nudges.nudge(app.id);
        self.app_feature(app, name).await
    }
}
