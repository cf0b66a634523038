//! [`Builder`]: one source in, one slug out.
//!
//! It must not know what a slug is for, nor who asked. Read [`Builder::carry_out`] first; the order of
//! events is in `assemble`.

mod source;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use api::{
    build_settings::BuildSettings,
    clock::Clock,
    ids::{AppId, BuildId},
    names::{ProcessType, StackName},
};
use engine::{DynoKind, Engine};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use self::source::{Source, heed_files};
use crate::{
    archive::hex,
    buildpacks,
    error::BuildError,
    execute::{Execution, STEP_DISK_BYTES, Workshop, blocking, discard},
    image::{Images, ImagesConfig},
    journal::{Journal, Timing},
    layers::{Layer, LayerStore},
    output::{Output, size},
    packs::{self, Known, Offer},
    plan::{BuildPlan, LayerRef},
    procfile,
    shape::config,
    source_tree::SourceTree,
};

/// Longest a build may take.
pub const BUILD_TIMEOUT: Duration = Duration::from_mins(15);
/// Memory quota of a build step, unless [`Builder::with_memory`] says otherwise.
pub const BUILD_MEMORY_BYTES: u64 = 2 * 1024 * 1024 * 1024;
/// An app's download caches are emptied when they come to more than this.
pub const MAX_APP_CACHE_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// Where a builder works.
#[derive(Clone, Debug)]
pub struct BuilderConfig {
    /// The layer store.
    pub layers: PathBuf,
    /// Download caches of apps, and the work of running builds.
    pub work: PathBuf,
    /// Shared by all platforms of the machine; `runtimes` below it holds mirrors and catalogues.
    pub cache: PathBuf,
    /// Who owns the files of layers on the host.
    pub layer_owner: u32,
    /// What time it is.
    pub clock: Clock,
}

/// One build to do.
#[derive(Clone, Debug)]
pub struct BuildRequest {
    /// Its id.
    pub build: BuildId,
    /// The app; its builds share download caches.
    pub app: AppId,
    /// The stack to build on.
    pub stack: StackName,
    /// The source: tar, tar.gz or tar.zst.
    pub archive: PathBuf,
    /// Chosen buildpacks by name or address; empty means what the source says, or detect.
    pub buildpacks: Vec<String>,
    /// The app's config vars, of which the build sees what its settings say.
    pub config_vars: BTreeMap<String, String>,
    /// The commit, for `SOURCE_VERSION`.
    pub commit: Option<String>,
}

/// A build to do, and what goes with it.
#[derive(Clone, Debug)]
pub struct BuildOrder {
    /// What to build.
    pub request: BuildRequest,
    /// The layer of the source from an earlier build, to be taken instead of the archive.
    pub source_layer: Option<String>,
    /// What of the source is built, and when.
    pub settings: BuildSettings,
    /// [`BuiltSlug::watch_digest`] of what is live: the same is not built again.
    pub live: Option<String>,
    /// Takes notes; they are there also when the build fails or is dropped.
    pub journal: Journal,
}

impl BuildOrder {
    /// An order without more wishes.
    pub fn new(request: BuildRequest) -> Self {
        Self {
            request,
            source_layer: None,
            settings: BuildSettings::default(),
            live: None,
            journal: Journal::default(),
        }
    }
}

/// What came of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Built {
    /// A slug.
    Slug(Box<BuiltSlug>),
    /// Nothing that is watched differs from what is live.
    Unchanged,
}

impl Built {
    /// The slug, if one was built.
    pub fn slug(self) -> Option<BuiltSlug> {
        match self {
            Self::Slug(slug) => Some(*slug),
            Self::Unchanged => None,
        }
    }
}

/// A built app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltSlug {
    /// Layer keys, lowest first; the directory of each is `layers/<key>`.
    pub layers: Vec<String>,
    /// Process type → command.
    pub process_types: BTreeMap<ProcessType, String>,
    /// What was built, as `heroku apps:info` shows it: `Python`.
    pub language: String,
    /// The last buildpack's name: `heroku/python`.
    pub buildpack: String,
    /// Environment of the dynos, below the app's config vars.
    pub env: BTreeMap<String, String>,
    /// What all layers come to.
    pub size_bytes: u64,
    /// `SHA256:…` over layers, process types and environment.
    pub checksum: String,
    /// Of the files that are watched, if any are: equal for sources that need not be built again.
    pub watch_digest: Option<String>,
}

