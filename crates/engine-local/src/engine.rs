//! [`LocalEngine`]: the engine trait over shims, cgroups and networks of this machine.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, DirBuilder},
    io::{self, Cursor},
    net::SocketAddr,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::Duration,
};

use api::{
    clock::{Clock, Time},
    ids::DynoId,
};
use async_trait::async_trait;
use engine::{
    AttachStream, DynoExit, DynoReport, DynoSpec, Engine, EngineError, ExecSpec, Freeze, LogBatch,
    LogRecord, LogStream, Probe, Question,
};
use shim::{
    control::{Answer, Request},
    files,
    spool::Record,
};

use crate::{
    adopt, alone,
    cgroup::{self, Cgroups},
    control, disk,
    dyno::Dyno,
    fixtures::Fixtures,
    handed_in::HandedIn,
    nest::Nest,
    network::{self, Network, NetworkConfig},
    probe,
    ready::Ready,
    seccomp, shim_program,
    sleep::{self, Wakers},
    slot::Slot,
    sockets,
};

/// How long after a start it is made ready for the next.
const REFILL_PAUSE: Duration = Duration::from_millis(10);

/// What a local engine needs to be told.
#[derive(Clone, Debug)]
pub struct LocalEngineConfig {
    /// The platform's directory; dynos live in `run/dynos` below it.
    pub data: PathBuf,
    /// Where stacks are (`LANDFALL_CACHE`).
    pub cache: PathBuf,
    /// The `landfall-shim` program; it is copied, so that it may be replaced at any time.
    pub shim: PathBuf,
    /// What time it is.
    pub clock: Clock,
    /// The server's environment. Only its proxy and trust-store variables are handed to dynos.
    pub environment: BTreeMap<String, String>,
    /// The host's file of trusted certificates, shown to dynos.
    pub trust_store: Option<PathBuf>,
    /// Name servers, networks that dynos may reach, and how many are kept ready.
    pub network: NetworkConfig,
}

impl LocalEngineConfig {
    /// With the machine's clock, name servers and trusted certificates, and an empty environment.
    pub fn new(data: PathBuf, cache: PathBuf, shim: PathBuf) -> Self {
        Self {
            data,
            cache,
            shim,
            clock: Clock::system(),
            environment: BTreeMap::new(),
            trust_store: HandedIn::host_bundle(),
            network: NetworkConfig::default(),
        }
    }
}

/// Dynos as confined processes of this machine. Dropping it touches no dyno.
#[derive(Debug)]
pub struct LocalEngine(pub(crate) Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) dynos_directory: PathBuf,
    pub(crate) cache: PathBuf,
    pub(crate) nest: Nest,
    pub(crate) ready: Ready,
    /// None in single-tenant mode, where only the host has devices.
    pub(crate) fixtures: Option<Fixtures>,
    pub(crate) clock: Clock,
    pub(crate) handed_in: HandedIn,
    pub(crate) slot: Slot,
    pub(crate) wakers: Wakers,
    /// None in single-tenant mode, where dynos are in the host's.
    pub(crate) network: Option<Network>,
    pub(crate) cgroups: Cgroups,
    pub(crate) seccomp: Vec<u64>,
    /// Held by whoever mends.
    pub(crate) mending: tokio::sync::Mutex<()>,
    dynos: Mutex<Dynos>,
}

#[derive(Debug, Default)]
struct Dynos {
    held: BTreeMap<DynoId, Arc<Dyno>>,
    /// Ids of dynos that are being started.
    starting: BTreeSet<DynoId>,
}

