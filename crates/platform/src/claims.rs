//! Who attends to which dyno, so that each is attended to by one task only.
//!
//! [`Claims`] is a plain set. [`Watches`] also knows which dynos have been followed to their end,
//! so that none is followed twice and none is forgotten before its last line was read.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use api::{clock::Time, ids::DynoId};

/// A set of dynos. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Claims(Arc<Mutex<HashSet<DynoId>>>);

/// Says that somebody attends to a dyno, until dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    claims: Claims,
    dyno: DynoId,
}

impl Claims {
    /// The claim, unless somebody has it already.
    pub(crate) fn take(&self, dyno: DynoId) -> Option<Claim> {
        self.lock().insert(dyno).then(|| Claim {
            claims: self.clone(),
            dyno,
        })
    }

    /// Whether somebody attends to the dyno.
    pub(crate) fn contains(&self, dyno: DynoId) -> bool {
        self.lock().contains(&dyno)
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<DynoId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.claims.lock().remove(&self.dyno);
    }
}

#[derive(Clone, Copy, Debug)]
enum Watch {
    Following { since: Time },
    Done,
}

/// Dynos that are followed, or were to their end. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watches(Arc<Mutex<HashMap<DynoId, Watch>>>);

/// Says that somebody follows a dyno. Dropped before [`Following::done`], another may begin.
#[derive(Debug)]
pub(crate) struct Following {
    watches: Watches,
    dyno: DynoId,
}

impl Watches {
    /// The right to follow a dyno, unless it is followed or was to its end.
    pub(crate) fn begin(&self, dyno: DynoId, now: Time) -> Option<Following> {
        let mut watches = self.lock();
        if watches.contains_key(&dyno) {
            return None;
        }
        watches.insert(dyno, Watch::Following { since: now });
        Some(Following {
            watches: self.clone(),
            dyno,
        })
    }

    /// Since when the dyno is followed, if it is.
    pub(crate) fn following_since(&self, dyno: DynoId) -> Option<Time> {
        match self.lock().get(&dyno) {
            Some(Watch::Following { since }) => Some(*since),
            _ => None,
        }
    }

    /// Whether the dyno was followed to its end.
    pub(crate) fn is_done(&self, dyno: DynoId) -> bool {
        matches!(self.lock().get(&dyno), Some(Watch::Done))
    }

    /// Drops what is known of a dyno that is gone.
    pub(crate) fn forget(&self, dyno: DynoId) {
        self.lock().remove(&dyno);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<DynoId, Watch>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Following {
    /// The dyno has ended and all it wrote was read.
    pub(crate) fn done(self) {
        self.watches.lock().insert(self.dyno, Watch::Done);
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let mut watches = self.watches.lock();
        if matches!(watches.get(&self.dyno), Some(Watch::Following { .. })) {
            watches.remove(&self.dyno);
        }
    }
}
