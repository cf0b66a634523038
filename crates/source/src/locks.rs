//! One lock per app, so that its pushes are built one after the other.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use api::ids::AppId;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// Held from before a build until its push has ended.
pub(crate) type AppLock = OwnedMutexGuard<()>;

#[derive(Debug, Default)]
pub(crate) struct AppLocks {
    apps: Mutex<HashMap<AppId, Weak<AsyncMutex<()>>>>,
}

impl AppLocks {
    /// The app's lock, to be taken with `lock_owned`; waiters get it in the order they came.
    pub(crate) fn of(&self, app: AppId) -> Arc<AsyncMutex<()>> {
        let mut apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = apps.get(&app).and_then(Weak::upgrade) {
            return lock;
        }
        apps.retain(|_, lock| lock.strong_count() > 0);
        let lock = Arc::default();
        apps.insert(app, Arc::downgrade(&lock));
        lock
    }
}
