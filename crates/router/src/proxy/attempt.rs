//! Getting a response for a request: place it, send it, and once more where that is safe.
//!
//! The rules of repetition: a connection that could not be made harms nobody, so another dyno is
//! tried. A kept connection that dies before the first byte of a response was most likely closed
//! before it saw the request; one fresh one is tried if the request never left, or may be repeated.
//! A fresh one that dies so was cut off by its dyno's end: another dyno gets the request if it may
//! be repeated, but not many. After a response byte nothing is ever repeated.

use std::{pin::pin, rc::Rc, time::Duration};

use hyper::{Response, body::Incoming};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{
    body::{Awaited, RequestSource},
    exchange::Exchange,
    head::Head,
    headers,
    upstream::{self, Connection},
    wake,
};
use crate::{
    codes::Code,
    config::{MAX_REPEATS, MAX_TRIES, MAX_WAITING_PER_APP},
    lane::Lane,
    table::{Lease, NoLease, Waiting},
    wire::AppState,
};

/// One request on its way to a dyno.
pub(crate) struct Attempt {
    pub(crate) lane: Rc<Lane>,
    pub(crate) head: Rc<Head>,
    pub(crate) source: Rc<RequestSource>,
    /// Serial numbers of the backends that could not be connected, or died over the request.
    tried: Vec<u64>,
    /// What was the matter with the last of them.
    refused: Option<Code>,
    /// How many died over the request.
    deaths: usize,
    needs_fresh: bool,
    boot_deadline: Instant,
}

/// A dyno's response head and what it came by.
pub(crate) struct Answer {
    pub(crate) response: Response<Incoming>,
    pub(crate) connection: Connection,
    pub(crate) lease: Lease,
}

/// A connection to a chosen dyno.
struct Placed {
    connection: Connection,
    lease: Lease,
    is_kept: bool,
}

/// How waiting for a response ended without one.
enum Broken {
    /// For good.
    Failed(Code),
    /// The connection died before a response byte; the code says how if it is not tried again.
    Died { code: Code, was_sent: bool },
}

impl Attempt {
    pub(crate) fn new(lane: Rc<Lane>, head: Rc<Head>, source: Rc<RequestSource>) -> Self {
        let boot_deadline = Instant::now() + lane.timeouts.boot;
        Self {
            lane,
            head,
            source,
            tried: Vec::new(),
            refused: None,
            deaths: 0,
            needs_fresh: false,
            boot_deadline,
        }
    }

    /// The response, or the code to fail with.
    pub(crate) async fn run(&mut self, exchange: &mut Exchange) -> Result<Answer, Code> {
        loop {
            let Placed {
                mut connection,
                lease,
                is_kept,
            } = self.connect(exchange).await?;
            match self.send(&mut connection).await {
                Ok(response) => {
                    return Ok(Answer {
                        response,
                        connection,
                        lease,
                    });
                }
                Err(Broken::Failed(code)) => return Err(code),
                Err(Broken::Died { code, was_sent }) => {
                    let goes_on = if is_kept {
                        !was_sent || self.may_repeat()
                    } else {
                        self.goes_elsewhere(&lease, code)
                    };
                    if !goes_on {
                        return Err(code);
                    }
                    self.needs_fresh = true;
                }
            }
        }
    }

    /// Leaves a dyno that died over the request. Returns whether another may try: not after a cut,
    /// which ends requests that have had their time.
    fn goes_elsewhere(&mut self, lease: &Lease, code: Code) -> bool {
        let backend = lease.backend();
        self.deaths += 1;
        self.tried.push(backend.serial);
        // What to fail with if there is no other.
        self.refused = Some(code);
        let is_death = code == Code::H13 && !backend.is_cut();
        is_death && self.may_repeat() && self.deaths <= MAX_REPEATS
    }

    /// Whether sending it a second time can do no harm: nobody acts twice on an idempotent request,
    /// nor once on one that lacks its body.
    fn may_repeat(&self) -> bool {
        let is_harmless = self.head.method.is_idempotent() || self.source.has_body();
        is_harmless && !self.source.has_begun() && !self.source.has_failed()
    }

