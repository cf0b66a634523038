//! Deadlines of one thread's connections, to a tenth of a second: setting one is a store, so every
//! request can afford it.
//!
//! A deadline is never early: it fires between its time and two ticks later. Read [`Timer`].

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::{Context, Waker},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

/// Between two looks at all deadlines.
const TICK: Duration = Duration::from_millis(100);
const TICK_MS: u64 = 100;
/// No deadline.
const NEVER: u64 = u64::MAX;

/// All deadlines of a thread.
#[derive(Debug)]
pub(crate) struct Timers {
    started: Instant,
    /// Milliseconds since then, as of the last tick.
    now_ms: Cell<u64>,
    entries: RefCell<Entries>,
    /// Told when the first entry comes.
    begun: Notify,
}

#[derive(Debug, Default)]
struct Entries {
    deadlines: Vec<u64>,
    wakers: Vec<Option<Waker>>,
    free: Vec<usize>,
}

/// One task's deadline; it also lets the task be woken for other reasons.
#[derive(Debug)]
pub(crate) struct Timer {
    timers: Rc<Timers>,
    index: usize,
    deadline: u64,
}

impl Timers {
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Self {
            started: Instant::now(),
            now_ms: Cell::new(0),
            entries: RefCell::default(),
            begun: Notify::new(),
        })
    }

    /// A timer without a deadline.
    pub(crate) fn timer(self: &Rc<Self>) -> Timer {
        let mut entries = self.entries.borrow_mut();
        if entries.is_idle() {
            self.look_at_clock();
            self.begun.notify_one();
        }
        let index = entries.free.pop().unwrap_or_else(|| {
            entries.deadlines.push(NEVER);
            entries.wakers.push(None);
            entries.deadlines.len() - 1
        });
        Timer {
            timers: Rc::clone(self),
            index,
            deadline: NEVER,
        }
    }

    /// Wakes tasks in time; `wakes_all` is asked at each tick. Never ends.
    #[expect(clippy::infinite_loop, reason = "it is dropped with its thread")]
    pub(crate) async fn tick(&self, wakes_all: impl Fn() -> bool) {
        loop {
            if self.entries.borrow().is_idle() {
                self.begun.notified().await;
            }
            sleep(TICK).await;
            self.look_at_clock();
            self.wake(wakes_all());
        }
    }

    /// Wakes every task that has a timer.
    pub(crate) fn wake_all(&self) {
        self.wake(true);
    }

    fn wake(&self, all: bool) {
        let now = self.now_ms.get();
        let entries = self.entries.borrow();
        for (deadline, waker) in entries.deadlines.iter().zip(&entries.wakers) {
            if (all || *deadline <= now)
                && let Some(waker) = waker
            {
                waker.wake_by_ref();
            }
        }
    }

    fn look_at_clock(&self) {
        let elapsed = self.started.elapsed().as_millis();
        self.now_ms.set(u64::try_from(elapsed).unwrap_or(NEVER - 1));
    }
}

impl Entries {
    fn is_idle(&self) -> bool {
        self.free.len() == self.deadlines.len()
    }
}

impl Timer {
    /// Is due when so much time has passed from now.
    pub(crate) fn set(&mut self, limit: Duration) {
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(NEVER / 2);
        // The last tick may have been a whole tick ago.
        self.store(self.timers.now_ms.get() + limit_ms + TICK_MS);
    }

    /// Is never due.
    pub(crate) fn clear(&mut self) {
        self.store(NEVER);
    }

    /// Has the task that polls woken when the deadline comes. Returns whether it has.
    pub(crate) fn poll_due(&self, context: &Context<'_>) -> bool {
        let mut entries = self.timers.entries.borrow_mut();
        if let Some(waker) = entries.wakers.get_mut(self.index)
            && !waker
                .as_ref()
                .is_some_and(|waker| waker.will_wake(context.waker()))
        {
            *waker = Some(context.waker().clone());
        }
        self.deadline <= self.timers.now_ms.get()
    }

    fn store(&mut self, deadline: u64) {
        self.deadline = deadline;
        let mut entries = self.timers.entries.borrow_mut();
        if let Some(slot) = entries.deadlines.get_mut(self.index) {
            *slot = deadline;
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.store(NEVER);
        let waker = {
            let mut entries = self.timers.entries.borrow_mut();
            entries.free.push(self.index);
            entries.wakers.get_mut(self.index).and_then(Option::take)
        };
        // Outside of the borrow: it may drop a whole task, which may have a timer.
        drop(waker);
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, task::Poll};

    use super::*;

    #[tokio::test]
    async fn a_deadline_is_never_early() {
        let timers = Timers::new();
        let mut timer = timers.timer();
        tokio::select! {
            () = timers.tick(|| false) => {}
            () = async {
                for limit_ms in [1, 50, 150] {
                    let began = Instant::now();
                    let limit = Duration::from_millis(limit_ms);
                    timer.set(limit);
                    poll_fn(|context| {
                        if timer.poll_due(context) { Poll::Ready(()) } else { Poll::Pending }
                    }).await;
                    assert!(began.elapsed() >= limit, "{limit:?}");
                }
            } => {}
        }
        drop(timer);
        assert!(timers.entries.borrow().is_idle());
        let again = timers.timer();
        assert_eq!(again.index, 0);
    }
}