impl LocalEngine {
    /// Opens the engine of a data directory: takes over the dynos that run there, and removes what
    /// is left of any other.
    ///
    /// # Errors
    /// `Host` when the host refuses: not root, no cgroups, no `nft`, no shim program.
    pub async fn open(config: LocalEngineConfig) -> Result<Arc<Self>, EngineError> {
        let host = |step| move |source| EngineError::Host { step, source };
        let run = config.data.join("run");
        let dynos_directory = run.join("dynos");
        for directory in [&run, &dynos_directory] {
            make_private(directory).map_err(host("make the directory of dynos"))?;
        }
        let dynos_directory = dynos_directory
            .canonicalize()
            .map_err(host("make the directory of dynos"))?;
        let shim = shim_program::install(&config.shim, &config.data)
            .map_err(host("copy the shim program"))?;
        let is_alone = alone::is_alone();
        let slot = if is_alone {
            Slot::unclaimed(&run)
        } else {
            claim_slot(&config.data, &dynos_directory)?
        };
        let wakers = Wakers::open(&dynos_directory, &slot)
            .map_err(host("make a short path to the dynos"))?;
        let cgroups = if is_alone {
            Cgroups::none()
        } else {
            Cgroups::open(Path::new(cgroup::MOUNT), &slot.cgroup_name())?
        };
        let handed_in = HandedIn::new(
            &config.environment,
            config.trust_store.as_deref(),
            &if is_alone {
                network::all_resolvers()
            } else {
                config.network.resolvers.clone()
            },
        );
        let network = if is_alone {
            None
        } else {
            Some(Network::open(slot.clone(), config.network).await?)
        };
        let fixtures = if is_alone {
            None
        } else {
            Some(make_fixtures(&run, &cgroups).map_err(host("make what dynos are shown"))?)
        };
        let inner = Inner {
            dynos_directory,
            cache: config.cache,
            ready: Ready::open(run.join("ready")).map_err(host("make the directory of dynos"))?,
            nest: Nest::new(shim, run, cgroups.shims()),
            fixtures,
            clock: config.clock,
            handed_in,
            slot,
            wakers,
            network,
            cgroups,
            seccomp: seccomp::filter(),
            mending: tokio::sync::Mutex::default(),
            dynos: Mutex::default(),
        };
        inner.adopt().await?;
        inner.prepare().await;
        let inner = Arc::new(inner);
        tokio::spawn(disk::watch(Arc::downgrade(&inner)));
        Ok(Arc::new(Self(inner)))
    }

    /// Kills every dyno and takes everything of this platform off the host: cgroups, networks, the
    /// firewall table, the slot. The engine is of no use afterwards.
    ///
    /// # Errors
    /// `Host` for the first thing that could not be removed.
    pub async fn remove_everything(&self) -> Result<(), EngineError> {
        let dynos: Vec<DynoId> = self.0.dynos().held.keys().copied().collect();
        for id in &dynos {
            self.stop(*id, Duration::ZERO).await?;
        }
        for id in dynos {
            self.remove(id).await?;
        }
        self.0
            .nest
            .end()
            .await
            .map_err(|source| EngineError::Host {
                step: "end the nest of shims",
                source,
            })?;
        self.0.ready.clear().map_err(|source| EngineError::Host {
            step: "remove directories for dynos",
            source,
        })?;
        let Some(network) = &self.0.network else {
            return Ok(());
        };
        network.remove_everything().await?;
        self.0
            .cgroups
            .remove_everything()
            .await
            .map_err(|source| EngineError::Host {
                step: "remove control groups",
                source,
            })?;
        self.0.slot.clone().free()
    }
}

impl Drop for LocalEngine {
    fn drop(&mut self) {
        for dyno in self.0.dynos().held.values() {
            dyno.let_go();
        }
    }
}

impl Inner {
    fn dynos(&self) -> MutexGuard<'_, Dynos> {
        self.dynos.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn directory_of(&self, id: DynoId) -> PathBuf {
        self.dynos_directory.join(id.to_string())
    }

    /// Takes a dyno into the list and follows it.
    pub(crate) fn hold(&self, dyno: Arc<Dyno>) {
        dyno.follow(&self.clock);
        self.dynos().held.insert(dyno.notes.id, dyno);
    }

    /// Every dyno that was not removed.
    pub(crate) fn held(&self) -> Vec<Arc<Dyno>> {
        self.dynos().held.values().cloned().collect()
    }

    pub(crate) fn find(&self, id: DynoId) -> Result<Arc<Dyno>, EngineError> {
        self.dynos()
            .held
            .get(&id)
            .cloned()
            .ok_or(EngineError::UnknownDyno(id))
    }

    /// Every dyno.
    pub(crate) fn all(&self) -> Vec<Arc<Dyno>> {
        self.dynos().held.values().cloned().collect()
    }

    /// Whether a dyno has this id, or a start.
    pub(crate) fn is_known(&self, id: DynoId) -> bool {
        let dynos = self.dynos();
        dynos.held.contains_key(&id) || dynos.starting.contains(&id)
    }

    /// Does something while all dynos are known and none comes or goes; not while one starts.
    pub(crate) fn if_none_starts(&self, act: impl FnOnce(&mut dyn Iterator<Item = &Arc<Dyno>>)) {
        let dynos = self.dynos();
        if dynos.starting.is_empty() {
            act(&mut dynos.held.values());
        }
    }

    /// Reserves an id.
    fn reserve(&self, id: DynoId) -> Result<(), EngineError> {
        let mut dynos = self.dynos();
        let is_known = dynos.held.contains_key(&id) || self.directory_of(id).exists();
        if is_known || !dynos.starting.insert(id) {
            return Err(EngineError::AlreadyExists(id));
        }
        Ok(())
    }

    async fn start_reserved(&self, spec: DynoSpec) -> Result<(), EngineError> {
        let id = spec.id;
        let started = self.start(spec).await;
        if let Ok(dyno) = &started {
            self.hold(Arc::clone(dyno));
        }
        self.dynos().starting.remove(&id);
        started.map(drop)
    }