/// What [`Builder::sweep`] found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Build dynos that nobody waited for.
    pub dynos: usize,
    /// Unfinished layers.
    pub drafts: usize,
}

/// Builds sources; cheap to clone.
#[derive(Clone)]
pub struct Builder {
    pub(crate) workshop: Workshop,
    pub(crate) config: BuilderConfig,
    host_vars: Arc<BTreeMap<String, String>>,
    pub(crate) running: Arc<Mutex<BTreeSet<BuildId>>>,
    images: Images,
    own_packs: Option<Arc<std::path::Path>>,
}

impl Builder {
    /// A builder on an engine. Touches nothing yet.
    pub fn new(engine: Arc<dyn Engine>, config: BuilderConfig) -> Self {
        let workshop = Workshop {
            engine,
            layers: LayerStore::new(&config.layers, config.layer_owner),
            caches: config.work.join("caches"),
            runtimes: config.cache.join("runtimes"),
            owner: config.layer_owner,
            memory_bytes: BUILD_MEMORY_BYTES,
            disk_bytes: STEP_DISK_BYTES,
            clock: config.clock.clone(),
        };
        let images = Images::new(ImagesConfig {
            folder: config.layers.with_file_name("images"),
            layers: config.layers.clone(),
            stacks: config.cache.join("stacks"),
        });
        Self {
            workshop,
            images,
            config,
            host_vars: Arc::default(),
            running: Arc::default(),
            own_packs: None,
        }
    }

    /// The same builder with a directory of the operator's own buildpacks: `NAMESPACE/NAME` below
    /// it is a directory, or an archive with one of the usual endings.
    #[must_use]
    pub fn with_own_buildpacks(mut self, folder: PathBuf) -> Self {
        self.own_packs = Some(folder.into());
        self
    }

    /// The buildpacks that can be chosen by name.
    ///
    /// # Errors
    /// When the directory of the operator's own cannot be read.
    pub async fn known_buildpacks(&self) -> Result<Vec<Known>, BuildError> {
        packs::known(self.own_packs.as_deref()).await
    }

    /// The same builder with another memory quota for its steps, in bytes.
    #[must_use]
    pub fn with_memory(mut self, memory_bytes: u64) -> Self {
        self.workshop.memory_bytes = memory_bytes;
        self
    }

    /// The same builder with another limit of what a step may write, in bytes.
    #[must_use]
    pub fn with_disk(mut self, disk_bytes: u64) -> Self {
        self.workshop.disk_bytes = disk_bytes;
        self
    }

    /// The same builder with the host's settings of where packages come from:
    /// `NPM_CONFIG_REGISTRY` and `PIP_INDEX_URL`, the latter for the builder's own tools. An app's
    /// settings come first; other variables are not looked at.
    #[must_use]
    pub fn with_host_vars(mut self, vars: BTreeMap<String, String>) -> Self {
        self.host_vars = Arc::new(vars);
        self
    }

    /// Images of slugs, kept beside the layers.
    pub fn images(&self) -> &Images {
        &self.images
    }

    /// Where layers are.
    pub fn layers(&self) -> &LayerStore {
        &self.workshop.layers
    }

    /// One build; output lines go out as they come, without line ends, in Heroku's look. An error
    /// has been said there as well when this returns.
    ///
    /// Dropping the future stops and removes the build's dynos. A closed `output` stops nothing.
    ///
    /// # Errors
    /// [`BuildError::is_about_the_source`] tells the app's fault from the machine's;
    /// [`BuildError::SourceGone`] when the layer to build from is not there any more.
    pub async fn carry_out(
        &self,
        order: BuildOrder,
        output: mpsc::Sender<String>,
    ) -> Result<Built, BuildError> {
        let _running = Listed::new(&self.running, order.request.build);
        let secrets = config::secrets(&order.request.config_vars);
        let mut errors = Output::new(output.clone()).hiding(secrets.clone());
        let (timing, journal) = (Timing::begin(&self.config.clock), order.journal.clone());
        let work = Box::pin(self.assemble(order, Output::new(output).hiding(secrets)));
        let result = tokio::time::timeout(BUILD_TIMEOUT, work)
            .await
            .unwrap_or_else(|_| {
                Err(BuildError::TimedOut {
                    minutes: BUILD_TIMEOUT.as_secs() / 60,
                })
            });
        journal.plan_is_rest(timing.took());
        if let Err(error) = &result {
            for line in error.lines() {
                errors.notice(&line).await;
            }
        }
        result
    }

