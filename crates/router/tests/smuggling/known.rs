//! Cases that do not pass yet. The list only shrinks: a listed case that passes fails the suite.

/// What clients send.
pub(crate) const REQUESTS: &[&str] = &[];

/// What dynos answer.
pub(crate) const REPLIES: &[&str] = &[];

/// The same over the bridge, where characters that no address has go on in percent.
pub(crate) const BRIDGED_REQUESTS: &[&str] = &["line GET /case|{}<>\"^` HTTP/1.1"];

/// The same for answers.
pub(crate) const BRIDGED_REPLIES: &[&str] = &[];
