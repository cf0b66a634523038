//! Config vars: an app's settings, in its environment. `/apps/{app}/config-vars`.

use std::collections::BTreeMap;

/// Every config var of an app or a release: name to value.
pub type ConfigVars = BTreeMap<String, String>;

/// `PATCH /apps/{app}/config-vars`: name to new value; `null` removes; the rest stays.
pub type ConfigVarUpdates = BTreeMap<String, Option<String>>;
