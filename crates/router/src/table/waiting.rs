//! The requests that wait for an app to boot, and their call for one that is asleep.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// An app's queue; it is the same over all tables.
#[derive(Debug, Default)]
pub(crate) struct Queue(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    count: usize,
    call: Option<Call>,
    next_call: u64,
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
        inner.call = Some(Call {
            number: inner.next_call,
            cause: cause(),
        });
        true
    }

    /// The app has been put to sleep: former calls are answered.
    pub(super) fn forget_call(&self) {
        self.lock().call = None;
    }

    pub(crate) fn current_call(&self) -> Option<Call> {
        self.lock().call.clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.lock().count
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
    use super::*;

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
