//! Runs a plan's steps, one after the other, as build dynos of the engine.
//!
//! It decides nothing: a step whose layer is in place is skipped, any other runs and leaves a
//! layer. It must not know buildpacks. Read [`Execution::run`] first.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use api::{
    build_records::StepOutcome,
    clock::{Clock, Time},
    ids::{AppId, BuildId, DynoId},
    names::{DynoName, ProcessType, StackName},
};
use engine::{Bind, DynoExit, DynoKind, DynoSpec, Engine, Limits, Stdio};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};

use crate::{
    archive::hex,
    env,
    error::BuildError,
    journal::{Journal, Timing},
    layers::{Draft, Layer, LayerStore},
    output::Output,
    plan::{Action, Inputs, LayerRef, Step},
    source_tree::SourceTree,
};

/// Processes and threads that a build step may have at once.
const STEP_PIDS: u32 = 4096;
/// Bytes that a build step may write, a little more than a layer may hold; each file counts 4 KiB
/// beside its content, so that files are limited, too.
pub(crate) const STEP_DISK_BYTES: u64 = 5 * 1024 * 1024 * 1024;
/// A build step's share of processor time, as much as a standard dyno's; of that the engine gives
/// builds a small part.
const STEP_CPU_WEIGHT: u16 = 100;
/// How long a list of versions is taken as true.
pub(crate) const CATALOGUE_TTL: Duration = Duration::from_hours(24);
/// Longest catalogue, in bytes.
const MAX_CATALOGUE_BYTES: u64 = 16 * 1024 * 1024;
/// Where a catalogue step leaves its answer, below `/app`.
pub(crate) const CATALOGUE_FILE: &str = "catalogue.json";

/// What stays the same for all builds.
#[derive(Clone)]
pub(crate) struct Workshop {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) layers: LayerStore,
    /// Download caches, a directory per app.
    pub(crate) caches: PathBuf,
    /// What the machine's builds share: catalogues and runtime mirrors.
    pub(crate) runtimes: PathBuf,
    pub(crate) owner: u32,
    pub(crate) memory_bytes: u64,
    pub(crate) disk_bytes: u64,
    pub(crate) clock: Clock,
}

/// One running build.
pub(crate) struct Execution {
    pub(crate) workshop: Workshop,
    pub(crate) build: BuildId,
    pub(crate) app: AppId,
    pub(crate) stack: StackName,
    pub(crate) tree: SourceTree,
    pub(crate) source: Layer,
    pub(crate) output: Output,
    pub(crate) journal: Journal,
    /// Results of the steps that are done.
    done: BTreeMap<String, Layer>,
    /// Keys of the layers that this build made.
    pub(crate) made: BTreeSet<String>,
    /// What earlier buildpacks put into the environment of all later steps.
    pub(crate) exported: BTreeMap<String, String>,
    dynos: u32,
}

impl Execution {
    pub(crate) fn new(
        workshop: Workshop,
        (build, app, stack): (BuildId, AppId, StackName),
        (tree, source): (SourceTree, Layer),
        output: Output,
        journal: Journal,
    ) -> Self {
        let done = BTreeMap::new();
        let (made, exported, dynos) = (BTreeSet::new(), BTreeMap::new(), 0);
        Self {
            workshop,
            build,
            app,
            stack,
            tree,
            source,
            output,
            journal,
            done,
            made,
            exported,
            dynos,
        }
    }

    /// Does one step, or finds that it was done before.
    pub(crate) async fn run(&mut self, step: &Step) -> Result<(), BuildError> {
        let step = &self.with_exported(step);
        let inputs = self.inputs(step)?;
        self.journal.begin(step, &inputs);
        let clock = self.workshop.clock.clone();
        let timing = Timing::begin(&clock);
        let result = self.perform(step, step.key(&inputs)).await;
        let outcome = *result.as_ref().unwrap_or(&StepOutcome::Failed);
        let size_bytes = self.done.get(&step.name).map(|layer| layer.size_bytes);
        self.journal.end(outcome, size_bytes, timing.took());
        result.map(drop)
    }