    /// Makes ready for the first start; which tries again, and tells, if that is not possible.
    async fn prepare(&self) {
        if let Err(error) = self.nest.prepare().await {
            tracing::warn!(%error, "the shim does not run");
        }
        if let Err(error) = self.ready.refill() {
            tracing::warn!(%error, "no directory can be made beforehand");
        }
    }

    /// Makes ready for the next start, a little later: what has just been started needs the
    /// processor itself.
    fn refill(self: &Arc<Self>) {
        let inner = Arc::downgrade(self);
        tokio::spawn(async move {
            tokio::time::sleep(REFILL_PAUSE).await;
            let Some(inner) = inner.upgrade() else { return };
            if let Some(network) = &inner.network {
                network.refill();
            }
            tokio::task::spawn_blocking(move || {
                if let Err(error) = inner.ready.refill() {
                    tracing::warn!(%error, "no directory can be made beforehand");
                }
            });
        });
    }

    async fn forget(&self, dyno: Arc<Dyno>) -> Result<(), EngineError> {
        let id = dyno.notes.id;
        if let Some(work) = &dyno.capture_work
            && let Err(source) = alone::remove_tree(work)
            && source.kind() != io::ErrorKind::NotFound
        {
            return Err(EngineError::Host {
                step: "remove an overlay's scratch",
                source,
            });
        }
        self.discard(&dyno.directory, &id.to_string(), dyno.notes.index)
            .await?;
        self.dynos().held.remove(&id);
        Ok(())
    }
}

#[async_trait]
impl Engine for LocalEngine {
    async fn start(&self, spec: DynoSpec) -> Result<(), EngineError> {
        self.0.reserve(spec.id)?;
        let inner = Arc::clone(&self.0);
        // On its own, so that a caller who goes away does not leave half a dyno.
        finish(async move {
            let started = inner.start_reserved(spec).await;
            inner.refill();
            started
        })
        .await
    }

    async fn list(&self) -> Result<Vec<DynoReport>, EngineError> {
        Ok(self
            .0
            .held()
            .iter()
            .map(|dyno| dyno.report(&self.0.cgroups))
            .collect())
    }

    async fn inspect(&self, id: DynoId) -> Result<DynoReport, EngineError> {
        Ok(self.0.find(id)?.report(&self.0.cgroups))
    }

    async fn wait(&self, id: DynoId) -> Result<DynoExit, EngineError> {
        Ok(self.0.find(id)?.wait().await)
    }

    async fn stop(&self, id: DynoId, grace: Duration) -> Result<DynoExit, EngineError> {
        let dyno = self.0.find(id)?;
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        let asked = control::ask(&dyno.directory, Request::Stop { grace_ms }).await;
        if let Err(error) = asked
            && dyno.ended().is_none()
        {
            // Its shim is on its way out, or away: the one who follows it will tell.
            tracing::debug!(dyno = %id, %error, "its shim did not take the stop");
        }
        Ok(dyno.wait().await)
    }

    async fn remove(&self, id: DynoId) -> Result<(), EngineError> {
        let Ok(dyno) = self.0.find(id) else {
            return Ok(());
        };
        if dyno.ended().is_none() {
            return Err(EngineError::StillRunning(id));
        }
        let inner = Arc::clone(&self.0);
        finish(async move { inner.forget(dyno).await }).await
    }

    async fn attach(&self, id: DynoId) -> Result<Box<dyn AttachStream>, EngineError> {
        let dyno = self.0.find(id)?;
        if dyno.notes.is_logged || dyno.is_attached.swap(true, Ordering::SeqCst) {
            return Err(EngineError::NotAttachable(id));
        }
        match control::ask(&dyno.directory, Request::Attach).await {
            Ok((stream, Answer::Done)) => return Ok(Box::new(stream)),
            Ok(_) => return Err(EngineError::NotAttachable(id)),
            Err(error) => tracing::debug!(dyno = %id, %error, "attaching to what it left"),
        }
        // It has ended, or is about to; then what it wrote is in a file.
        dyno.wait().await;
        let output = fs::read(dyno.directory.join(files::OUTPUT));
        let output = output.map_err(|_| EngineError::NotAttachable(id))?;
        Ok(Box::new(tokio::io::join(
            Cursor::new(output),
            tokio::io::sink(),
        )))
    }

    async fn read_log(&self, id: DynoId, after: u64) -> Result<LogBatch, EngineError> {
        let dyno = self.0.find(id)?;
        loop {
            let mut grew = std::pin::pin!(dyno.log_grew.notified());
            grew.as_mut().enable();
            // Before reading: once it has ended nothing is added.
            let ended = dyno.ended().is_some();
            let records = read_records(&dyno, after).await?;
            if ended || !records.is_empty() {
                let ended = ended && records.is_empty();
                return Ok(LogBatch { records, ended });
            }
            grew.await;
        }
    }

