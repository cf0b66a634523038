//! Delinquency: when what is not paid for is taken away. `/account/delinquency`.

use serde::{Deserialize, Serialize};

use crate::{clock::Time, rfc3339};

/// What will happen to who does not pay. Nobody pays here, so nothing ever does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delinquency {
    /// When the account's apps are stopped.
    #[serde(with = "rfc3339::option")]
    pub scheduled_suspension_time: Option<Time>,
    /// When the account is deleted.
    #[serde(with = "rfc3339::option")]
    pub scheduled_deletion_time: Option<Time>,
}