    async fn perform(&mut self, step: &Step, key: String) -> Result<StepOutcome, BuildError> {
        let making = self.workshop.layers.making(&key);
        let _held = making.lock().await;
        if step.is_reusable
            && let Some(layer) = self.workshop.layers.find(&key)
        {
            for line in &step.cached_heading {
                self.output.heading(line).await;
            }
            self.done.insert(step.name.clone(), layer);
            return Ok(StepOutcome::Cached);
        }
        for line in &step.heading {
            self.output.heading(line).await;
        }
        let layers = self.workshop.layers.clone();
        let draft = layers
            .draft()
            .map_err(BuildError::host("make room for a layer"))?;
        match &step.action {
            Action::Run(command) => self.run_command(step, command, &draft).await?,
            Action::Write(files) => write_files(&layers, &draft, files.iter())?,
        }
        let layer = commit(&layers, draft, key).await?;
        self.made.insert(layer.key.clone());
        self.done.insert(step.name.clone(), layer);
        Ok(StepOutcome::Ran)
    }

    /// The answer of a step that looks something up outside, asked again when it is too old; an
    /// old answer is better than none.
    pub(crate) async fn catalogue<T: Serialize + DeserializeOwned>(
        &mut self,
        question: Question<'_>,
        step: &Step,
    ) -> Result<T, BuildError> {
        let Question { name, now, ttl } = question;
        let path = self
            .workshop
            .runtimes
            .join(format!("catalogue-{name}.json"));
        let known: Option<Dated<T>> = fs::read(&path)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        match known {
            Some(known) if now.since(known.at) < ttl => return Ok(known.answer),
            _ => {}
        }
        match (self.ask::<T>(step).await, known) {
            (Ok(answer), _) => {
                let dated = Dated { at: now, answer };
                write_atomically(&path, &serde_json::to_vec(&dated).unwrap_or_default())
                    .map_err(BuildError::host("keep the list of versions"))?;
                Ok(dated.answer)
            }
            (Err(error), Some(known)) => {
                tracing::warn!(name, %error, "using an old list of versions");
                Ok(known.answer)
            }
            (Err(error), None) => Err(error),
        }
    }

    async fn ask<T: DeserializeOwned>(&mut self, step: &Step) -> Result<T, BuildError> {
        let unreadable = BuildError::host("read the list of versions");
        let Action::Run(command) = &step.action else {
            return Err(unreadable(std::io::ErrorKind::InvalidInput.into()));
        };
        for line in &step.heading {
            self.output.heading(line).await;
        }
        let layers = self.workshop.layers.clone();
        let draft = layers
            .draft()
            .map_err(BuildError::host("make room for a layer"))?;
        self.run_command(step, command, &draft).await?;
        let answer = SourceTree::new(draft.path())
            .read(CATALOGUE_FILE)
            .filter(|bytes| bytes.len() as u64 <= MAX_CATALOGUE_BYTES)
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        answer.ok_or_else(|| unreadable(std::io::ErrorKind::InvalidData.into()))
    }

    /// The layer that a plan speaks of, once it exists.
    pub(crate) fn layer(&self, layer: &LayerRef) -> Option<&Layer> {
        match layer {
            LayerRef::Source => Some(&self.source),
            LayerRef::Step(name) => self.done.get(name),
        }
    }

    /// Puts a layer that is there already in the place of a step's result.
    pub(crate) fn place(&mut self, name: &str, layer: Layer) {
        self.done.insert(name.to_owned(), layer);
    }

    /// Whether the step was done in this build.
    pub(crate) fn is_done(&self, step: &Step) -> bool {
        self.done.contains_key(&step.name)
    }

    fn inputs(&self, step: &Step) -> Result<Inputs, BuildError> {
        let files = step.files.iter().filter_map(|path| {
            let bytes = self.tree.read(path)?;
            Some((path.clone(), hex(&Sha256::digest(bytes))))
        });
        Ok(Inputs {
            stack: self.stack.to_string(),
            upon: self.upon(step)?.map(|layer| layer.key.clone()).collect(),
            files: files.collect(),
            app: (!step.caches.is_empty()).then(|| self.app.to_string()),
            build: (!step.is_reusable).then(|| self.build.to_string()),
        })
    }

    fn upon<'a>(&'a self, step: &'a Step) -> Result<impl Iterator<Item = &'a Layer>, BuildError> {
        let layers: Option<Vec<&Layer>> = step.upon.iter().map(|layer| self.layer(layer)).collect();
        let missing = || std::io::Error::from(std::io::ErrorKind::NotFound);
        let layers = layers
            .ok_or_else(missing)
            .map_err(BuildError::host("find the layers below a step"))?;
        Ok(layers.into_iter())
    }

