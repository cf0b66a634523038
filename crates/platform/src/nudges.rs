//! Which apps need a look, and that no two passes over one app run at once.
//!
//! Anything may nudge an app any number of times; a nudge during a pass makes one more pass.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
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
        self.changes
            .send_modify(|count| *count = count.wrapping_add(1));
        let mut passes = self.passes.lock().unwrap_or_else(PoisonError::into_inner);
        match passes.get_mut(&app) {
            Some(Pass::Queued) => {}
            Some(Pass::Running { again }) => *again = true,
            None => {
                passes.insert(app, Pass::Queued);
                self.send(app);
            }
        }
    }

    /// A pass begins: nudges from here on ask for another.
    pub(crate) fn begin(&self, app: AppId) {
        let mut passes = self.passes.lock().unwrap_or_else(PoisonError::into_inner);
        passes.insert(app, Pass::Running { again: false });
    }

    /// A pass has ended; queues the next one if it was asked for meanwhile.
    pub(crate) fn end(&self, app: AppId) {
        let mut passes = self.passes.lock().unwrap_or_else(PoisonError::into_inner);
        if passes.remove(&app) == Some(Pass::Running { again: true }) {
            passes.insert(app, Pass::Queued);
            self.send(app);
        }
        drop(passes);
        self.changes
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Changes whenever something may have changed: a nudge came or a pass ended.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn send(&self, app: AppId) {
        if self.queue.send(app).is_err() {
            tracing::debug!(%app, "nobody reconciles any more");
        }
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
        nudges.begin(app);
        nudges.nudge(app);
        nudges.nudge(app);
        assert!(due.try_recv().is_err());
        nudges.end(app);
        assert_eq!(due.try_recv(), Ok(app));
        nudges.begin(app);
        nudges.end(app);
        assert!(due.try_recv().is_err());
    }
}