    async fn connect(&mut self, exchange: &mut Exchange) -> Result<Placed, Code> {
        for _ in 0..MAX_TRIES {
            let lease = self.place().await?;
            let backend = lease.backend();
            exchange.trying(backend);
            let woken = match self.wake(&lease).await {
                Ok(woken) => woken,
                Err(code) => {
                    self.pass_over(&lease, code);
                    continue;
                }
            };
            if !self.needs_fresh
                && let Some(connection) = self.lane.pool.check_out(backend, self.max_idle())
            {
                exchange.connected(woken);
                return Ok(Placed {
                    connection,
                    lease,
                    is_kept: true,
                });
            }
            let began = Instant::now();
            match upstream::connect(backend, self.lane.timeouts.connect).await {
                Ok(connection) => {
                    exchange.connected(woken + began.elapsed());
                    return Ok(Placed {
                        connection,
                        lease,
                        is_kept: false,
                    });
                }
                Err(code) => self.pass_over(&lease, code),
            }
        }
        Err(self.refused.unwrap_or(Code::H21))
    }

    /// Wakes the dyno if it may be asleep. Returns how long that took.
    async fn wake(&self, lease: &Lease) -> Result<Duration, Code> {
        if !lease.backend().rest.is_due() {
            return Ok(Duration::ZERO);
        }
        let began = Instant::now();
        // Boxed, since few requests need it and all would carry its state.
        Box::pin(wake::wake(&self.lane, lease, &self.head)).await?;
        Ok(began.elapsed())
    }

    /// It cannot be reached: another dyno, for all requests and a while.
    fn pass_over(&mut self, lease: &Lease, code: Code) {
        let backend = lease.backend();
        backend.quarantine(&self.lane.routes.shared, self.lane.timeouts.quarantine);
        self.tried.push(backend.serial);
        self.refused = Some(code);
    }

    fn max_idle(&self) -> Duration {
        let timeouts = &self.lane.timeouts;
        if self.head.method.is_idempotent() && !self.source.has_body() {
            timeouts.upstream_idle
        } else {
            timeouts.upstream_idle_unrepeatable
        }
    }

    /// A dyno for the request; waits for one while the app boots, and calls for one that is asleep.
    async fn place(&self) -> Result<Lease, Code> {
        let mut queued = None;
        loop {
            if let Some(lease) = self.look()? {
                return Ok(lease);
            }
            match &mut queued {
                // Look once more after subscribing, so that no change is missed.
                None => queued = Some((self.lane.routes.shared.changes(), self.queue()?)),
                Some((changes, _)) => {
                    self.call();
                    if timeout_at(self.boot_deadline, changes.changed())
                        .await
                        .is_err()
                    {
                        return Err(Code::H20);
                    }
                }
            }
        }
    }

    /// A dyno by the newest table; `None` while the app boots.
    fn look(&self) -> Result<Option<Lease>, Code> {
        let routes = &self.lane.routes;
        loop {
            let table = routes.table();
            let app = table.find(&self.head.host).ok_or(Code::H99)?;
            return match app.state {
                AppState::Serving if !app.has_backends() => Err(Code::H99),
                AppState::Serving => match app.lease(&routes.shared, &self.tried) {
                    Ok(lease) => Ok(Some(lease)),
                    Err(NoLease::Outdated) => continue,
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

    fn queue(&self) -> Result<Waiting, Code> {
        let table = self.lane.routes.table();
        let app = table.find(&self.head.host).ok_or(Code::H99)?;
        app.wait(MAX_WAITING_PER_APP).ok_or(Code::H11)
    }

    /// Has an app woken that is asleep. A request that waits calls after each change: the app may
    /// have fallen asleep again.
    fn call(&self) {
        let routes = &self.lane.routes;
        if let Some(app) = routes.table().find(&self.head.host) {
            app.call(&routes.shared, || wake::cause(&self.head));
        }
    }

    async fn send(&self, connection: &mut Connection) -> Result<Response<Incoming>, Broken> {
        let timeouts = &self.lane.timeouts;
        let request = headers::to_dyno(&self.head, self.source.body(), self.lane.clock.now());
        let mut response = pin!(connection.try_send_request(request));
        let (deadline, _) = self.source.deadline(timeouts);
        let mut alarm = pin!(sleep_until(deadline));
        loop {
            tokio::select! {
                biased;
                response = &mut response => return response.map_err(|error| Broken::Died {
                    code: self.meaning_of(error.error()),
                    was_sent: error.message().is_none(),
                }),
                () = &mut alarm => {}
            }
            let (deadline, awaited) = self.source.deadline(timeouts);
            if deadline <= Instant::now() {
                return Err(Broken::Failed(match awaited {
                    Awaited::Dyno => Code::H12,
                    Awaited::Client => Code::H28,
                }));
            }
            alarm.as_mut().reset(deadline);
        }
    }

    fn meaning_of(&self, error: &hyper::Error) -> Code {
        if self.source.has_failed() {
            Code::H27
        } else if error.is_parse() {
            Code::H17
        } else if self.source.has_body() && !self.source.has_ended() {
            Code::H18
        } else {
            Code::H13
        }
    }
}