    /// Runs the command of a step that leaves no layer of its own; what it writes below `/app` is
    /// left in the draft.
    pub(crate) async fn run_aside(&mut self, step: &Step, draft: &Draft) -> Result<(), BuildError> {
        let Action::Run(command) = &step.action else {
            return Ok(());
        };
        let inputs = self.inputs(step)?;
        self.journal.begin(step, &inputs);
        let clock = self.workshop.clock.clone();
        let timing = Timing::begin(&clock);
        let result = self.run_command(step, command, draft).await;
        let outcome = match &result {
            Ok(()) => StepOutcome::Ran,
            Err(_) => StepOutcome::Failed,
        };
        self.journal.end(outcome, None, timing.took());
        result
    }

    /// The step with what earlier buildpacks exported below its own environment.
    fn with_exported(&self, step: &Step) -> Step {
        let mut step = step.clone();
        step.env = env::over(&self.exported, step.env);
        step
    }

    async fn run_command(
        &mut self,
        step: &Step,
        command: &[String],
        draft: &Draft,
    ) -> Result<(), BuildError> {
        let mut below: Vec<PathBuf> = self
            .upon(step)?
            .map(|layer| self.workshop.layers.path(&layer.key))
            .collect();
        // Files that the step sees are a layer of their own for as long as it runs.
        let files = self
            .workshop
            .layers
            .draft()
            .map_err(BuildError::host("make room for files"))?;
        if !step.files.is_empty() {
            let contents: Vec<_> = step
                .files
                .iter()
                .filter_map(|path| Some((path, self.tree.read(path)?)))
                .collect();
            write_files(
                &self.workshop.layers,
                &files,
                contents.iter().map(|(p, c)| (*p, c)),
            )?;
        }
        if !step.files.is_empty() || below.is_empty() {
            below.push(files.path());
        }
        self.dynos += 1;
        let spec = DynoSpec {
            id: DynoId::new(),
            app: self.app,
            name: self.dyno_name(),
            kind: DynoKind::Build,
            stack: self.stack.clone(),
            layers: below,
            image: None,
            capture: Some(draft.path()),
            binds: self.binds(step)?,
            command: command.to_vec(),
            env: step.env.clone(),
            port: None,
            limits: Limits {
                memory_bytes: self.workshop.memory_bytes,
                cpu_weight: STEP_CPU_WEIGHT,
                pids: STEP_PIDS,
                disk_bytes: Some(self.workshop.disk_bytes),
                ..Limits::default()
            },
            stdio: Stdio::Logged,
            is_restarted_unattended: false,
            labels: BTreeMap::from([
                ("build".to_owned(), self.build.to_string()),
                ("step".to_owned(), step.name.clone()),
            ]),
        };
        let exit = self.follow(spec, step.is_verbatim).await?;
        let last_lines = self.output.take_tail();
        if exit.is_success() {
            return Ok(());
        }
        Err(self.failure(step, &exit, last_lines).await)
    }

    /// Why a step's command ended badly, as far as that can be told.
    async fn failure(
        &mut self,
        step: &Step,
        exit: &DynoExit,
        last_lines: Vec<String>,
    ) -> BuildError {
        if exit.is_over_disk {
            return BuildError::OverDisk {
                megabytes: self.workshop.disk_bytes >> 20,
            };
        }
        if ran_out_of_processes(&last_lines) {
            self.output.notice(&no_processes()).await;
        }
        BuildError::Step {
            step: step.name.clone(),
            status: exit.status(),
            is_out_of_memory: exit.is_out_of_memory,
            advice: step.advice.clone(),
            last_lines,
        }
    }

    fn dyno_name(&self) -> DynoName {
        let process_type: ProcessType = "build".parse().expect("a valid process type");
        DynoName::new(&process_type, self.dynos)
    }

    /// Starts a dyno and passes its lines on until it has ended and is gone.
    async fn follow(&mut self, spec: DynoSpec, is_verbatim: bool) -> Result<DynoExit, BuildError> {
        let engine = Arc::clone(&self.workshop.engine);
        let id = spec.id;
        let running = Running {
            engine: Arc::clone(&engine),
            id: Some(id),
        };
        engine.start(spec).await?;
        let mut after = 0;
        loop {
            let batch = engine.read_log(id, after).await?;
            for record in &batch.records {
                after = record.sequence;
                if is_verbatim {
                    self.output.verbatim(&record.text).await;
                } else {
                    self.output.tool(&record.text).await;
                }
            }
            if batch.ended {
                break;
            }
        }
        let exit = engine.wait(id).await?;
        running.finish().await?;
        Ok(exit)
    }

