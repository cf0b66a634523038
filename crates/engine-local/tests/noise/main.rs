//! Bad neighbours: each is held to its limits and ended for the right reason, while the platform
//! goes on and a neighbour answers every request. What that neighbour feels of it in milliseconds
//! is measured by `cargo xtask bench noise`; here no time is asserted.
//!
//! Needs root and the stack.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set its stage up has failed"
)]

mod kinds;

use std::{
    env, fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use api::ids::DynoId;
use engine::{DynoReport, Engine};
use engine_local::{LocalEngine, LocalEngineConfig};
use kinds::{KINDS, Kind};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const PORT: u16 = 5000;
/// How long anything may take before the test gives up.
const DEADLINE: Duration = Duration::from_mins(4);
const POLL: Duration = Duration::from_millis(20);
/// Requests that the neighbour must answer while it is noisy, at least.
const REQUESTS: usize = 50;

struct Platform {
    engine: Arc<LocalEngine>,
    data: TempDir,
}

impl Platform {
    async fn open() -> Self {
        let data = tempfile::tempdir().unwrap();
        let engine = LocalEngine::open(config(data.path())).await.unwrap();
        Self { engine, data }
    }

    /// Starts a dyno that serves, and tells its address once it does.
    async fn neighbour(&self) -> SocketAddr {
        let mut spec = kinds::spec("web.1", &["python3", "-m", "http.server", "5000"]);
        spec.port = Some(PORT);
        let id = spec.id;
        self.engine.start(spec).await.unwrap();
        let address = self.engine.inspect(id).await.unwrap().address.unwrap();
        let address = SocketAddr::new(address, PORT);
        while request(address).await.is_err() {
            tokio::time::sleep(POLL).await;
        }
        address
    }

    /// Waits for a bad neighbour's first line: from then on it is one.
    async fn has_begun(&self, id: DynoId) {
        let batch = self.engine.read_log(id, 0).await.unwrap();
        assert_eq!(batch.records[0].text, "begun");
    }

    async fn report(&self, id: DynoId) -> DynoReport {
        self.engine.inspect(id).await.unwrap()
    }

    /// The platform starts, runs, reads and removes another dyno.
    async fn is_healthy(&self) {
        let spec = kinds::spec("run.1", &["echo", "fine"]);
        let id = spec.id;
        self.engine.start(spec).await.unwrap();
        let batch = self.engine.read_log(id, 0).await.unwrap();
        assert_eq!(batch.records[0].text, "fine");
        assert!(self.engine.wait(id).await.unwrap().is_success());
        self.engine.remove(id).await.unwrap();
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

fn config(data: &Path) -> LocalEngineConfig {
    let cache =
        env::var_os("LANDFALL_CACHE").map_or_else(|| "/var/cache/landfall".into(), PathBuf::from);
    let mut config = LocalEngineConfig::new(data.to_owned(), cache, shim());
    config.network.pool_size = 1;
    config
}

/// The shim of this build; built now, since nothing makes it a dependency.
fn shim() -> PathBuf {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", "shim"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    assert!(built.unwrap().success(), "the shim does not build");
    let test = env::current_exe().unwrap();
    let directory = test.parent().and_then(Path::parent).unwrap();
    directory.join("landfall-shim")
}

async fn request(address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    if answer.starts_with(b"HTTP/1.0 200") {
        Ok(())
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}

/// What a bad neighbour must come to, in a deadline's time.
async fn comes_to_its_end(platform: &Platform, kind: Kind, id: DynoId) {
    let ended = || async { platform.engine.wait(id).await.unwrap() };
    match kind.name {
        "memory" => {
            let exit = ended().await;
            assert!(exit.is_out_of_memory, "{exit:?}");
        }
        "disk" => {
            let exit = ended().await;
            assert!(exit.is_over_disk, "{exit:?}");
            assert!(platform.report(id).await.disk_bytes > kinds::DISK_BYTES);
        }
        "forks" => {
            let groups = fs::read_dir("/sys/fs/cgroup").unwrap().flatten();
            let limits = groups.filter_map(|group| processes(&group.path(), id));
            for processes in limits {
                assert!(processes <= 257, "{processes} processes");
            }
        }
        "sockets" => told(platform, id, "Too many open files").await,
        _ => {
            while platform.report(id).await.dropped_lines == 0 {
                tokio::time::sleep(POLL).await;
            }
        }
    }
}

/// How many processes a dyno has in a hierarchy.
fn processes(hierarchy: &Path, id: DynoId) -> Option<usize> {
    let slots = fs::read_dir(hierarchy.join("landfall")).ok()?.flatten();
    let mut groups = slots.map(|slot| slot.path().join(id.to_string()));
    let group = groups.find(|group| group.exists())?;
    let processes = fs::read_to_string(group.join("cgroup.procs")).ok()?;
    Some(processes.lines().count())
}

/// Waits for a line with these words.
async fn told(platform: &Platform, id: DynoId, words: &str) {
    let mut after = 0;
    loop {
        let batch = platform.engine.read_log(id, after).await.unwrap();
        if batch.records.iter().any(|line| line.text.contains(words)) {
            return;
        }
        assert!(!batch.ended, "it ended without a word of {words:?}");
        after = batch.records.last().map_or(after, |line| line.sequence);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_neighbours_are_held_to_their_limits() {
    let platform = Platform::open().await;
    let neighbour = tokio::time::timeout(DEADLINE, platform.neighbour());
    let neighbour = neighbour.await.unwrap();
    for kind in KINDS {
        let spec = kind.spec();
        let id = spec.id;
        platform.engine.start(spec).await.unwrap();
        let noise = async {
            platform.has_begun(id).await;
            comes_to_its_end(&platform, kind, id).await;
        };
        let requests = async {
            for _ in 0..REQUESTS {
                let answered = request(neighbour).await;
                assert!(answered.is_ok(), "{}: {answered:?}", kind.name);
            }
            platform.is_healthy().await;
        };
        let both = async { tokio::join!(noise, requests) };
        let came = tokio::time::timeout(DEADLINE, both).await;
        assert!(came.is_ok(), "{}: it never came to that", kind.name);
        platform.engine.stop(id, Duration::ZERO).await.unwrap();
        platform.engine.remove(id).await.unwrap();
        request(neighbour).await.unwrap();
    }
}
