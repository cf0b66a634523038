//! A platform of its own for each test, taken off the host at its end, however that comes.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, OnceLock},
    time::Duration,
};

use api::{
    ids::{AppId, DynoId},
    names::StackName,
};
use engine::{DynoExit, DynoKind, DynoSpec, Engine, Limits, Stdio};
use engine_local::{LAYER_OWNER, LocalEngine, LocalEngineConfig, stacks};
use tempfile::TempDir;
use tokio::sync::OnceCell;

/// How long anything may take before a test gives up.
const DEADLINE: Duration = Duration::from_mins(2);
/// Where a child process that plays the server finds its data directory.
pub(crate) const SERVER_DATA: &str = "ENGINE_LOCAL_TEST_DATA";
/// Memory of a test's dyno.
pub(crate) const MEMORY_BYTES: u64 = 128 << 20;

pub(crate) struct Platform {
    pub(crate) engine: Arc<LocalEngine>,
    pub(crate) data: TempDir,
}

impl Platform {
    pub(crate) async fn open() -> Self {
        Self::open_in(tempfile::tempdir().unwrap()).await
    }

    pub(crate) async fn open_in(data: TempDir) -> Self {
        ensure_stack().await;
        let engine = LocalEngine::open(config(data.path())).await.unwrap();
        Self { engine, data }
    }

    /// As a restart of the server does it.
    pub(crate) async fn reopen(&mut self) {
        self.engine = LocalEngine::open(config(self.data.path())).await.unwrap();
    }

    pub(crate) async fn start(&self, spec: DynoSpec) -> DynoId {
        let id = spec.id;
        soon(self.engine.start(spec)).await.unwrap();
        id
    }

    pub(crate) async fn wait(&self, id: DynoId) -> DynoExit {
        soon(self.engine.wait(id)).await.unwrap()
    }

    /// Runs a shell script to its end; its exit and its lines.
    pub(crate) async fn run(&self, script: &str) -> (DynoExit, Vec<String>) {
        self.run_spec(shell(script)).await
    }

    pub(crate) async fn run_spec(&self, spec: DynoSpec) -> (DynoExit, Vec<String>) {
        let id = self.start(spec).await;
        let exit = self.wait(id).await;
        (exit, self.lines(id).await)
    }

    /// Every line until the dyno's end.
    pub(crate) async fn lines(&self, id: DynoId) -> Vec<String> {
        let (mut after, mut lines) = (0, Vec::new());
        loop {
            let batch = soon(self.engine.read_log(id, after)).await.unwrap();
            after = batch.records.last().map_or(after, |record| record.sequence);
            lines.extend(batch.records.into_iter().map(|record| record.text));
            if batch.ended {
                return lines;
            }
        }
    }

    /// Waits for a line.
    pub(crate) async fn line(&self, id: DynoId, wanted: &str) {
        let mut after = 0;
        loop {
            let batch = soon(self.engine.read_log(id, after)).await.unwrap();
            if batch.records.iter().any(|record| record.text == wanted) {
                return;
            }
            assert!(!batch.ended, "it ended without the line {wanted:?}");
            after = batch.records.last().map_or(after, |record| record.sequence);
        }
    }

    /// A directory of the test's own, owned by the layer owner.
    pub(crate) fn directory(&self, name: &str) -> PathBuf {
        let path = self.data.path().join(name);
        std::fs::create_dir_all(&path).unwrap();
        own(&path);
        path
    }

    /// Lets go of the dynos, as a server that has died; until [`Platform::reopen`].
    pub(crate) async fn leave(&mut self) {
        let elsewhere = tempfile::tempdir().unwrap();
        // An engine that has nothing to do with the platform takes the place.
        self.engine = LocalEngine::open(config(elsewhere.path())).await.unwrap();
        self.engine.remove_everything().await.unwrap();
    }

    pub(crate) fn dyno_directory(&self, id: DynoId) -> PathBuf {
        self.data.path().join("run/dynos").join(id.to_string())
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        let data = self.data.path().to_owned();
        // A runtime of its own: the test's may be on its way down.
        let cleaned = std::thread::spawn(move || {
            tokio::runtime::Runtime::new().unwrap().block_on(async {
                LocalEngine::open(config(&data))
                    .await?
                    .remove_everything()
                    .await
            })
        });
        let cleaned = cleaned.join().unwrap();
        if !std::thread::panicking() {
            cleaned.unwrap();
        }
    }
}

pub(crate) fn own(path: &Path) {
    std::os::unix::fs::chown(path, Some(LAYER_OWNER), Some(LAYER_OWNER)).unwrap();
}

pub(crate) fn config(data: &Path) -> LocalEngineConfig {
    let mut config = LocalEngineConfig::new(data.to_owned(), cache(), shim());
    config.network.pool_size = 1;
    config
}

pub(crate) fn shell(script: &str) -> DynoSpec {
    let command = ["sh", "-c", script].map(str::to_owned).to_vec();
    DynoSpec {
        id: DynoId::new(),
        app: AppId::new(),
        name: "web.1".parse().unwrap(),
        kind: DynoKind::Formation,
        stack: stack(),
        layers: Vec::new(),
        image: None,
        capture: None,
        binds: Vec::new(),
        command,
        env: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]),
        port: None,
        limits: Limits {
            memory_bytes: MEMORY_BYTES,
            cpu_weight: 100,
            pids: 64,
            ..Limits::default()
        },
        stdio: Stdio::Logged,
        is_restarted_unattended: false,
        labels: BTreeMap::new(),
    }
}

pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future)
        .await
        .expect("it comes before the deadline")
}

/// Looks again until it holds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) fn stack() -> StackName {
    stacks::DEFAULT_STACK.parse().unwrap()
}

pub(crate) fn cache() -> PathBuf {
    std::env::var_os("LANDFALL_CACHE").map_or_else(|| "/var/cache/landfall".into(), PathBuf::from)
}

async fn ensure_stack() {
    static BUILT: OnceCell<()> = OnceCell::const_new();
    BUILT
        .get_or_init(|| async {
            if stacks::find(&cache(), &stack()).is_none() {
                stacks::build(&cache(), &stack(), |_| {}).await.unwrap();
            }
        })
        .await;
}

/// The shim of this build; built now, since nothing makes it a dependency.
fn shim() -> PathBuf {
    static SHIM: OnceLock<PathBuf> = OnceLock::new();
    SHIM.get_or_init(|| {
        // A child process comes after its parent, which has built it.
        if std::env::var_os(SERVER_DATA).is_none() {
            let built = Command::new(env!("CARGO"))
                .args(["build", "--quiet", "--package", "shim"])
                .current_dir(env!("CARGO_MANIFEST_DIR"))
                .status();
            assert!(built.unwrap().success(), "the shim does not build");
        }
        let test = std::env::current_exe().unwrap();
        let directory = test.parent().and_then(Path::parent).unwrap();
        directory.join("landfall-shim")
    })
    .clone()
}

/// The group of that name which a dyno's group has beside it.
pub(crate) fn sibling(group: &Path, id: DynoId, name: &str) -> PathBuf {
    let own = group.to_str().unwrap();
    own.replace(&id.to_string(), name).into()
}
