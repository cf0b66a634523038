//! Placing a request: which dyno gets it, over which connection, and when another one may.
//!
//! It must not know what is said on the connection: both HTTP/1.1 of our own ([`crate::h1`]) and
//! hyper's ([`crate::proxy`]) place by it.
//!
//! The rules of repetition: a connection that could not be made harms nobody, so another dyno is
//! tried. A kept connection that dies before the first byte of a response was most likely closed
//! before it saw the request; one fresh one is tried if the request never left, or may be repeated.
//! A fresh one that dies so was cut off by its dyno's end: another dyno gets the request if it may
//! be repeated, but not many. After a response byte nothing is ever repeated.

use std::{io, rc::Rc, sync::Arc, time::Duration};

use tokio::{
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};

use crate::{
    admission::Extras,
    codes::Code,
    config::{MAX_REPEATS, MAX_TRIES, MAX_WAITING_PER_APP},
    exchange::Exchange,
    lane::Lane,
    pool::{Fresh, Use},
    subject::Subject,
    table::{Backend, Lease, NoLease, Waiting, Wish},
    wake,
    wire::AppState,
};

/// A connection to a dyno that requests can be sent on.
pub(crate) trait Leg: Sized {
    /// One that is there already and takes a request.
    fn kept(lane: &Lane, backend: &Backend, fresh: Fresh) -> Option<Self>;

    /// Makes one of a fresh connection.
    fn begin(
        lane: &Lane,
        stream: TcpStream,
        backend: &Arc<Backend>,
    ) -> impl Future<Output = io::Result<Self>>;
}

/// One request's way to a dyno.
#[derive(Debug)]
pub(crate) struct Placement {
    /// Serial numbers of the backends that could not be connected, or died over the request.
    tried: Vec<u64>,
    /// What was the matter with the last of them.
    refused: Option<Code>,
    /// How many died over the request.
    deaths: usize,
    needs_fresh: bool,
    /// From when it was first waited for.
    boot_deadline: Option<Instant>,
    /// The host of another app that answers in the place of the one that was asked.
    host: Option<String>,
    wish: Wish,
}

/// A connection to a chosen dyno.
#[derive(Debug)]
pub(crate) struct Placed<L> {
    pub(crate) leg: L,
    pub(crate) lease: Lease,
    pub(crate) is_kept: bool,
}

/// A connection that died before a response byte.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Death {
    /// How the request fails if it is not tried again.
    pub(crate) code: Code,
    pub(crate) was_kept: bool,
    /// Whether the dyno may have seen the request.
    pub(crate) was_sent: bool,
    /// Whether sending it a second time can do no harm, and can be done.
    pub(crate) may_repeat: bool,
}

impl<L> Placed<L> {
    pub(crate) fn map<M>(self, of: impl FnOnce(L) -> M) -> Placed<M> {
        Placed {
            leg: of(self.leg),
            lease: self.lease,
            is_kept: self.is_kept,
        }
    }
}

impl Placement {
    pub(crate) fn new(extras: Option<&Extras>) -> Self {
        let wish = extras.map(|extras| Wish {
            affinity: extras.affinity,
            is_random: extras.is_random(),
        });
        Self {
            host: extras.and_then(|extras| extras.host.clone()),
            wish: wish.unwrap_or_default(),
            tried: Vec::new(),
            refused: None,
            deaths: 0,
            needs_fresh: false,
            boot_deadline: None,
        }
    }

    /// A dyno that is awake with a connection that was kept; `None` if more has to be done.
    pub(crate) fn at_once<L: Leg, S: Subject>(
        &mut self,
        exchange: &mut Exchange<S>,
        use_for: Use,
    ) -> Result<Option<Placed<L>>, Code> {
        let lane = Rc::clone(exchange.lane());
        if self.needs_fresh {
            return Ok(None);
        }
        let now = Instant::now();
        let host = self.host_of(exchange.subject());
        let Some(lease) = self.look(&lane, host, now)? else {
            return Ok(None);
        };
        let backend = lease.backend();
        if backend.rest.is_due() {
            return Ok(None);
        }
        let fresh = Fresh::new(&lane, use_for, now);
        let Some(leg) = L::kept(&lane, backend, fresh) else {
            return Ok(None);
        };
        exchange.trying(backend);
        exchange.connected(Duration::ZERO, now);
        Ok(Some(Placed {
            leg,
            lease,
            is_kept: true,
        }))
    }

    /// A dyno and a connection to it, whatever has to be waited for. Safe to drop.
    pub(crate) async fn connect<L: Leg, S: Subject>(
        &mut self,
        exchange: &mut Exchange<S>,
        use_for: Use,
    ) -> Result<Placed<L>, Code> {
        let lane = Rc::clone(exchange.lane());
        let boot = lane.timeouts.boot;
        let boot_deadline = *self
            .boot_deadline
            .get_or_insert_with(|| Instant::now() + boot);
        for _ in 0..MAX_TRIES {
            let lease = self.place(&lane, exchange, boot_deadline).await?;
            let backend = lease.backend();
            exchange.trying(backend);
            let began = Instant::now();
            if backend.rest.is_due()
                && let Err(code) = wake::wake(&lane, &lease, exchange.subject()).await
            {
                self.pass_over(&lane, &lease, code);
                continue;
            }
            let now = Instant::now();
            let fresh = Fresh::new(&lane, use_for, now);
            if !self.needs_fresh
                && let Some(leg) = L::kept(&lane, backend, fresh)
            {
                exchange.connected(now.duration_since(began), now);
                return Ok(Placed {
                    leg,
                    lease,
                    is_kept: true,
                });
            }
            match dial(&lane, backend).await {
                Ok(leg) => {
                    let now = Instant::now();
                    let connect = now.duration_since(began);
                    lane.counts.connected(backend, connect);
                    exchange.connected(connect, now);
                    return Ok(Placed {
                        leg,
                        lease,
                        is_kept: false,
                    });
                }
                Err(code) => {
                    lane.counts.not_connected(backend);
                    self.pass_over(&lane, &lease, code);
                }
            }
        }
        Err(self.refused.unwrap_or(Code::H21))
    }

