//! Pushes under way: what ties git's hook, which knows only a secret id, to the request it serves.

use std::{
    collections::HashMap,
    ops::Deref,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use api::{client::Client, ids::AppId, names::AppName};
use tokio::time::Instant;

use crate::{locks::AppLock, target::Target, wire::Update};

/// Every push whose git process runs, by id.
#[derive(Default)]
pub(crate) struct Pushes {
    open: Mutex<HashMap<String, Arc<Push>>>,
}

/// One push.
pub(crate) struct Push {
    pub(crate) app: AppId,
    pub(crate) name: AppName,
    /// The API as whoever pushes.
    pub(crate) client: Client,
    pub(crate) repository: PathBuf,
    pub(crate) began: Instant,
    ending: Mutex<Ending>,
}

#[derive(Default)]
struct Ending {
    is_over: bool,
    /// The app's lock, held until git has moved the branch.
    lock: Option<AppLock>,
    deployed: Option<Update>,
}

/// A push for as long as its git process runs; dropping it frees the app for the next one.
pub(crate) struct OpenPush {
    id: String,
    push: Arc<Push>,
    pushes: Arc<Pushes>,
}

impl Pushes {
    pub(crate) fn begin(self: &Arc<Self>, target: Target) -> OpenPush {
        let id = format!("{:032x}", rand::random::<u128>());
        let push = Arc::new(Push {
            app: target.app,
            name: target.name,
            client: target.client,
            repository: target.repository,
            began: Instant::now(),
            ending: Mutex::default(),
        });
        lock(&self.open).insert(id.clone(), Arc::clone(&push));
        OpenPush {
            id,
            push,
            pushes: Arc::clone(self),
        }
    }

    pub(crate) fn find(&self, id: &str) -> Option<Arc<Push>> {
        lock(&self.open).get(id).cloned()
    }
}

impl Push {
    /// Notes that the build went live and keeps the app locked until git has ended.
    pub(crate) fn keep(&self, app_lock: AppLock, deployed: Update) {
        let mut ending = lock(&self.ending);
        if !ending.is_over {
            ending.lock = Some(app_lock);
            ending.deployed = Some(deployed);
        }
    }

    /// The update that went live, if one did.
    pub(crate) fn deployed(&self) -> Option<Update> {
        lock(&self.ending).deployed.clone()
    }
}

impl OpenPush {
    /// The id that the hook must show.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }
}

impl Deref for OpenPush {
    type Target = Push;

    fn deref(&self) -> &Push {
        &self.push
    }
}

impl Drop for OpenPush {
    fn drop(&mut self) {
        lock(&self.pushes.open).remove(&self.id);
        let mut ending = lock(&self.push.ending);
        *ending = Ending {
            is_over: true,
            ..Ending::default()
        };
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
