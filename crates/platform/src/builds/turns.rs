//! The queue of builds at work: a build's place in it, until that is dropped.
//!
//! Decides nothing, see [`super::queue`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::ids::{AccountId, AppId};
use tokio::sync::watch;

use super::queue::{Ahead, Bounds, Full, Number, Queue};

/// Builds of one app that may wait.
const WAITING_OF_APP: usize = 20;
/// Builds of all apps that may wait.
const WAITING: usize = 1000;

/// The queue that all builds of the platform share. Cloning shares it.
#[derive(Clone, Debug)]
pub(crate) struct Turns(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue<AppId, AccountId>>,
    /// Counts changes of the queue.
    changes: watch::Sender<u64>,
}

/// A build's place in the queue; dropping it leaves the queue.
#[derive(Debug)]
pub(crate) struct Turn {
    turns: Turns,
    number: Number,
}

impl Turns {
    pub(crate) fn new(places: usize) -> Self {
        let bounds = Bounds {
            places: places.max(1),
            waiting_of_app: WAITING_OF_APP,
            waiting: WAITING,
        };
        Self(Arc::new(Shared {
            queue: Mutex::new(Queue::new(bounds)),
            changes: watch::channel(0).0,
        }))
    }

    /// Takes a build in.
    pub(crate) fn enter(&self, app: AppId, owner: AccountId) -> Result<Turn, Full> {
        let number = self.change(|queue| queue.enter(app, owner))?;
        Ok(Turn {
            turns: self.clone(),
            number,
        })
    }

    fn change<T>(&self, change: impl FnOnce(&mut Queue<AppId, AccountId>) -> T) -> T {
        let result = {
            let mut queue = self.queue();
            let result = change(&mut queue);
            queue.begin();
            result
        };
        self.0
            .changes
            .send_modify(|count| *count = count.wrapping_add(1));
        result
    }

    fn queue(&self) -> MutexGuard<'_, Queue<AppId, AccountId>> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// Waits for what `known` does not say yet: another thing to wait for, or nothing any more.
    /// Safe to drop.
    pub(crate) async fn news(&self, known: Option<Ahead>) -> Option<Ahead> {
        let mut changes = self.turns.0.changes.subscribe();
        loop {
            changes.borrow_and_update();
            let now = self.turns.queue().ahead(self.number);
            // The sender lives as long as this.
            if now != known || now.is_none() || changes.changed().await.is_err() {
                return now;
            }
        }
    }

    /// Frees the place for another app's build; the app's own next one goes on waiting.
    pub(crate) fn release(&self) {
        self.turns.change(|queue| queue.release(self.number));
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.change(|queue| queue.leave(self.number));
    }
}

/// What a waiting build is told.
pub(crate) fn told(ahead: Ahead) -> String {
    match ahead {
        Ahead::Builds(1) => "Waiting for 1 build before this one".to_owned(),
        Ahead::Builds(count) => format!("Waiting for {count} builds before this one"),
        Ahead::Place(1) => "Waiting for another build to end".to_owned(),
        Ahead::Place(count) => format!("Waiting for one of {count} builds to end"),
        Ahead::OwnApp => "Waiting for the build of this app that is under way".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_hears_of_every_change_and_of_the_end() {
        let turns = Turns::new(1);
        let apps = [AppId::new(), AppId::new(), AppId::new()];
        let owner = AccountId::new();
        let [first, second, third] = apps.map(|app| turns.enter(app, owner).unwrap());
        assert_eq!(first.news(None).await, None);
        let ahead = third.news(None).await;
        assert_eq!(
            ahead.map(told).as_deref(),
            Some("Waiting for 1 build before this one")
        );
        drop(second);
        let ahead = third.news(ahead).await;
        assert_eq!(
            ahead.map(told).as_deref(),
            Some("Waiting for another build to end")
        );
        first.release();
        assert_eq!(third.news(ahead).await, None);
        let again = turns.enter(apps[0], owner).unwrap();
        drop(third);
        let ahead = again.news(None).await;
        assert_eq!(ahead, Some(Ahead::OwnApp));
        drop(first);
        assert_eq!(again.news(ahead).await, None);
    }
}