    /// Whether the request may be sent again, after its connection died.
    pub(crate) fn goes_on(&mut self, lease: &Lease, death: Death) -> bool {
        let goes_on = if death.was_kept {
            !death.was_sent || death.may_repeat
        } else {
            self.goes_elsewhere(lease, death)
        };
        self.needs_fresh = true;
        goes_on
    }

    /// Leaves a dyno that died over the request. Returns whether another may try: not after a cut,
    /// which ends requests that have had their time.
    fn goes_elsewhere(&mut self, lease: &Lease, death: Death) -> bool {
        let backend = lease.backend();
        self.deaths += 1;
        self.tried.push(backend.serial);
        // What to fail with if there is no other.
        self.refused = Some(death.code);
        let is_death = death.code == Code::H13 && !backend.is_cut();
        is_death && death.may_repeat && self.deaths <= MAX_REPEATS
    }

    /// It cannot be reached: another dyno, for all requests and a while.
    fn pass_over(&mut self, lane: &Lane, lease: &Lease, code: Code) {
        let backend = lease.backend();
        backend.quarantine(&lane.routes.shared, lane.timeouts.quarantine);
        self.tried.push(backend.serial);
        self.refused = Some(code);
    }

    /// A dyno for the request; waits for one while the app boots, and calls for one that is asleep.
    async fn place<S: Subject>(
        &self,
        lane: &Lane,
        exchange: &mut Exchange<S>,
        boot_deadline: Instant,
    ) -> Result<Lease, Code> {
        let mut queued: Option<Waiting> = None;
        loop {
            // Listen first, then look, so that no change is missed.
            let changed = queued.as_ref().map(Waiting::changed);
            let host = self.host_of(exchange.subject());
            if let Some(lease) = self.look(lane, host, Instant::now())? {
                return Ok(lease);
            }
            let Some(changed) = changed else {
                queued = Some(queue(lane, host)?);
                exchange.waits();
                continue;
            };
            call(lane, host, exchange.subject());
            if timeout_at(boot_deadline, changed).await.is_err() {
                return Err(Code::H20);
            }
        }
    }

    fn host_of<'a>(&'a self, subject: &'a impl Subject) -> &'a str {
        self.host.as_deref().unwrap_or_else(|| subject.host())
    }

    /// A dyno by the newest table; `None` while the app boots.
    fn look(&self, lane: &Lane, host: &str, now: Instant) -> Result<Option<Lease>, Code> {
        let routes = &lane.routes;
        loop {
            let table = routes.table();
            let app = table.find(host).ok_or(Code::H99)?;
            return match app.state {
                AppState::Serving if !app.has_backends() => Err(Code::H99),
                AppState::Serving => match app.lease((&routes.shared, now), &self.tried, self.wish)
                {
                    Ok(lease) => Ok(Some(lease)),
                    Err(NoLease::Outdated) => continue,
                    Err(NoLease::Full) => Err(Code::H22),
                    Err(NoLease::NoneLeft) => Err(self.refused.unwrap_or(Code::H21)),
                },
                AppState::Booting | AppState::Asleep => Ok(None),
                AppState::Maintenance => Err(Code::H80),
                AppState::NoWebDynos => Err(Code::H14),
                AppState::Crashed => Err(Code::H10),
                AppState::Blank => Err(Code::H81),
            };
        }
    }
}

/// A new connection. Errors: H19 when the dyno does not answer in time, H21 when it refuses.
async fn dial<L: Leg>(lane: &Lane, backend: &Arc<Backend>) -> Result<L, Code> {
    let connecting = async {
        let stream = TcpStream::connect(backend.address).await?;
        stream.set_nodelay(true)?;
        L::begin(lane, stream, backend).await
    };
    match timeout(lane.timeouts.connect, connecting).await {
        Err(_) => Err(Code::H19),
        Ok(Err(error)) => {
            tracing::debug!(%error, dyno = %backend.dyno, "a dyno refused a connection");
            Err(Code::H21)
        }
        Ok(Ok(leg)) => Ok(leg),
    }
}

impl Fresh {
    fn new(lane: &Lane, use_for: Use, now: Instant) -> Self {
        let max_idle = match use_for {
            Use::Repeatable => lane.timeouts.upstream_idle,
            Use::Once => lane.timeouts.upstream_idle_unrepeatable,
        };
        Self {
            use_for,
            max_idle,
            now,
        }
    }
}

fn queue(lane: &Lane, host: &str) -> Result<Waiting, Code> {
    let table = lane.routes.table();
    let app = table.find(host).ok_or(Code::H99)?;
    app.wait(MAX_WAITING_PER_APP).ok_or(Code::H11)
}

/// Has an app woken that is asleep. A request that waits calls after each change: the app may
/// have fallen asleep again.
fn call(lane: &Lane, host: &str, subject: &impl Subject) {
    let routes = &lane.routes;
    if let Some(app) = routes.table().find(host) {
        app.call(&routes.shared, || subject.described().cause());
    }
}
