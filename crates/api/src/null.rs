//! Tells `null` from what is left out, for requests in which they differ.

use serde::{Deserialize, Deserializer};

/// For `deserialize_with`, beside `default`: only what is present comes here.
#[expect(
    clippy::option_option,
    reason = "absent, null and a value are three things"
)]
pub(crate) fn present<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Some)
}