    /// Removes what an interrupted build left behind: after a restart, before the first build.
    ///
    /// # Errors
    /// When dynos cannot be listed or the layer store cannot be read.
    pub async fn sweep(&self) -> Result<Swept, BuildError> {
        let mut swept = Swept::default();
        for report in self.workshop.engine.list().await? {
            let build = report.labels.get("build").and_then(|id| id.parse().ok());
            if report.kind == DynoKind::Build && !build.is_some_and(|id| self.is_running(id)) {
                discard(&*self.workshop.engine, report.id).await;
                swept.dynos += 1;
            }
        }
        let (workshop, images) = (self.workshop.clone(), self.images.clone());
        swept.drafts = blocking("sweep the layer store", move || {
            images.sweep().map_err(std::io::Error::other)?;
            let drafts = workshop.layers.sweep()?;
            trim_caches(&workshop.caches)?;
            Ok(drafts)
        })
        .await?;
        Ok(swept)
    }

    /// Removes an app's download caches; for when the app is gone.
    pub async fn forget(&self, app: AppId) -> Result<(), BuildError> {
        let folder = self.workshop.caches.join(app.to_string());
        blocking("remove an app's download caches", move || {
            remove_folder(&folder)
        })
        .await
    }

    fn is_running(&self, build: BuildId) -> bool {
        self.running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&build)
    }

    async fn assemble(&self, order: BuildOrder, mut output: Output) -> Result<Built, BuildError> {
        let heading = format!(
            "Building on the {} stack",
            stack_title(&order.request.stack)
        );
        output.heading(&heading).await;
        let timing = Timing::begin(&self.config.clock);
        let Some(source) = self.source(&order, &mut output).await? else {
            return Ok(Built::Unchanged);
        };
        order.journal.source(&source.layer);
        order.journal.spend("unpack", timing.took());
        let watch_digest = source.watch_digest.clone();
        let slug = self.make(order, source, output).await?;
        Ok(Built::Slug(Box::new(BuiltSlug {
            watch_digest,
            ..slug
        })))
    }

    async fn make(
        &self,
        order: BuildOrder,
        source: Source,
        mut output: Output,
    ) -> Result<BuiltSlug, BuildError> {
        let BuildOrder {
            mut request,
            settings,
            journal,
            ..
        } = order;
        let tree = SourceTree::new(self.workshop.layers.path(&source.layer.key));
        heed_files(&tree, &mut request, &settings, &mut output).await?;
        let procfile = match tree.read_text("Procfile") {
            Some(text) => procfile::parse(&text)?,
            None => BTreeMap::new(),
        };
        let ids = (request.build, request.app, request.stack.clone());
        let Source { layer, is_new, .. } = source;
        let mut execution =
            Execution::new(self.workshop.clone(), ids, (tree, layer), output, journal);
        if is_new {
            let source = &execution.source;
            execution.made.insert(source.key.clone());
        }
        let context = buildpacks::Context {
            request: &request,
            host_vars: &self.host_vars,
            now: self.config.clock.now(),
            folder: self.own_packs.as_deref(),
        };
        let chosen = packs::choose(&context, &mut execution, &request.buildpacks).await?;
        let last = chosen.last().ok_or(BuildError::NoLanguage)?;
        let mut plan = BuildPlan::default();
        let mut offer = Offer::default();
        for stretch in packs::stretches(&chosen) {
            offer = stretch.run(&context, &mut execution, &mut plan).await?;
            for line in &offer.extended.lines {
                execution.journal.told(line.text());
                line.put(&mut execution.output).await;
            }
        }
        if !plan.slug.contains(&LayerRef::Source) {
            plan.slug.push(LayerRef::Source);
        }
        // A buildpack may have written another Procfile than was pushed.
        let procfile = match execution.tree.read_text("Procfile") {
            Some(text) => procfile::parse(&text)?,
            None => procfile,
        };
        let identity = Identity {
            language: offer.title.unwrap_or_else(|| last.language().to_owned()),
            buildpack: last.name().to_owned(),
        };
        let types = discover(
            procfile,
            offer.extended.default_types,
            &identity,
            &mut execution.output,
        )
        .await;
        self.finish(execution, plan, types, identity).await
    }

    async fn finish(
        &self,
        mut execution: Execution,
        plan: BuildPlan,
        process_types: BTreeMap<ProcessType, String>,
        identity: Identity,
    ) -> Result<BuiltSlug, BuildError> {
        let timing = Timing::begin(&self.config.clock);
        let layers: Vec<Layer> = plan
            .slug
            .iter()
            .filter_map(|layer| execution.layer(layer))
            .cloned()
            .collect();
        execution.journal.layers(&layers, &execution.made);
        let is_new = |layer: &&Layer| execution.made.contains(&layer.key);
        let new = layers.iter().filter(is_new).count();
        let new_bytes = layers
            .iter()
            .filter(is_new)
            .map(|layer| layer.size_bytes)
            .sum();
        let reused = layers.len() - new;
        let line = format!("Layers: {reused} reused, {new} new ({})", size(new_bytes));
        execution.output.heading(&line).await;
        let store = self.workshop.layers.clone();
        blocking("write the layers to disk", move || store.sync()).await?;
        execution.journal.spend("finish", timing.took());
        let keys: Vec<String> = layers.iter().map(|layer| layer.key.clone()).collect();
        let whole = serde_json::to_vec(&(&keys, &process_types, &plan.env)).unwrap_or_default();
        Ok(BuiltSlug {
            layers: keys,
            process_types,
            language: identity.language,
            buildpack: identity.buildpack,
            env: plan.env,
            size_bytes: layers.iter().map(|layer| layer.size_bytes).sum(),
            checksum: format!("SHA256:{}", hex(&Sha256::digest(whole))),
            watch_digest: None,
        })
    }
}

