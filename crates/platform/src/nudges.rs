//! Which apps need a look, and that no two passes over one app run at once.
//!
//! Anything may nudge an app any number of times; a nudge during a pass makes one more pass.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use api::ids::AppId;
use tokio::sync::{mpsc, watch};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    Queued,
    Running { again: bool },
}

/// Cloning shares the state.
#[derive(Clone, Debug)]
pub(crate) struct Nudges {
    passes: Arc<Mutex<HashMap<AppId, Pass>>>,
    queue: mpsc::UnboundedSender<AppId>,
    /// Counts nudges of any app, for those who wait for a change.
    changes: watch::Sender<u64>,
}

/// The receiving end: apps whose pass is due.
pub(crate) type Due = mpsc::UnboundedReceiver<AppId>;

impl Nudges {
    pub(crate) fn new() -> (Self, Due) {
        let (queue, due) = mpsc::unbounded_channel();
        (
            Self {
                passes: Arc::default(),
                queue,
                changes: watch::channel(0).0,
            },
            due,
        )
    }

    /// Asks for a pass over the app.
    pub(crate) fn nudge(&self, app: AppId) {
        self.count();
        let mut passes = self.lock();
        match passes.get_mut(&app) {
            Some(Pass::Queued) => {}
            Some(Pass::Running { again }) => *again = true,
            None => {
                passes.insert(app, Pass::Queued);
                self.send(app);
            }
        }
    }

    /// A pass begins: nudges from here on ask for another. It ends when dropped, also by a panic.
    pub(crate) fn begin(&self, app: AppId) -> RunningPass {
        self.lock().insert(app, Pass::Running { again: false });
        RunningPass {
            nudges: self.clone(),
            app,
        }
    }

    fn end(&self, app: AppId) {
        let mut passes = self.lock();
        if passes.remove(&app) == Some(Pass::Running { again: true }) {
            passes.insert(app, Pass::Queued);
            self.send(app);
        }
        drop(passes);
        self.count();
    }

    /// Changes whenever something may have changed: a nudge came or a pass ended.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn count(&self) {
        self.changes
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AppId, Pass>> {
        self.passes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, app: AppId) {
        if self.queue.send(app).is_err() {
            tracing::debug!(%app, "nobody reconciles any more");
        }
    }
}

/// A pass over one app, under way. Dropping it queues the next one if it was asked for meanwhile.
#[derive(Debug)]
pub(crate) struct RunningPass {
    nudges: Nudges,
    app: AppId,
}

impl Drop for RunningPass {
    fn drop(&mut self) {
        self.nudges.end(self.app);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nudge_during_a_pass_makes_exactly_one_more() {
        let (nudges, mut due) = Nudges::new();
        let app = AppId::new();
        nudges.nudge(app);
        nudges.nudge(app);
        assert_eq!(due.try_recv(), Ok(app));
        assert!(due.try_recv().is_err());
        let pass = nudges.begin(app);
        nudges.nudge(app);
        nudges.nudge(app);
        assert!(due.try_recv().is_err());
        drop(pass);
        assert_eq!(due.try_recv(), Ok(app));
        drop(nudges.begin(app));
        assert!(due.try_recv().is_err());
    }
}
