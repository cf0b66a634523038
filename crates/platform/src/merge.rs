//! Settings that are changed by name: what is left out stays, `null` is as if it were never set.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// `present` with what `update` says; `kind` names the settings to people. They must refuse unknown
/// names.
pub(crate) fn merged<T>(present: &T, update: Map<String, Value>, kind: &str) -> Result<T>
where
    T: Serialize + DeserializeOwned + Clone,
{
    let invalid = |error: serde_json::Error| Error::Invalid {
        message: format!("These are no {kind} settings: {error}."),
    };
    let Value::Object(mut all) = serde_json::to_value(present).map_err(invalid)? else {
        return Ok(present.clone());
    };
    for (name, value) in update {
        // Also of a setting that is off: a misspelt name must not pass for one.
        if value.is_null() {
            let probe = Map::from_iter([(name.clone(), Value::Null)]);
            if is_unknown::<T>(probe) {
                return Err(Error::Invalid {
                    message: format!("There is no {kind} setting {name}."),
                });
            }
            all.remove(&name);
        } else {
            all.insert(name, value);
        }
    }
    serde_json::from_value(Value::Object(all)).map_err(invalid)
}

fn is_unknown<T: DeserializeOwned>(probe: Map<String, Value>) -> bool {
    serde_json::from_value::<T>(Value::Object(probe))
        .is_err_and(|error| error.to_string().starts_with("unknown field"))
}
