//! Config vars: an app's settings. Changing them makes a release.

use std::collections::BTreeMap;

use api::{
    config_vars::{ConfigVarUpdates, ConfigVars},
    names::ConfigVarName,
};
use serde_json::Value;
use store::App;

use crate::{
    Platform,
    caller::Caller,
    error::{Error, Result},
};

/// Longest value, and all of an app's names and values together (Heroku: 32 KiB; we are more
/// generous, since the kernel hands them to each process at most 2 MiB long).
const LARGEST_TOTAL_BYTES: usize = 64 * 1024;

impl Platform {
    /// An app's config vars.
    pub async fn config_vars(&self, app: &App) -> Result<ConfigVars> {
        Ok(self.store.config_vars(app.id).await?)
    }

    /// Sets and removes config vars, which makes a release unless nothing changes; answers with
    /// all of them.
    ///
    /// # Errors
    /// `Invalid` for a name or value that cannot be one.
    pub async fn update_config_vars(
        &self,
        caller: &Caller,
        app: &App,
        updates: BTreeMap<String, Value>,
    ) -> Result<ConfigVars> {
        let present = self.store.config_vars(app.id).await?;
        let updates = effective(checked(updates)?, &present);
        if updates.is_empty() {
            return Ok(present);
        }
        let mut after = present;
        for (name, value) in &updates {
            match value {
                Some(value) => after.insert(name.clone(), value.clone()),
                None => after.remove(name),
            };
        }
        let total: usize = after
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        if total > LARGEST_TOTAL_BYTES {
            return Err(Error::Invalid {
                message: format!(
                    "Config vars are too large: {total} of {LARGEST_TOTAL_BYTES} bytes"
                ),
            });
        }
        self.set_config_vars(caller, app.id, updates).await?;
        self.config_vars(app).await
    }

    /// The config vars that a release runs with.
    pub async fn release_config_vars(&self, app: &App, release: &str) -> Result<ConfigVars> {
        let release = self.release(app.id, release).await?;
        Ok(self.store.release_config_vars(release.id).await?)
    }
}

fn checked(updates: BTreeMap<String, Value>) -> Result<ConfigVarUpdates> {
    let invalid = |message: String| Error::Invalid { message };
    let mut checked = ConfigVarUpdates::new();
    for (name, value) in updates {
        let _: ConfigVarName = name
            .parse()
            .map_err(|error: api::names::NameError| invalid(error.to_string()))?;
        let value = match value {
            Value::Null => None,
            Value::String(value) if value.contains('\0') => {
                return Err(invalid(format!(
                    "Config var {name} must not contain a NUL byte"
                )));
            }
            Value::String(value) => Some(value),
            _ => {
                return Err(invalid(format!(
                    "Config var {name} must be a string or null"
                )));
            }
        };
        checked.insert(name, value);
    }
    Ok(checked)
}

/// Leaves out what is as it shall be.
fn effective(mut updates: ConfigVarUpdates, present: &ConfigVars) -> ConfigVarUpdates {
    updates.retain(|name, value| present.get(name) != value.as_ref());
    updates
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(updates: Value, expected: Result<&str, &str>) {
        let present = ConfigVars::from([("SAME".to_owned(), "1".to_owned())]);
        let updates = serde_json::from_value(updates).unwrap();
        let result = checked(updates)
            .map(|updates| serde_json::to_string(&effective(updates, &present)).unwrap());
        assert_eq!(
            result.as_deref().map_err(ToString::to_string),
            expected
                .map_err(str::to_owned)
                .as_deref()
                .map_err(Clone::clone)
        );
    }

    #[test]
    fn updates_are_checked_and_reduced() {
        check(json!({"A": "1", "SAME": "1"}), Ok(r#"{"A":"1"}"#));
        check(json!({"SAME": null, "NEVER": null}), Ok(r#"{"SAME":null}"#));
        check(
            json!({"A": 1}),
            Err("Config var A must be a string or null"),
        );
        check(
            json!({"A": "x\u{0}"}),
            Err("Config var A must not contain a NUL byte"),
        );
        let refused = "Config var name `A-B` is not valid: use letters, digits and underscores, \
                       and do not start with a digit";
        check(json!({"A-B": "1"}), Err(refused));
    }
}
