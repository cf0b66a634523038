//! A set of dynos that somebody attends to, so that each is attended to by one task only.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use api::ids::DynoId;

/// Cloning shares the set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Claims(Arc<Mutex<HashSet<DynoId>>>);

impl Claims {
    /// Whether the caller is the one to attend to the dyno.
    #[must_use]
    pub(crate) fn begin(&self, dyno: DynoId) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(dyno)
    }

    /// Nobody attends to the dyno any more.
    pub(crate) fn end(&self, dyno: DynoId) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&dyno);
    }

    /// Whether somebody attends to the dyno.
    pub(crate) fn contains(&self, dyno: DynoId) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&dyno)
    }
}