/// What the slug says it was built by.
struct Identity {
    language: String,
    buildpack: String,
}

/// Joins the Procfile with what the buildpack offers, and says so.
async fn discover(
    mut types: BTreeMap<ProcessType, String>,
    defaults: BTreeMap<ProcessType, String>,
    identity: &Identity,
    output: &mut Output,
) -> BTreeMap<ProcessType, String> {
    output.heading("Discovering process types").await;
    let names = |types: &BTreeMap<ProcessType, String>| {
        types
            .keys()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let declared = if types.is_empty() {
        "(none)".to_owned()
    } else {
        names(&types)
    };
    let added: BTreeMap<_, _> = defaults
        .into_iter()
        .filter(|(name, _)| !types.contains_key(name))
        .collect();
    if added.is_empty() {
        output
            .text(&format!("Procfile declares types -> {declared}"))
            .await;
    } else {
        let default = format!(
            "Default types for {} -> {}",
            identity.buildpack,
            names(&added)
        );
        let width = default.find(" ->").unwrap_or(0);
        output
            .text(&format!(
                "{:width$} -> {declared}",
                "Procfile declares types"
            ))
            .await;
        output.text(&default).await;
    }
    types.extend(added);
    types
}

/// `landfall-13` → `Landfall-13`, as Heroku writes its stacks' names.
fn stack_title(stack: &StackName) -> String {
    let mut letters = stack.as_str().chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

/// Empties the caches of apps that have grown too large.
fn trim_caches(caches: &std::path::Path) -> std::io::Result<()> {
    let Ok(apps) = fs::read_dir(caches) else {
        return Ok(());
    };
    for app in apps {
        let path = app?.path();
        if crate::layers::measure(&path)? > MAX_APP_CACHE_BYTES {
            remove_folder(&path)?;
        }
    }
    Ok(())
}

fn remove_folder(path: &std::path::Path) -> std::io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// A build that is listed as running until this is dropped.
pub(crate) struct Listed {
    running: Arc<Mutex<BTreeSet<BuildId>>>,
    build: BuildId,
}

impl Listed {
    pub(crate) fn new(running: &Arc<Mutex<BTreeSet<BuildId>>>, build: BuildId) -> Self {
        running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(build);
        Self {
            running: Arc::clone(running),
            build,
        }
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.build);
    }
}
