//! What is said between the rooms and with the outside: ids, names, resources, errors.
//!
//! It must not know how anything is stored, built, run or routed. Read [`ids`] first, then the
//! resource file you need: each is named after its Heroku resource, the same in every layer.
#![warn(missing_docs)]

pub mod clock;
pub mod ids;
pub mod names;
