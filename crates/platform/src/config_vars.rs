//! Config vars: an app's settings. Changing them makes a release, and telling them an event.

use std::collections::BTreeMap;

use api::{
    config_vars::{ConfigVarUpdates, ConfigVars},
    names::ConfigVarName,
};
use serde_json::{Value, json};
use store::{App, NewEvent};

use crate::{
    Platform,
    caller::Caller,
    error::{Error, Result},
};

/// Longest value, and all of an app's names and values together (Heroku: 32 KiB; we are more
/// generous, since the kernel hands them to each process at most 2 MiB long).
const LARGEST_TOTAL_BYTES: usize = 64 * 1024;

impl Platform {
    /// An app's config vars, after noting who is told them.
    pub async fn config_vars(&self, caller: &Caller, app: &App) -> Result<ConfigVars> {
        let vars = self.store.config_vars(app.id).await?;
        self.note_read(caller, app, (app.id.to_string(), &vars))
            .await?;
        Ok(vars)
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
            return self.config_vars(caller, app).await;
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
        self.config_vars(caller, app).await
    }

    /// The config vars that a release runs with, after noting who is told them.
    pub async fn release_config_vars(
        &self,
        caller: &Caller,
        app: &App,
        release: &str,
    ) -> Result<ConfigVars> {
        let release = self.release(app.id, release).await?;
        let vars = self.store.release_config_vars(release.id).await?;
        self.note_read(caller, app, (release.id.to_string(), &vars))
            .await?;
        Ok(vars)
    }

    /// Records that the caller is told the config vars of an app or release: their names alone.
    async fn note_read(
        &self,
        caller: &Caller,
        app: &App,
        (subject, vars): (String, &ConfigVars),
    ) -> Result<()> {
        let names: Vec<&String> = vars.keys().collect();
        let event = NewEvent {
            app: Some(app.id),
            kind: "config-vars.read",
            subject,
            details: json!({ "names": names }),
        };
        Ok(self.store.record_event(&caller.change(), event).await?)
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
