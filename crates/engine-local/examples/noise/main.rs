//! What a dyno feels of a bad neighbour: its latency with and without one, in turns. Needs root,
//! the stack and a built `landfall-shim`, whose path is the only argument.
//!
//! Prints a JSON line for each kind, `{"kind": "forks", "quiet": [seconds…], "noisy": [seconds…]}`;
//! `cargo xtask bench noise` makes figures of them. Called with `serve` it is the neighbour.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "it measures time, and tells"
)]

#[path = "../../tests/noise/kinds.rs"]
mod kinds;

use std::{
    env, fs, io,
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    os::unix::fs::chown,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use engine::{DynoState, Engine};
use engine_local::{LAYER_OWNER, LocalEngine, LocalEngineConfig};
use kinds::{KINDS, Kind};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const PORT: u16 = 5000;
/// How often it is quiet and noisy in turns, for how many requests each, and how often one goes
/// out, whether the one before was answered or not.
const ROUNDS: usize = 8;
const REQUESTS: u32 = 400;
const PACE: Duration = Duration::from_millis(5);
/// How long a neighbour may take to answer, and a bad one to begin.
const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(10);

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        Some("serve") => Ok(serve()?),
        Some(shim) => runtime()?.block_on(measure_all(shim.into())),
        None => Err("say where landfall-shim is".into()),
    }
}

/// Answers every connection, as little of a web app as can be.
fn serve() -> io::Result<()> {
    for stream in TcpListener::bind(("0.0.0.0", PORT))?.incoming() {
        let mut stream = stream?;
        if stream.read(&mut [0; 1024])? > 0 {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
        }
    }
    Ok(())
}

async fn measure_all(shim: PathBuf) -> Result<()> {
    let directory = tempfile::tempdir_in("/var/tmp")?;
    let data = directory.path().join("data");
    fs::create_dir(&data)?;
    let engine = LocalEngine::open(LocalEngineConfig::new(data, cache(), shim)).await?;
    let measured = measure_kinds(&engine, directory.path()).await;
    engine.remove_everything().await?;
    measured
}

async fn measure_kinds(engine: &Arc<LocalEngine>, directory: &Path) -> Result<()> {
    let neighbour = start_neighbour(engine, directory).await?;
    let only = env::args().nth(2);
    for kind in KINDS {
        if only.as_deref().is_some_and(|only| only != kind.name) {
            continue;
        }
        let (mut quiet, mut noisy) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            quiet.extend(latencies(neighbour).await?);
            let is_over = Arc::new(AtomicBool::new(false));
            let noise = make_noise(Arc::clone(engine), kind, Arc::clone(&is_over));
            let noise = tokio::spawn(noise);
            let measured = latencies(neighbour).await;
            is_over.store(true, Ordering::SeqCst);
            while !noise.is_finished() {
                stop_noise(engine).await?;
                tokio::time::sleep(POLL).await;
            }
            noise.await??;
            noisy.extend(measured?);
        }
        let line = serde_json::json!({ "kind": kind.name, "quiet": quiet, "noisy": noisy });
        println!("{line}");
    }
    Ok(())
}

async fn start_neighbour(engine: &LocalEngine, directory: &Path) -> Result<SocketAddr> {
    let layer = directory.join("layer");
    fs::create_dir(&layer)?;
    fs::copy(env::current_exe()?, layer.join("noise"))?;
    chown(&layer, Some(LAYER_OWNER), Some(LAYER_OWNER))?;
    let mut spec = kinds::spec("web.1", &["/app/noise", "serve"]);
    spec.layers = vec![layer];
    spec.port = Some(PORT);
    let id = spec.id;
    engine.start(spec).await?;
    let address = engine.inspect(id).await?.address.ok_or("no address")?;
    let address = SocketAddr::new(address, PORT);
    let deadline = Instant::now() + PATIENCE;
    while request(address).await.is_err() {
        if Instant::now() > deadline {
            return Err("the neighbour does not serve".into());
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(address)
}

/// Starts a bad neighbour again whenever it has ended.
async fn make_noise(engine: Arc<LocalEngine>, kind: Kind, is_over: Arc<AtomicBool>) -> Result<()> {
    while !is_over.load(Ordering::SeqCst) {
        let spec = kind.spec();
        let id = spec.id;
        engine.start(spec).await?;
        engine.wait(id).await?;
        engine.remove(id).await?;
    }
    Ok(())
}

/// Ends every bad neighbour there is now.
async fn stop_noise(engine: &LocalEngine) -> Result<()> {
    for dyno in engine.list().await? {
        let is_noisy = dyno.port.is_none();
        if is_noisy && matches!(dyno.state, DynoState::Running) {
            engine.stop(dyno.id, Duration::ZERO).await?;
        }
    }
    Ok(())
}

/// Seconds that requests took which go out at a steady pace.
async fn latencies(address: SocketAddr) -> Result<Vec<f64>> {
    let begin = Instant::now();
    let mut requests = Vec::new();
    for number in 0..REQUESTS {
        let due = begin + PACE * number;
        tokio::time::sleep_until(due.into()).await;
        requests.push(tokio::spawn(async move {
            // The timer's own coarseness is not the neighbour's.
            let sent = Instant::now();
            request(address)
                .await
                .map(|()| sent.elapsed().as_secs_f64())
        }));
    }
    let mut seconds = Vec::new();
    for one in requests {
        seconds.push(one.await??);
    }
    Ok(seconds)
}

async fn request(address: SocketAddr) -> io::Result<()> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        if answer.starts_with(b"HTTP/1.1 200") {
            Ok(())
        } else {
            Err(io::ErrorKind::InvalidData.into())
        }
    };
    let answered = tokio::time::timeout(PATIENCE, exchange).await;
    answered.map_err(|_| io::ErrorKind::TimedOut)?
}

fn cache() -> PathBuf {
    env::var_os("LANDFALL_CACHE").map_or_else(|| "/var/cache/landfall".into(), PathBuf::from)
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}
