//! A real engine and a builder on it, for tests that build apps and run commands of their slugs.
//!
//! Needs root, the stack and a package registry, as every build does.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, OnceLock},
};

use api::{
    clock::Clock,
    ids::{AppId, BuildId, DynoId},
};
use builder::{
    BuildError, BuildOrder, BuildRequest, Builder, BuilderConfig, BuiltSlug, launch_command,
};
use engine::{DynoKind, DynoSpec, Engine, Limits, Stdio};
use engine_local::{LAYER_OWNER, LocalEngine, LocalEngineConfig};
use tokio::sync::{OnceCell, mpsc};

/// A real engine and a builder on it, in a directory of their own.
pub(crate) struct Machine {
    data: tempfile::TempDir,
    pub(crate) engine: Arc<LocalEngine>,
    builder: Builder,
    app: AppId,
}

impl Machine {
    pub(crate) async fn open() -> Self {
        let data = tempfile::tempdir().unwrap();
        let cache = cache();
        ensure_stack(&cache).await;
        let engine = LocalEngine::open(config(data.path())).await.unwrap();
        let config = BuilderConfig {
            layers: data.path().join("layers"),
            work: data.path().join("build"),
            cache,
            layer_owner: LAYER_OWNER,
            clock: Clock::system(),
        };
        let builder = Builder::new(Arc::clone(&engine) as Arc<_>, config)
            .with_host_vars(std::env::vars().collect())
            .with_own_buildpacks(own_buildpacks());
        Self {
            data,
            engine,
            builder,
            app: AppId::new(),
        }
    }

    /// The same machine, whose build steps may write so many bytes.
    pub(crate) fn with_disk(mut self, disk_bytes: u64) -> Self {
        self.builder = self.builder.clone().with_disk(disk_bytes);
        self
    }

    /// Where its layers are.
    pub(crate) fn layers_folder(&self) -> PathBuf {
        self.data.path().join("layers")
    }

    /// Builds a directory as it is, or with further files.
    pub(crate) async fn build(
        &self,
        folder: &Path,
        more: &[(&str, &str)],
    ) -> (Result<BuiltSlug, BuildError>, String) {
        self.build_by(&[], folder, more).await
    }

    /// Builds it with the buildpacks of these names, in this order.
    pub(crate) async fn build_by(
        &self,
        buildpacks: &[&str],
        folder: &Path,
        more: &[(&str, &str)],
    ) -> (Result<BuiltSlug, BuildError>, String) {
        let build = BuildId::new();
        let archive = self.data.path().join(format!("{build}.tar"));
        let mut tar = tar::Builder::new(fs::File::create(&archive).unwrap());
        tar.follow_symlinks(false);
        tar.append_dir_all(".", folder).unwrap();
        for (path, content) in more {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o644);
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, path, content.as_bytes())
                .unwrap();
        }
        tar.finish().unwrap();
        let request = BuildRequest {
            build,
            app: self.app,
            stack: "landfall-13".parse().unwrap(),
            archive,
            buildpacks: buildpacks.iter().map(ToString::to_string).collect(),
            config_vars: BTreeMap::from([("GREETING".to_owned(), "hello".to_owned())]),
            commit: Some("0123abc".to_owned()),
        };
        let (sender, mut receiver) = mpsc::channel(64);
        let lines = tokio::spawn(async move {
            let mut lines = Vec::new();
            while let Some(line) = receiver.recv().await {
                lines.push(line);
            }
            lines.join("\n")
        });
        let order = BuildOrder::new(request);
        let result = self.builder.carry_out(order, sender).await;
        let result = result.map(|built| built.slug().unwrap());
        (result, lines.await.unwrap())
    }

    pub(crate) async fn built(&self, folder: &Path, more: &[(&str, &str)]) -> (BuiltSlug, String) {
        let (result, output) = self.build(folder, more).await;
        match result {
            Ok(slug) => (slug, output),
            Err(error) => panic!("{error:?}\n{output}"),
        }
    }

    /// Starts a command of a slug and gives its id.
    pub(crate) async fn start(&self, slug: &BuiltSlug, command: &str) -> DynoId {
        let id = DynoId::new();
        let layers = slug
            .layers
            .iter()
            .map(|key| self.builder.layers().path(key))
            .collect();
        let spec = DynoSpec {
            id,
            app: self.app,
            name: "web.1".parse().unwrap(),
            kind: DynoKind::Formation,
            stack: "landfall-13".parse().unwrap(),
            layers,
            image: None,
            capture: None,
            binds: Vec::new(),
            command: launch_command(command),
            env: slug.env.clone(),
            port: Some(5000),
            limits: Limits {
                memory_bytes: 512 << 20,
                cpu_weight: 100,
                pids: 256,
                ..Limits::default()
            },
            stdio: Stdio::Logged,
            is_restarted_unattended: false,
            labels: BTreeMap::new(),
        };
        self.engine.start(spec).await.unwrap();
        id
    }

    /// What a one-off command of the slug prints.
    pub(crate) async fn run(&self, slug: &BuiltSlug, command: &str) -> String {
        let id = self.start(slug, command).await;
        self.engine.wait(id).await.unwrap();
        let (mut after, mut lines) = (0, Vec::new());
        loop {
            let batch = self.engine.read_log(id, after).await.unwrap();
            after = batch.records.last().map_or(after, |record| record.sequence);
            lines.extend(batch.records.into_iter().map(|record| record.text));
            if batch.ended {
                break;
            }
        }
        self.engine.remove(id).await.unwrap();
        lines.join("\n")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let config = config(self.data.path());
        // A runtime of its own: the test's may be on its way down.
        let cleaned = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async { LocalEngine::open(config).await?.remove_everything().await })
        });
        let cleaned = cleaned.join();
        if !std::thread::panicking() {
            cleaned.unwrap().unwrap();
        }
    }
}

/// The repository's own buildpacks, as an operator's.
fn own_buildpacks() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/buildpacks")
}

fn cache() -> PathBuf {
    std::env::var_os("LANDFALL_CACHE").map_or_else(|| "/var/cache/landfall".into(), PathBuf::from)
}

fn config(data: &Path) -> LocalEngineConfig {
    let mut config = LocalEngineConfig::new(data.to_owned(), cache(), shim());
    config.network.pool_size = 1;
    config.environment = std::env::vars().collect();
    config
}

async fn ensure_stack(cache: &Path) {
    static BUILT: OnceCell<()> = OnceCell::const_new();
    let ensure = async || {
        let stack = engine_local::stacks::DEFAULT_STACK.parse().unwrap();
        if engine_local::stacks::find(cache, &stack).is_none() {
            engine_local::stacks::build(cache, &stack, |_| {})
                .await
                .unwrap();
        }
    };
    BUILT.get_or_init(ensure).await;
}

/// The shim of this build; built now, since nothing makes it a dependency.
fn shim() -> PathBuf {
    static SHIM: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--package", "shim"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status();
        assert!(built.unwrap().success(), "the shim does not build");
        let test = std::env::current_exe().unwrap();
        test.parent()
            .and_then(Path::parent)
            .unwrap()
            .join("landfall-shim")
    };
    SHIM.get_or_init(build).clone()
}

pub(crate) fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/apps")
        .join(name)
}
