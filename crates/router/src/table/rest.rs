//! Whether a web dyno may be asleep, and the one wake that all its requests share, whichever
//! thread they are on.
//!
//! It must not know sockets: [`crate::proxy`] performs a [`Duty`]. Why `Resting` is true when it
//! is said: a request counts itself in, then looks at [`Rest::is_due`]; the control thread makes
//! a ticket due, then looks at the count, and at the ticket again. So either the request finds the
//! ticket due and wakes the dyno first, or the control thread finds the request in flight. And a
//! wake that the control thread misses at its second look beats the freeze: the dyno's keeper
//! refuses one with a ticket that has woken it.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::watch;

use super::backend::Lease;
use crate::{codes::Code, wire::SleepTicket};

/// One backend's tickets; what most backends never have is in boxes.
#[derive(Debug, Default)]
pub(crate) struct Rest {
    /// Whether the newest table has a ticket that is not used up. Written with `inner` locked.
    is_due: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// By the newest table.
    ticket: Option<Arc<SleepTicket>>,
    /// The last one used up; it is remembered over tables without it.
    woken: Option<Box<Woken>>,
    underway: Option<Box<Underway>>,
}

#[derive(Clone, Debug)]
struct Woken {
    ticket: u64,
    cause: String,
}

#[derive(Debug)]
struct Underway {
    ticket: u64,
    outcome: Outcome,
}

/// Where those who wait for a wake learn how it went: `None` until it is over.
pub(crate) type Outcome = watch::Receiver<Option<Result<(), Code>>>;

/// What a request has to do before it may reach a backend.
pub(crate) enum Wake {
    /// Nothing: it is awake.
    NotNeeded,
    /// Wait for a wake that another request began.
    Shared(Outcome),
    /// Wake it, and wait for that.
    Due(Duty, Outcome),
}

/// The duty to wake a backend. Dropping it says that it failed, H21.
pub(crate) struct Duty {
    pub(crate) ticket: Arc<SleepTicket>,
    lease: Lease,
    cause: String,
    outcome: watch::Sender<Option<Result<(), Code>>>,
}

/// A ticket of the newest table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Not used up.
    Due { ticket: u64 },
    /// Used up.
    Woken { ticket: u64, cause: String },
}

impl Rest {
    /// What the newest table says. A ticket that is used up, or lower than one that is, changes
    /// nothing.
    pub(super) fn tell(&self, ticket: Option<&SleepTicket>) {
        let mut inner = self.lock();
        if inner.ticket.as_deref() != ticket {
            inner.ticket = ticket.cloned().map(Arc::new);
        }
        self.weigh(&inner);
    }

    /// Whether a request must wake the dyno first.
    pub(crate) fn is_due(&self) -> bool {
        self.is_due.load(Ordering::SeqCst)
    }

    /// The ticket of the newest table, if it has one.
    pub(crate) fn standing(&self) -> Option<Standing> {
        let inner = self.lock();
        let ticket = inner.ticket.as_ref()?.ticket;
        Some(match &inner.woken {
            Some(woken) if woken.ticket >= ticket => Standing::Woken {
                ticket,
                cause: woken.cause.clone(),
            },
            _ => Standing::Due { ticket },
        })
    }

    fn wake(&self, lease: &Lease, cause: impl FnOnce() -> String) -> Wake {
        let mut inner = self.lock();
        let Some(ticket) = inner.due() else {
            return Wake::NotNeeded;
        };
        if let Some(underway) = &inner.underway
            && underway.ticket == ticket.ticket
        {
            return Wake::Shared(underway.outcome.clone());
        }
        let (sender, outcome) = watch::channel(None);
        inner.underway = Some(Box::new(Underway {
            ticket: ticket.ticket,
            outcome: outcome.clone(),
        }));
        let duty = Duty {
            ticket,
            lease: lease.another(),
            cause: cause(),
            outcome: sender,
        };
        Wake::Due(duty, outcome)
    }

    fn end(&self, duty: &mut Duty, outcome: Result<(), Code>) {
        let mut inner = self.lock();
        let ticket = duty.ticket.ticket;
        inner.underway.take_if(|wake| wake.ticket == ticket);
        if outcome.is_ok() && inner.woken.as_ref().is_none_or(|at| at.ticket < ticket) {
            let cause = std::mem::take(&mut duty.cause);
            inner.woken = Some(Box::new(Woken { ticket, cause }));
            self.weigh(&inner);
        }
        drop(inner);
        // Now whoever comes next begins another wake if this one failed.
        duty.outcome.send_replace(Some(outcome));
    }

    fn weigh(&self, inner: &Inner) {
        self.is_due.store(inner.due().is_some(), Ordering::SeqCst);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn due(&self) -> Option<Arc<SleepTicket>> {
        let ticket = self.ticket.as_ref()?;
        let is_used = self
            .woken
            .as_ref()
            .is_some_and(|woken| woken.ticket >= ticket.ticket);
        (!is_used).then(|| Arc::clone(ticket))
    }
}

impl Lease {
    /// What to do before the request is sent. The wake goes on when the request is dropped.
    pub(crate) fn wake(&self, cause: impl FnOnce() -> String) -> Wake {
        self.backend().rest.wake(self, cause)
    }
}

impl Duty {
    /// The dyno is awake, or cannot be woken.
    pub(crate) fn done(mut self, outcome: Result<(), Code>) {
        self.end(outcome);
    }

    fn end(&mut self, outcome: Result<(), Code>) {
        let backend = Arc::clone(self.lease.backend());
        backend.rest.end(self, outcome);
        backend.tell_news();
    }
}

impl Drop for Duty {
    fn drop(&mut self) {
        if self.outcome.borrow().is_none() {
            self.end(Err(Code::H21));
        }
    }
}
