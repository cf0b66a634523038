//! Config vars: an app's settings and secrets, each sealed with the app's data key.
//!
//! They change only with a release, see [`Store::create_release`].

use std::collections::BTreeMap;

use api::ids::AppId;
use sqlx::query;

use crate::{
    Result, Store,
    columns::{Columns, Record, list},
    seal::{DataKey, Purpose},
    write::Write,
};

/// Config var name → value.
pub(crate) type ConfigVars = BTreeMap<String, String>;

struct SealedConfigVar {
    name: String,
    sealed: String,
}

impl Record for SealedConfigVar {
    const RESOURCE: &'static str = "config var";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        Ok(Self {
            name: columns.text("name")?,
            sealed: columns.text("sealed")?,
        })
    }
}

/// The names a change sets and removes: all that may be told about it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ConfigDifference {
    pub(crate) set: Vec<String>,
    pub(crate) unset: Vec<String>,
}

impl Store {
    /// An app's config vars as the next release would get them: name → value.
    pub async fn config_vars(&self, app: AppId) -> Result<BTreeMap<String, String>> {
        let key = self.data_key(app).await?;
        let statement =
            query("SELECT name, sealed FROM config_vars WHERE app_id = $1").bind(app.to_string());
        open(&key, list(self.backend.reader(), statement).await?)
    }
}

/// The app's config vars within a transaction.
pub(crate) async fn current(
    write: &mut Write<'_>,
    key: &DataKey,
    app: AppId,
) -> Result<ConfigVars> {
    let statement =
        query("SELECT name, sealed FROM config_vars WHERE app_id = $1").bind(app.to_string());
    open(key, list(write.connection(), statement).await?)
}

/// Writes the rows that differ between `before` and `after`.
pub(crate) async fn replace(
    write: &mut Write<'_>,
    (key, app): (&DataKey, AppId),
    before: &ConfigVars,
    after: &ConfigVars,
) -> Result<ConfigDifference> {
    let difference = difference(before, after);
    for name in &difference.unset {
        let statement = query("DELETE FROM config_vars WHERE app_id = $1 AND name = $2")
            .bind(app.to_string())
            .bind(name.clone());
        write.run(statement).await?;
    }
    for name in &difference.set {
        let statement = query(
            "INSERT INTO config_vars (app_id, name, sealed, updated_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT (app_id, name)
             DO UPDATE SET sealed = excluded.sealed, updated_at = excluded.updated_at",
        )
        .bind(app.to_string())
        .bind(name.clone())
        .bind(key.seal(Purpose::ConfigVar(name), &after[name]))
        .bind(write.now.as_micros());
        write.run(statement).await?;
    }
    Ok(difference)
}

fn open(key: &DataKey, sealed: Vec<SealedConfigVar>) -> Result<ConfigVars> {
    sealed
        .into_iter()
        .map(|var| {
            let value = key.open(Purpose::ConfigVar(&var.name), &var.sealed)?;
            Ok((var.name, value))
        })
        .collect()
}

fn difference(before: &ConfigVars, after: &ConfigVars) -> ConfigDifference {
    let set = after
        .iter()
        .filter(|(name, value)| before.get(*name) != Some(*value));
    let unset = before.keys().filter(|name| !after.contains_key(*name));
    ConfigDifference {
        set: set.map(|(name, _)| name.clone()).collect(),
        unset: unset.cloned().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vars(pairs: &[(&str, &str)]) -> ConfigVars {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn only_changed_names_are_written() {
        let before = vars(&[("KEPT", "1"), ("CHANGED", "1"), ("GONE", "1")]);
        let after = vars(&[("KEPT", "1"), ("CHANGED", "2"), ("NEW", "1")]);
        let difference = difference(&before, &after);
        assert_eq!(difference.set, ["CHANGED", "NEW"]);
        assert_eq!(difference.unset, ["GONE"]);
    }
}
