//! An engine without processes: dynos are scripts played against a clock.
//!
//! Commands say what a dyno does (`serve; sleep 30; exit 1`, see `script`), the clock says when,
//! a seed chooses what chance would. Faults are injected by methods of [`SimEngine`], the type to
//! read first. It must not touch the host.

mod dyno;
mod script;
mod stream;

use std::{
    collections::BTreeMap,
    io,
    net::Ipv4Addr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use api::{
    clock::{Clock, Time},
    ids::DynoId,
    names::StackName,
};
use async_trait::async_trait;
use tokio::sync::Notify;

use self::{
    dyno::{SIGKILL, SimDyno},
    stream::SimStream,
};
use crate::{
    AttachStream, Engine, EngineError,
    report::{DynoExit, DynoReport, Freeze, LogBatch, Probe, Question},
    spec::{DynoSpec, ExecSpec, Stdio},
};

/// How often the clock is looked at while somebody waits: nothing tells when it is moved.
const CLOCK_POLL: Duration = Duration::from_millis(2);
/// First address given out; the range is reserved for tests (RFC 2544).
const FIRST_ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);

/// What a simulated engine is like.
#[derive(Clone, Debug, Default)]
pub struct SimConfig {
    /// When things happen.
    pub clock: Clock,
    /// Chooses boot times; the same seed and calls give the same run.
    pub seed: u64,
    /// Longest time from start until a dyno that serves answers.
    pub boot: Duration,
    /// The only stacks it has; empty for every stack.
    pub stacks: Vec<StackName>,
    /// Where it says that its dynos are woken, if anywhere. Nobody listens there: a test that
    /// plays the router calls [`Engine::thaw`].
    pub wakers: Option<PathBuf>,
}

/// An engine that plays dynos. Cloning shares it, as a restarted server finds its dynos again.
#[derive(Clone, Debug)]
pub struct SimEngine(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: SimConfig,
    world: Mutex<World>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct World {
    dynos: BTreeMap<DynoId, SimDyno>,
    /// Commands inside dynos, played as dynos are: id → the dyno around it, and the command.
    execs: BTreeMap<DynoId, (DynoId, SimDyno)>,
    started: u32,
    refused_starts: u32,
    random: u64,
}

impl SimEngine {
    /// An engine without dynos.
    pub fn new(config: SimConfig) -> Self {
        let world = World {
            random: config.seed,
            ..World::default()
        };
        Self(Arc::new(Shared {
            config,
            world: Mutex::new(world),
            changed: Notify::new(),
        }))
    }

    /// Fault: the dyno's keeper dies with it, so nobody sees it end.
    pub fn lose(&self, id: DynoId) {
        self.change(|world, now| {
            if let Some(dyno) = world.dynos.get_mut(&id) {
                dyno.lose(now);
            }
        });
    }

    /// Fault: the host restarts; every running dyno is lost.
    pub fn restart_host(&self) {
        self.change(|world, now| world.dynos.values_mut().for_each(|dyno| dyno.lose(now)));
    }

    /// Fault: the dyno is ended by this signal.
    pub fn kill(&self, id: DynoId, signal: i32) {
        self.change(|world, now| {
            if let Some(dyno) = world.played(id) {
                dyno.end_by_signal(signal, now);
            }
        });
    }

    /// Fault: while nobody looked the dyno ended with this code, and its keeper started it again.
    pub fn crash_unattended(&self, id: DynoId, code: i32) {
        self.change(|world, now| {
            if let Some(dyno) = world.dynos.get_mut(&id) {
                dyno.crash_unattended(code, now);
            }
        });
    }

    /// From now on the dyno's port says this.
    pub fn answer(&self, id: DynoId, says: Probe) {
        self.change(|world, _| {
            if let Some(dyno) = world.dynos.get_mut(&id) {
                dyno.port_says = says;
            }
        });
    }

    /// The dyno uses this much memory from now on.
    pub fn use_memory(&self, id: DynoId, bytes: u64) {
        self.change(|world, _| {
            if let Some(dyno) = world.dynos.get_mut(&id) {
                dyno.report.memory_bytes = bytes;
            }
        });
    }

    /// The client of an attached dyno goes away, and the dyno takes no notice.
    pub fn leave(&self, id: DynoId) {
        self.change(|world, _| {
            if let Some(dyno) = world.dynos.get_mut(&id) {
                dyno.report.is_detached = true;
            }
        });
    }

    /// Fault: the host refuses the next `count` starts.
    pub fn refuse_starts(&self, count: u32) {
        self.change(|world, _| world.refused_starts = count);
    }

    /// The dynos as of now, for a caller that does not run asynchronously.
    pub fn reports(&self) -> Vec<DynoReport> {
        self.change(|world, _| {
            world
                .dynos
                .values()
                .map(|dyno| dyno.report.clone())
                .collect()
        })
    }

    /// Brings the world to the present, changes it, and tells those who wait.
    fn change<T>(&self, change: impl FnOnce(&mut World, Time) -> T) -> T {
        let outcome = self.0.change(change);
        self.0.changed.notify_waiters();
        outcome
    }

    /// Waits until `look` finds what it looks for in the dyno.
    async fn until<T>(
        &self,
        id: DynoId,
        mut look: impl FnMut(&mut SimDyno) -> Option<T>,
    ) -> Result<T, EngineError> {
        loop {
            let changed = self.0.changed.notified();
            let found = self.0.change(|world, _| {
                let played = world.played(id);
                played.map(&mut look).ok_or(EngineError::UnknownDyno(id))
            })?;
            if let Some(found) = found {
                return Ok(found);
            }
            // Running out of time is as good a reason to look again as being told.
            drop(tokio::time::timeout(CLOCK_POLL, changed).await);
        }
    }
}

impl Shared {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut World, Time) -> T) -> T {
        let now = self.config.clock.now();
        let mut world = self.world();
        let mut settled = false;
        let World { dynos, execs, .. } = &mut *world;
        for dyno in dynos.values_mut() {
            settled |= dyno.settle(now);
        }
        for (around, exec) in execs.values_mut() {
            settled |= exec.settle(now);
            if dynos
                .get(around)
                .is_none_or(|around| around.exit().is_some())
            {
                exec.end_by_signal(SIGKILL, now);
            }
        }
        let outcome = change(&mut world, now);
        drop(world);
        if settled {
            self.changed.notify_waiters();
        }
        outcome
    }
}