    fn binds(&self, step: &Step) -> Result<Vec<Bind>, BuildError> {
        let refused = "make room for a download cache";
        let mut binds = Vec::new();
        for cache in &step.caches {
            let source = self
                .workshop
                .caches
                .join(self.app.to_string())
                .join(&cache.name);
            make_folder(&source, self.workshop.owner).map_err(BuildError::host(refused))?;
            let target = Path::new("/cache").join(&cache.name);
            binds.push(Bind {
                source,
                target,
                is_writable: true,
            });
        }
        if let Some(source) = &step.mirror {
            let target = PathBuf::from("/cache/mirror");
            binds.push(Bind {
                source: source.clone(),
                target,
                is_writable: false,
            });
        }
        binds.extend(step.shown.iter().map(|shown| Bind {
            source: shown.source.clone(),
            target: shown.target.clone(),
            is_writable: shown.is_writable,
        }));
        Ok(binds)
    }
}

/// Whether the last lines of a tool say that it could make no more processes or threads.
fn ran_out_of_processes(last_lines: &[String]) -> bool {
    const SIGNS: [&str; 4] = [
        "Resource temporarily unavailable",
        "can't start new thread",
        "unable to create native thread",
        "pthread_create failed",
    ];
    let says_so = |line: &String| SIGNS.iter().any(|sign| line.contains(sign));
    last_lines.iter().any(says_so)
}

fn no_processes() -> String {
    format!("A build may have {STEP_PIDS} processes and threads at once; it asked for more.")
}

/// Something to look up outside; all builds of the machine share the answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'a> {
    /// Tells it from others, and names its file.
    pub(crate) name: &'a str,
    pub(crate) now: Time,
    /// How long an answer is taken as true.
    pub(crate) ttl: Duration,
}

/// A catalogue's answer and when it was given.
#[derive(Serialize, Deserialize)]
struct Dated<T> {
    at: Time,
    answer: T,
}

/// A build dyno; dropping this before it finished stops and removes it.
struct Running {
    engine: Arc<dyn Engine>,
    id: Option<DynoId>,
}

impl Running {
    async fn finish(mut self) -> Result<(), BuildError> {
        if let Some(id) = self.id {
            self.engine.remove(id).await?;
            self.id = None;
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let (Some(id), Ok(runtime)) = (self.id, tokio::runtime::Handle::try_current()) else {
            return;
        };
        let engine = Arc::clone(&self.engine);
        runtime.spawn(async move { discard(&*engine, id).await });
    }
}

/// Stops a build dyno at once and removes it, whatever state it is in.
pub(crate) async fn discard(engine: &dyn Engine, id: DynoId) {
    match engine.stop(id, Duration::ZERO).await {
        Ok(_) => {}
        Err(engine::EngineError::UnknownDyno(_)) => return,
        Err(error) => tracing::warn!(dyno = %id, %error, "could not stop a build dyno"),
    }
    if let Err(error) = engine.remove(id).await {
        tracing::warn!(dyno = %id, %error, "could not remove a build dyno");
    }
}

pub(crate) async fn commit(
    store: &LayerStore,
    draft: Draft,
    key: String,
) -> Result<Layer, BuildError> {
    let store = store.clone();
    blocking("put a layer in place", move || store.commit(&draft, &key)).await
}

/// Runs what takes long without an await where it holds nobody up.
pub(crate) async fn blocking<T: Send + 'static>(
    step: &'static str,
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, BuildError> {
    let result = tokio::task::spawn_blocking(work).await;
    result
        .unwrap_or_else(|error| Err(std::io::Error::other(error)))
        .map_err(BuildError::host(step))
}

fn write_files<'a, C: AsRef<[u8]> + 'a>(
    store: &LayerStore,
    draft: &Draft,
    files: impl Iterator<Item = (&'a String, &'a C)>,
) -> Result<(), BuildError> {
    for (path, content) in files {
        store
            .write_file(draft, path, content.as_ref())
            .map_err(BuildError::host("write a file of a layer"))?;
    }
    Ok(())
}

fn make_folder(path: &Path, owner: u32) -> std::io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(path)?;
    crate::owner::give(path, owner)
}

fn write_atomically(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let beside = path.with_extension(BuildId::new().to_string());
    fs::write(&beside, bytes)?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_say_when_there_are_no_more_processes() {
        let check = |line: &str, expected| {
            assert_eq!(
                ran_out_of_processes(&[String::new(), line.to_owned()]),
                expected,
                "{line}"
            );
        };
        check("bash: fork: retry: Resource temporarily unavailable", true);
        check(
            "BlockingIOError: [Errno 11] Resource temporarily unavailable",
            true,
        );
        check("RuntimeError: can't start new thread", true);
        check(
            "java.lang.OutOfMemoryError: unable to create native thread",
            true,
        );
        check("error: could not compile", false);
    }
}
