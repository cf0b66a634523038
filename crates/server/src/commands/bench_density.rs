//! `landfall bench:density`: starts many idle dynos of one program and says what they cost.
//!
//! For `cargo xtask bench density`, which turns the one line of JSON into figures and looks from
//! outside whether anything is left. All memory is in bytes, all times in seconds.

use std::{collections::BTreeMap, fs, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use api::ids::{AppId, DynoId};
use engine::{Bind, DynoKind, DynoSpec, Engine, Limits, Probe, Stdio};
use engine_local::{Charge, Charged, LocalEngine};
use serde_json::{Value, json};
use tokio::{sync::Semaphore, task::JoinSet, time::Instant};

use super::say;
use crate::{
    config::{Choices, Config},
    wiring,
};

/// Longest wait for one dyno's first answer.
const PATIENCE: Duration = Duration::from_mins(1);
const GRACE: Duration = Duration::from_secs(2);
/// Between two looks whether a dyno answers.
const POLL: Duration = Duration::from_millis(2);
/// For the dynos to come to rest before their memory is read.
const REST: Duration = Duration::from_secs(2);
const PORT: u16 = 5000;

/// Arguments of `landfall bench:density`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    choices: Choices,
    /// How many dynos to start
    #[arg(long)]
    count: usize,
    /// How many of them at once
    #[arg(long, default_value_t = 8)]
    parallel: usize,
    /// SOURCE:TARGET, a file of the host and where it is inside the dyno
    #[arg(long)]
    bind: Vec<String>,
    /// What to run: it serves HTTP on $PORT
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

/// Measures, and leaves nothing behind.
pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let config = super::config(arguments.choices.clone())?;
    super::start_logging(&config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let engine = wiring::open_engine(&config).await?;
        let measured = measure(&engine, &config, arguments).await;
        engine
            .remove_everything()
            .await
            .context("cannot remove everything")?;
        say(measured?);
        Ok(ExitCode::SUCCESS)
    })
}

/// One dyno's start: seconds until the engine had started it, and until it answered.
struct Start {
    id: DynoId,
    started: f64,
    answered: f64,
}

async fn measure(
    engine: &Arc<LocalEngine>,
    config: &Config,
    arguments: &Arguments,
) -> Result<Value> {
    let specs: Vec<DynoSpec> = (0..arguments.count)
        .map(|_| spec(config, arguments))
        .collect::<Result<_>>()?;
    let (nothing, available) = (engine.charged(), available_bytes()?);
    let clock = Instant::now();
    let starts = in_turns(specs, arguments.parallel, |spec| {
        start(Arc::clone(engine), spec)
    })
    .await?;
    let start_s = clock.elapsed().as_secs_f64();
    tokio::time::sleep(REST).await;
    let (charged, available_then) = (engine.charged(), available_bytes()?);
    engine.reclaim_everything().await?;
    let (held, available_at_last) = (engine.charged(), available_bytes()?);
    let phases = phases(engine, &starts).await?;
    let ids: Vec<DynoId> = starts.iter().map(|start| start.id).collect();
    let clock = Instant::now();
    in_turns(ids, arguments.parallel, |id| end(Arc::clone(engine), id)).await?;
    let stop_s = clock.elapsed().as_secs_f64();
    let left = engine.list().await?.len();
    if left > 0 {
        bail!("{left} dynos are still there");
    }
    let of = |seconds: fn(&Start) -> f64| starts.iter().map(seconds).collect::<Vec<_>>();
    Ok(json!({
        "slot": engine.slot().number,
        "count": arguments.count,
        "start_s": start_s,
        "stop_s": stop_s,
        "started_s": of(|start| start.started),
        "answered_s": of(|start| start.answered),
        "phases": phases,
        "before": memory(nothing, available),
        "after": memory(charged, available_then),
        "reclaimed": memory(held, available_at_last),
    }))
}

/// Does `one` to each of all, `parallel` at a time.
async fn in_turns<I, O, F>(all: Vec<I>, parallel: usize, one: impl Fn(I) -> F) -> Result<Vec<O>>
where
    O: Send + 'static,
    F: Future<Output = Result<O>> + Send + 'static,
{
    let turns = Arc::new(Semaphore::new(parallel));
    let mut tasks = JoinSet::new();
    for item in all {
        let turn = Arc::clone(&turns).acquire_owned().await?;
        let task = one(item);
        tasks.spawn(async move {
            let done = task.await;
            drop(turn);
            done
        });
    }
    tasks.join_all().await.into_iter().collect()
}

async fn start(engine: Arc<LocalEngine>, spec: DynoSpec) -> Result<Start> {
    let id = spec.id;
    let clock = Instant::now();
    engine.start(spec).await.context("cannot start a dyno")?;
    let started = clock.elapsed().as_secs_f64();
    while !matches!(
        engine
            .probe(id, &engine::Question::default(), PATIENCE)
            .await?,
        Probe::Answered { status: Some(200) }
    ) {
        if clock.elapsed() > PATIENCE {
            bail!("dyno {id} does not answer");
        }
        tokio::time::sleep(POLL).await;
    }
    let answered = clock.elapsed().as_secs_f64();
    Ok(Start {
        id,
        started,
        answered,
    })
}

async fn end(engine: Arc<LocalEngine>, id: DynoId) -> Result<()> {
    engine.stop(id, GRACE).await?;
    engine.remove(id).await?;
    Ok(())
}

/// Microseconds of each phase of the starts, by name, in the order of a start.
async fn phases(engine: &LocalEngine, starts: &[Start]) -> Result<Vec<(String, Vec<u64>)>> {
    let mut phases: Vec<(String, Vec<u64>)> = Vec::new();
    for start in starts {
        for phase in engine.inspect(start.id).await?.start_trace {
            match phases.iter_mut().find(|(name, _)| *name == phase.name) {
                Some((_, all)) => all.push(phase.micros),
                None => phases.push((phase.name, vec![phase.micros])),
            }
        }
    }
    Ok(phases)
}

/// What has been swapped out counts as if it was there.
fn memory(charged: Charged, available_bytes: u64) -> Value {
    let charge = |charge: Charge| {
        json!({
            "all": charge.all_bytes + charge.swap_bytes,
            "kernel": charge.kernel_bytes,
            "files": charge.file_bytes,
        })
    };
    json!({
        "dynos": charge(charged.dynos),
        "shims": charge(charged.shims),
        "available": available_bytes,
    })
}

/// What the kernel thinks could be had without swapping.
fn available_bytes() -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .context("the kernel does not say what memory is available")?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes << 10)
}

fn spec(config: &Config, arguments: &Arguments) -> Result<DynoSpec> {
    let binds = arguments.bind.iter().map(|bind| {
        let (source, target) = bind.split_once(':').context("a bind is SOURCE:TARGET")?;
        Ok(Bind {
            source: PathBuf::from(source),
            target: PathBuf::from(target),
            is_writable: false,
        })
    });
    Ok(DynoSpec {
        id: DynoId::new(),
        app: AppId::new(),
        name: "web.1".parse()?,
        kind: DynoKind::Formation,
        stack: config.stack.clone(),
        layers: Vec::new(),
        image: None,
        capture: None,
        binds: binds.collect::<Result<_>>()?,
        command: arguments.command.clone(),
        env: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]),
        port: Some(PORT),
        limits: Limits::default(),
        stdio: Stdio::Logged,
        is_restarted_unattended: true,
        labels: BTreeMap::new(),
    })
}