impl World {
    fn dyno(&mut self, id: DynoId) -> Result<&mut SimDyno, EngineError> {
        self.dynos.get_mut(&id).ok_or(EngineError::UnknownDyno(id))
    }

    /// A dyno that has not ended.
    fn running(&mut self, id: DynoId) -> Result<&mut SimDyno, EngineError> {
        let dyno = self.dyno(id)?;
        if dyno.exit().is_some() {
            return Err(EngineError::UnknownDyno(id));
        }
        Ok(dyno)
    }

    /// A dyno, or a command inside one.
    fn played(&mut self, id: DynoId) -> Option<&mut SimDyno> {
        let exec = self.execs.get_mut(&id).map(|(_, exec)| exec);
        exec.or_else(|| self.dynos.get_mut(&id))
    }

    /// Starts a command inside a dyno; it is played as a dyno of this id.
    fn exec(&mut self, around: DynoId, spec: &ExecSpec, now: Time) -> Result<DynoId, EngineError> {
        let dyno = self.running(around)?;
        dyno.thaw(dyno.report.sleep.ticket, now);
        let mut exec = dyno.exec(script::read(&spec.command), spec.stdio, now);
        exec.settle(now);
        let id = exec.report.id;
        self.execs.insert(id, (around, exec));
        Ok(id)
    }

    fn start(&mut self, spec: DynoSpec, config: &SimConfig, now: Time) -> Result<(), EngineError> {
        if self.dynos.contains_key(&spec.id) {
            return Err(EngineError::AlreadyExists(spec.id));
        }
        if !config.stacks.is_empty() && !config.stacks.contains(&spec.stack) {
            return Err(EngineError::UnknownStack(spec.stack));
        }
        if self.refused_starts > 0 {
            self.refused_starts -= 1;
            let source = io::Error::from(io::ErrorKind::OutOfMemory);
            return Err(EngineError::Start {
                dyno: spec.id,
                step: "play a refusal",
                source,
            });
        }
        let address = Ipv4Addr::from(u32::from(FIRST_ADDRESS) + self.started);
        self.started += 1;
        let boot = self.choose(config.boot);
        let steps = script::read(&spec.command);
        let id = spec.id;
        let mut dyno = SimDyno::new(spec, steps, address, now, boot);
        dyno.report.sleep.waker = config
            .wakers
            .as_ref()
            .map(|wakers| wakers.join(id.to_string()));
        dyno.settle(now);
        self.dynos.insert(id, dyno);
        Ok(())
    }