    async fn probe(
        &self,
        id: DynoId,
        question: &Question,
        timeout: Duration,
    ) -> Result<Probe, EngineError> {
        let dyno = self.0.find(id)?;
        match (question.port.or(dyno.notes.port), dyno.ended()) {
            (Some(port), None) => {
                let address = SocketAddr::new(dyno.notes.address, port);
                Ok(probe::probe(address, question.http.as_ref(), timeout).await)
            }
            _ => Ok(Probe::Refused),
        }
    }

    async fn listening(&self, id: DynoId) -> Result<Vec<String>, EngineError> {
        let dyno = self.0.find(id)?;
        let is_running = dyno.ended().is_none();
        Ok(if is_running {
            sockets::listening(dyno.process())
        } else {
            Vec::new()
        })
    }

    async fn exec(&self, id: DynoId, spec: ExecSpec) -> Result<Box<dyn AttachStream>, EngineError> {
        self.0.find(id)?.exec(spec).await
    }

    async fn connect(&self, id: DynoId, port: u16) -> Result<Box<dyn AttachStream>, EngineError> {
        let dyno = self.0.find(id)?;
        let network = self.0.network.as_ref();
        let netns = network.map(|network| network.namespace(dyno.notes.index));
        dyno.connect(netns, port).await
    }

    async fn freeze(&self, id: DynoId, ticket: u64) -> Result<Freeze, EngineError> {
        let frozen = self.0.find(id)?.freeze(ticket).await?;
        if frozen == Freeze::Frozen && sleep::has_swap() {
            let inner = Arc::clone(&self.0);
            // Nobody waits for it, and a host that cannot is no worse for it.
            tokio::task::spawn_blocking(move || {
                if let Err(error) = inner.cgroups.reclaim(&id.to_string()) {
                    tracing::debug!(dyno = %id, %error, "its memory stays where it is");
                }
            });
        }
        Ok(frozen)
    }

    async fn thaw(&self, id: DynoId, ticket: u64) -> Result<(), EngineError> {
        self.0.find(id)?.thaw(ticket).await
    }

    async fn mend(&self) -> Result<Vec<String>, EngineError> {
        self.0.mend().await
    }
}

/// Runs to the end even if nobody waits for it any more.
async fn finish<F>(work: F) -> Result<(), EngineError>
where
    F: Future<Output = Result<(), EngineError>> + Send + 'static,
{
    let step = "finish what was begun";
    let ended = tokio::spawn(work).await;
    ended.map_err(|source| EngineError::Host {
        step,
        source: source.into(),
    })?
}

async fn read_records(dyno: &Arc<Dyno>, after: u64) -> Result<Vec<LogRecord>, EngineError> {
    let step = "read a dyno's log";
    let dyno = Arc::clone(dyno);
    let read = tokio::task::spawn_blocking(move || {
        dyno.log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .read(after)
    });
    let records = read
        .await
        .map_err(io::Error::from)
        .and_then(|records| records);
    let records = records.map_err(|source| EngineError::Host { step, source })?;
    Ok(records.iter().map(log_record).collect())
}

fn log_record(record: &Record) -> LogRecord {
    LogRecord {
        sequence: record.sequence,
        at: Time::from_micros(record.at_micros),
        stream: if record.stream == 2 {
            LogStream::Stderr
        } else {
            LogStream::Stdout
        },
        text: String::from_utf8_lossy(&record.text).into_owned(),
    }
}

/// The slot that this directory's dynos have, or any.
fn claim_slot(data: &Path, dynos: &Path) -> Result<Slot, EngineError> {
    let Some(had) = adopt::slot_of(dynos) else {
        return Slot::claim(data);
    };
    let slot = Slot::claim_again(data, had.number)?;
    if had.is_alive && slot.number != had.number {
        slot.free()?;
        let refused = format!(
            "they run in slot {}, which another platform has taken since the register was lost \
             (hint: run `landfall down` for that one first)",
            had.number
        );
        return Err(EngineError::Host {
            step: "take over the platform's dynos",
            source: io::Error::other(refused),
        });
    }
    Ok(slot)
}

fn make_private(directory: &Path) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
}

fn make_fixtures(run: &Path, cgroups: &Cgroups) -> io::Result<Fixtures> {
    let parent = run.join("fixtures");
    make_private(&parent)?;
    let places = cgroups.view_places();
    let fixtures = Fixtures::new(&parent.canonicalize()?, places.iter().map(PathBuf::as_path));
    fixtures.make()?;
    Ok(fixtures)
}
