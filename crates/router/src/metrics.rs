//! What the router counts, for who operates it, and the page that shows it.
//!
//! It must not make a request wait: lanes count for themselves, without a lock and without telling
//! anybody; who wants to know reads what they have counted. Read [`Ledger`] first, where the counts
//! of all lanes are found, then [`LaneCounts`], a lane's end of it, then [`Sources`], of which the
//! page is made.

mod cells;
mod contact;
mod counts;
mod families;
mod ledger;
mod page;
mod process;
mod server;
mod text;

pub(crate) use self::{
    cells::Distribution,
    counts::{Ended, LaneCounts, SerialHasher, Unrouted},
    ledger::{AppTotals, Ledger},
    page::Sources,
    server::Door,
};