    /// A time up to `longest`, by the seed (splitmix64).
    fn choose(&mut self, longest: Duration) -> Duration {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let micros = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(mixed % micros.saturating_add(1).max(1))
    }
}

#[async_trait]
impl Engine for SimEngine {
    async fn start(&self, spec: DynoSpec) -> Result<(), EngineError> {
        self.change(|world, now| world.start(spec, &self.0.config, now))
    }

    async fn list(&self) -> Result<Vec<DynoReport>, EngineError> {
        Ok(self.reports())
    }

    async fn inspect(&self, id: DynoId) -> Result<DynoReport, EngineError> {
        self.change(|world, _| world.dyno(id).map(|dyno| dyno.report.clone()))
    }

    async fn wait(&self, id: DynoId) -> Result<DynoExit, EngineError> {
        self.until(id, |dyno| dyno.exit().cloned()).await
    }

    async fn stop(&self, id: DynoId, grace: Duration) -> Result<DynoExit, EngineError> {
        self.change(|world, now| world.dyno(id).map(|dyno| dyno.stop(now, grace)))?;
        self.wait(id).await
    }

    async fn remove(&self, id: DynoId) -> Result<(), EngineError> {
        self.change(|world, _| match world.dynos.get(&id) {
            Some(dyno) if dyno.exit().is_none() => Err(EngineError::StillRunning(id)),
            _ => {
                world.dynos.remove(&id);
                Ok(())
            }
        })
    }

    async fn attach(&self, id: DynoId) -> Result<Box<dyn AttachStream>, EngineError> {
        self.change(|world, _| {
            let dyno = world.dyno(id)?;
            if !dyno.is_attachable() {
                return Err(EngineError::NotAttachable(id));
            }
            dyno.is_attached = true;
            Ok(())
        })?;
        Ok(Box::new(SimStream::open(self.clone(), id)))
    }

    async fn read_log(&self, id: DynoId, after: u64) -> Result<LogBatch, EngineError> {
        self.until(id, |dyno| dyno.read_log(after)).await
    }

    async fn probe(
        &self,
        id: DynoId,
        _question: &Question,
        _timeout: Duration,
    ) -> Result<Probe, EngineError> {
        self.change(|world, _| world.dyno(id).map(|dyno| dyno.probe()))
    }

    async fn listening(&self, id: DynoId) -> Result<Vec<String>, EngineError> {
        self.change(|world, _| {
            let dyno = world.dyno(id)?;
            let port = dyno.report.port.filter(|_| dyno.probe() != Probe::Refused);
            Ok(port
                .map(|port| format!("0.0.0.0:{port}"))
                .into_iter()
                .collect())
        })
    }

    async fn exec(&self, id: DynoId, spec: ExecSpec) -> Result<Box<dyn AttachStream>, EngineError> {
        let exec = self.change(|world, now| {
            if spec.stdio == Stdio::Logged {
                return Err(EngineError::NotAttachable(id));
            }
            world.exec(id, &spec, now)
        })?;
        Ok(Box::new(SimStream::open(self.clone(), exec)))
    }

    async fn connect(&self, id: DynoId, port: u16) -> Result<Box<dyn AttachStream>, EngineError> {
        self.change(|world, _| {
            let dyno = world.running(id)?;
            if dyno.report.port == Some(port) && dyno.probe() != Probe::Refused {
                Ok(Box::new(stream::served()) as Box<dyn AttachStream>)
            } else {
                Err(EngineError::NotListening { dyno: id, port })
            }
        })
    }

    async fn freeze(&self, id: DynoId, ticket: u64) -> Result<Freeze, EngineError> {
        self.change(|world, _| {
            let is_used = world.execs.values().any(|(around, _)| *around == id);
            let dyno = world.running(id)?;
            Ok(if is_used {
                Freeze::WokenBefore
            } else {
                dyno.freeze(ticket)
            })
        })
    }

    async fn thaw(&self, id: DynoId, ticket: u64) -> Result<(), EngineError> {
        self.change(|world, now| world.dyno(id).map(|dyno| dyno.thaw(ticket, now)))
    }

    async fn mend(&self) -> Result<Vec<String>, EngineError> {
        Ok(Vec::new())
    }
}
