//! Cases that do not pass yet. The list only shrinks: a listed case that passes fails the suite.

/// What clients send.
pub(crate) const REQUESTS: &[&str] = &[];

/// What dynos answer.
pub(crate) const REPLIES: &[&str] = &[];
