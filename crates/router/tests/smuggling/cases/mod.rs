//! The cases, by what they play with.

mod chunks;
mod framing;
mod heads;
mod hops;
mod lines;
pub(crate) mod responses;

use crate::case::Case;

/// All that clients send.
pub(crate) fn requests() -> Vec<Case> {
    let mut cases = framing::cases();
    cases.extend(chunks::cases());
    cases.extend(heads::cases());
    cases.extend(lines::cases());
    cases.extend(hops::cases());
    cases
}
