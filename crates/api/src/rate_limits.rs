//! Rate limit: how many more requests an account may make now. `GET /account/rate-limits`.

use serde::{Deserialize, Serialize};

/// A rate limit as the API shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimit {
    /// Requests left; asking for this does not count.
    pub remaining: u32,
}
