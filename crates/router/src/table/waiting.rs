//! The requests that wait for an app to boot, and their call for one that is asleep.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// An app's queue; it is the same over all tables.
#[derive(Debug, Default)]
pub(crate) struct Queue(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    count: usize,
    /// Boxed, since hardly any app has one.
    call: Option<Box<Call>>,
    next_call: u64,
    /// Told when the app changes; made when first needed, since most apps never have to wait.
    changed: Option<Arc<Notify>>,
}

/// What the server shall be told, once: a request waits for an app that is asleep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// Differs from call to call of the app.
    pub(crate) number: u64,
    pub(crate) cause: String,
}

/// A request waiting for its app to boot; it stops waiting when this is dropped.
#[derive(Debug)]
pub(crate) struct Waiting(Arc<Queue>);

impl Queue {
    /// Queues a request; `None` when `limit` requests wait already.
    pub(super) fn join(self: &Arc<Self>, limit: usize) -> Option<Waiting> {
        let mut inner = self.lock();
        if inner.count >= limit {
            return None;
        }
        inner.count += 1;
        Some(Waiting(Arc::clone(self)))
    }

    /// Calls for the app. Returns whether this is a new call: one is enough as long as any request
    /// waits and the app is not put to sleep again.
    pub(super) fn call(&self, cause: impl FnOnce() -> String) -> bool {
        let mut inner = self.lock();
        if inner.count == 0 || inner.call.is_some() {
            return false;
        }
        inner.next_call += 1;
        inner.call = Some(Box::new(Call {
            number: inner.next_call,
            cause: cause(),
        }));
        true
    }

    /// The app has been put to sleep: former calls are answered.
    pub(super) fn forget_call(&self) {
        self.lock().call = None;
    }

    /// The app has changed: whoever waits looks again.
    pub(super) fn tell_changed(&self) {
        let changed = self.lock().changed.clone();
        if let Some(changed) = changed {
            changed.notify_waiters();
        }
    }

    pub(crate) fn current_call(&self) -> Option<Call> {
        self.lock().call.as_deref().cloned()
    }

    pub(crate) fn count(&self) -> usize {
        self.lock().count
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Ready when the app has changed since this was called. Safe to drop.
    pub(crate) fn changed(&self) -> impl Future<Output = ()> + use<> {
        let mut inner = self.0.lock();
        Arc::clone(inner.changed.get_or_insert_default()).notified_owned()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut inner = self.0.lock();
        inner.count -= 1;
        if inner.count == 0 {
            // Whoever comes next calls again: this call may have been lost.
            inner.call = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, time::Duration};

    use super::*;

    #[tokio::test]
    async fn who_waits_is_told_when_its_own_app_changes() {
        let (own, other) = (Arc::new(Queue::default()), Arc::new(Queue::default()));
        let (waiting, _beside) = (own.join(2).unwrap(), other.join(2).unwrap());
        let mut changed = pin!(waiting.changed());
        other.tell_changed();
        let mut at_once = async || tokio::time::timeout(Duration::ZERO, changed.as_mut()).await;
        assert!(at_once().await.is_err());
        // Also before anybody listens with both ears.
        own.tell_changed();
        at_once().await.unwrap();
    }

    #[test]
    fn one_call_as_long_as_any_request_waits() {
        let queue = Arc::new(Queue::default());
        let call = |cause: &str| queue.call(|| cause.to_owned());
        assert!(!call("nobody waits"));
        let first = queue.join(2).unwrap();
        assert!(call("GET /"));
        let second = queue.join(2).unwrap();
        assert!(queue.join(2).is_none());
        assert!(!call("GET /second"));
        drop(first);
        assert_eq!(queue.current_call().unwrap().cause, "GET /");
        drop(second);
        assert_eq!(queue.current_call(), None);
        let _third = queue.join(2).unwrap();
        assert!(call("GET /third"));
        assert_eq!(queue.current_call().unwrap().number, 2);
        queue.forget_call();
        assert!(call("GET /after another sleep"));
    }
}
