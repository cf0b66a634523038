//! What the control thread should look at again, since something happened to it.

use std::sync::{Mutex, PoisonError};

use api::ids::{AppId, DynoId};
use tokio::sync::Notify;

/// What may be new to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    /// A dyno of an app: its ticket, or whether requests are in flight on it.
    Dyno(AppId, DynoId),
    /// An app that is asleep, or was.
    App(AppId),
}

/// A list that threads add to and one thread takes.
#[derive(Debug, Default)]
pub(crate) struct News {
    subjects: Mutex<Vec<Subject>>,
    notify: Notify,
}

impl News {
    /// To be called after what happened has been written where [`News::take`]'s caller looks.
    pub(crate) fn tell(&self, subject: Subject) {
        self.lock().push(subject);
        self.notify.notify_one();
    }

    /// Everything since the last call.
    pub(crate) fn take(&self) -> Vec<Subject> {
        std::mem::take(&mut *self.lock())
    }

    /// Returns when there is something to take. Safe to drop.
    pub(crate) async fn wait(&self) {
        self.notify.notified().await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Subject>> {
        self.subjects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
