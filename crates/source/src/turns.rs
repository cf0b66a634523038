//! Places among the requests served at once: so many in all, and of them only a part for one owner's
//! apps, so that nobody can take all places and keep the others out.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use api::ids::AccountId;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// A request waits this long for its turn before it is told to come again.
const WAIT: Duration = Duration::from_secs(30);
/// One owner gets at most this part of all places.
const SHARE: usize = 4;

#[derive(Debug)]
pub(crate) struct Turns {
    all: Arc<Semaphore>,
    each: usize,
    owners: Mutex<HashMap<AccountId, Weak<Semaphore>>>,
}

/// A place, until dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    _owner: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Turns {
    pub(crate) fn new(all: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(all)),
            each: (all / SHARE).max(1),
            owners: Mutex::default(),
        }
    }

    /// A place for a request about one of the owner's apps; `None` when there is none in time.
    pub(crate) async fn take(&self, owner: AccountId) -> Option<Turn> {
        let places = self.of(owner);
        timeout(WAIT, async {
            // The owner's first: whoever has used up their own must not wait in the way of others.
            Some(Turn {
                _owner: places.acquire_owned().await.ok()?,
                _all: Arc::clone(&self.all).acquire_owned().await.ok()?,
            })
        })
        .await
        .ok()?
    }

    fn of(&self, owner: AccountId) -> Arc<Semaphore> {
        let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(places) = owners.get(&owner).and_then(Weak::upgrade) {
            return places;
        }
        owners.retain(|_, places| places.strong_count() > 0);
        let places = Arc::new(Semaphore::new(self.each));
        owners.insert(owner, Arc::downgrade(&places));
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_owner_cannot_take_all_places() {
        let turns = Turns::new(8);
        let (greedy, other) = (AccountId::new(), AccountId::new());
        let taken = [turns.take(greedy).await, turns.take(greedy).await];
        assert!(taken.iter().all(Option::is_some));
        assert!(turns.take(greedy).await.is_none());
        assert!(turns.take(other).await.is_some());
        drop(taken);
        assert!(turns.take(greedy).await.is_some());
    }
}
