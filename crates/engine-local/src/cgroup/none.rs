//! No control groups: an ordinary user may make none. Nothing is limited by them, and nothing known.

use std::{io, path::PathBuf};

use shim::start::Place;

use super::{Hierarchy, Setting, Usage, View, Wanted};

/// See the module.
#[derive(Debug)]
pub(super) struct NoGroups;

impl Hierarchy for NoGroups {
    fn directories(&self, _leaf: &str) -> Vec<PathBuf> {
        Vec::new()
    }

    fn settings(&self, _leaf: &str, _wanted: &Wanted) -> Vec<Setting> {
        Vec::new()
    }

    fn place(&self, _leaf: &str) -> Place {
        Place::default()
    }

    fn views(&self, _leaf: &str) -> Vec<View> {
        Vec::new()
    }

    fn usage(&self, _leaf: &str) -> Usage {
        Usage::default()
    }

    fn reclaim(&self, _leaf: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
