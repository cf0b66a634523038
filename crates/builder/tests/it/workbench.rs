//! An engine whose dynos are played by a function of the test, and a builder on it.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use api::{
    clock::{Clock, Time},
    ids::{AppId, BuildId, DynoId},
};
use async_trait::async_trait;
use builder::{BuildError, BuildOrder, BuildRequest, Builder, BuilderConfig, Built, BuiltSlug};
use engine::{
    AttachStream, DynoExit, DynoReport, DynoSpec, DynoState, Engine, EngineError, LogBatch,
    LogRecord, LogStream, Probe,
};
use tokio::sync::{Notify, mpsc};

/// What a played dyno did: its lines and its exit status; `None` runs until it is stopped.
pub(crate) type Played = Option<(Vec<String>, i32)>;
type Play = dyn Fn(&DynoSpec) -> Played + Send + Sync;

/// Plays every dyno with one function, at once and in full.
pub(crate) struct PlayedEngine {
    play: Box<Play>,
    dynos: Mutex<BTreeMap<DynoId, (DynoSpec, Played)>>,
    /// Names of the steps that were started, in order.
    pub(crate) started: Mutex<Vec<String>>,
    changed: Notify,
}

impl PlayedEngine {
    pub(crate) fn new(play: impl Fn(&DynoSpec) -> Played + Send + Sync + 'static) -> Arc<Self> {
        let (dynos, started) = (Mutex::default(), Mutex::default());
        Arc::new(Self {
            play: Box::new(play),
            dynos,
            started,
            changed: Notify::new(),
        })
    }

    fn look<T>(&self, id: DynoId, look: impl FnOnce(&Played) -> T) -> Result<T, EngineError> {
        let dynos = self.dynos.lock().unwrap();
        dynos
            .get(&id)
            .map(|(_, played)| look(played))
            .ok_or(EngineError::UnknownDyno(id))
    }

    async fn ended(&self, id: DynoId) -> Result<(Vec<String>, i32), EngineError> {
        loop {
            let changed = self.changed.notified();
            if let Some(played) = self.look(id, Clone::clone)? {
                return Ok(played);
            }
            changed.await;
        }
    }
}

fn exit(code: i32) -> DynoExit {
    let at = Time::from_micros(0);
    DynoExit {
        code: Some(code),
        signal: None,
        is_out_of_memory: false,
        is_lost: false,
        is_over_disk: false,
        was_forced: false,
        at,
    }
}

#[async_trait]
impl Engine for PlayedEngine {
    async fn start(&self, spec: DynoSpec) -> Result<(), EngineError> {
        let step = spec.labels.get("step").cloned().unwrap_or_default();
        self.started.lock().unwrap().push(step);
        let played = (self.play)(&spec);
        self.dynos.lock().unwrap().insert(spec.id, (spec, played));
        self.changed.notify_waiters();
        Ok(())
    }

    async fn list(&self) -> Result<Vec<DynoReport>, EngineError> {
        let dynos = self.dynos.lock().unwrap();
        let report = |(spec, played): &(DynoSpec, Played)| DynoReport {
            id: spec.id,
            app: spec.app,
            name: spec.name.clone(),
            kind: spec.kind,
            labels: spec.labels.clone(),
            state: played.as_ref().map_or(DynoState::Running, |(_, code)| {
                DynoState::Ended(exit(*code))
            }),
            started_at: Time::from_micros(0),
            address: None,
            port: None,
            memory_bytes: 0,
            disk_bytes: 0,
            dropped_lines: 0,
            sleep: engine::Sleep::default(),
            is_detached: false,
            restarts: Vec::new(),
            start_trace: Vec::new(),
        };
        Ok(dynos.values().map(report).collect())
    }

    async fn inspect(&self, id: DynoId) -> Result<DynoReport, EngineError> {
        let found = self
            .list()
            .await?
            .into_iter()
            .find(|report| report.id == id);
        found.ok_or(EngineError::UnknownDyno(id))
    }

    async fn wait(&self, id: DynoId) -> Result<DynoExit, EngineError> {
        Ok(exit(self.ended(id).await?.1))
    }

    async fn stop(&self, id: DynoId, _grace: Duration) -> Result<DynoExit, EngineError> {
        let mut dynos = self.dynos.lock().unwrap();
        let (_, played) = dynos.get_mut(&id).ok_or(EngineError::UnknownDyno(id))?;
        let code = played.get_or_insert((Vec::new(), 137)).1;
        self.changed.notify_waiters();
        Ok(exit(code))
    }

    async fn remove(&self, id: DynoId) -> Result<(), EngineError> {
        self.dynos.lock().unwrap().remove(&id);
        self.changed.notify_waiters();
        Ok(())
    }

    async fn attach(&self, id: DynoId) -> Result<Box<dyn AttachStream>, EngineError> {
        Err(EngineError::NotAttachable(id))
    }

    async fn read_log(&self, id: DynoId, after: u64) -> Result<LogBatch, EngineError> {
        let (lines, _) = self.ended(id).await?;
        let records = (1..).zip(lines).filter(|(sequence, _)| *sequence > after);
        let record = |(sequence, text)| {
            let (at, stream) = (Time::from_micros(0), LogStream::Stdout);
            LogRecord {
                sequence,
                at,
                stream,
                text,
            }
        };
        Ok(LogBatch {
            records: records.map(record).collect(),
            ended: true,
        })
    }

    async fn probe(
        &self,
        _id: DynoId,
        _question: &engine::Question,
        _timeout: Duration,
    ) -> Result<Probe, EngineError> {
        Ok(Probe::Refused)
    }

    async fn listening(&self, _id: DynoId) -> Result<Vec<String>, EngineError> {
        Ok(Vec::new())
    }

    async fn exec(
        &self,
        id: DynoId,
        _spec: engine::ExecSpec,
    ) -> Result<Box<dyn AttachStream>, EngineError> {
        Err(EngineError::NotAttachable(id))
    }

    async fn connect(&self, id: DynoId, _port: u16) -> Result<Box<dyn AttachStream>, EngineError> {
        Err(EngineError::NotAttachable(id))
    }

    async fn freeze(&self, id: DynoId, _ticket: u64) -> Result<engine::Freeze, EngineError> {
        Err(EngineError::NotAttachable(id))
    }

    async fn thaw(&self, id: DynoId, _ticket: u64) -> Result<(), EngineError> {
        Err(EngineError::NotAttachable(id))
    }

    async fn mend(&self) -> Result<Vec<String>, EngineError> {
        Ok(Vec::new())
    }
}

/// A builder in a directory of its own.
pub(crate) struct Workbench {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) builder: Builder,
    app: AppId,
}

/// How one build ended, and all it put out.
pub(crate) struct Outcome {
    pub(crate) result: Result<Built, BuildError>,
    pub(crate) output: String,
}

impl Outcome {
    pub(crate) fn slug(&self) -> &BuiltSlug {
        match &self.result {
            Ok(Built::Slug(slug)) => slug,
            Ok(Built::Unchanged) => panic!("nothing was built\n{}", self.output),
            Err(error) => panic!("{error}\n{}", self.output),
        }
    }
}

impl Workbench {
    pub(crate) fn new(engine: Arc<dyn Engine>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = BuilderConfig {
            layers: folder.path().join("layers"),
            work: folder.path().join("build"),
            cache: folder.path().join("cache"),
            layer_owner: fs::metadata(folder.path()).unwrap().uid(),
            clock: Clock::simulated(Time::from_micros(1_790_000_000_000_000)),
        };
        let builder = Builder::new(engine, config);
        Self {
            folder,
            builder,
            app: AppId::new(),
        }
    }

    /// A request to build these files.
    pub(crate) fn request(&self, files: &[(&str, &str)]) -> BuildRequest {
        let build = BuildId::new();
        let archive = self.folder.path().join(format!("{build}.tar"));
        let mut tar = tar::Builder::new(fs::File::create(&archive).unwrap());
        for (path, content) in files {
            let mut header = tar::Header::new_ustar();
            header.set_mode(0o644);
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, path, content.as_bytes())
                .unwrap();
        }
        tar.finish().unwrap();
        BuildRequest {
            build,
            app: self.app,
            stack: "landfall-13".parse().unwrap(),
            archive,
            buildpacks: Vec::new(),
            config_vars: BTreeMap::new(),
            commit: None,
        }
    }

    pub(crate) async fn build(&self, request: BuildRequest) -> Outcome {
        self.carry_out(BuildOrder::new(request)).await
    }

    pub(crate) async fn carry_out(&self, order: BuildOrder) -> Outcome {
        let (sender, mut receiver) = mpsc::channel(16);
        let lines = tokio::spawn(async move {
            let mut lines = Vec::new();
            while let Some(line) = receiver.recv().await {
                lines.push(line);
            }
            lines
        });
        let result = self.builder.carry_out(order, sender).await;
        let output = lines.await.unwrap().join("\n");
        Outcome { result, output }
    }

    pub(crate) fn layer(&self, key: &str) -> PathBuf {
        self.folder.path().join("layers").join(key)
    }
}

/// Writes a file into what a played dyno leaves behind.
pub(crate) fn leave(spec: &DynoSpec, path: &str, content: &str) {
    let full = spec
        .capture
        .as_deref()
        .unwrap_or(Path::new("/nonexistent"))
        .join(path);
    fs::create_dir_all(full.parent().unwrap()).unwrap();
    fs::write(full, content).unwrap();
}
